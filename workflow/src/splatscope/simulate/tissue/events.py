"""What happened to the tissue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TissueEvent:
    """One thing that happened. `amount` depends on `kind`:

    | kind        | amount                                                                      |
    |-------------|-----------------------------------------------------------------------------|
    | grasp       | vertices held; 0: nothing was between the jaws                              |
    | release     | vertices let go                                                             |
    | slip        | force in N at which the tissue slipped out of the jaws                      |
    | cut         | area parted in mm^2; 0: nothing was between the blades                      |
    | clip        | vertices closed; 0: there was no tube between the jaws                      |
    | tear        | area parted in mm^2                                                         |
    | bond_broken | strands of connective tissue that failed                                    |
    | coagulate   | tissue newly coagulated in mm^3                                             |
    | vaporise    | tissue newly vaporised in mm^3                                              |
    | bleed       | blood in ml/s                                                               |
    | seal        | blood in ml/s that heat or a clip stopped                                   |
    """

    time_s: float
    kind: str
    tool: str | None
    body: str | None
    class_id: int | None
    point: tuple[float, float, float]  # mm, where it happened
    amount: float
    severed: bool = False  # of a cut: a duct or artery was cut through
    clipped_ends: int | None = None  # of a cut through a duct or artery: how many of its two ends a clip closes

"""The course of an operation as a YAML file says it: phases of typed steps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from splatscope.config.load import check_model, read_yaml
from splatscope.config.section import Section
from splatscope.errors import InputError
from splatscope.simulate.operation.vocabulary import PHASES, TRIPLET_IDS

Millimetres = Annotated[float, Field(ge=-120, le=120)]
AnatomicalVector = tuple[Millimetres, Millimetres, Millimetres]
"""Medial (towards the common bile duct), cranial, anterior (towards the abdominal wall), in mm."""

Tube = Literal["cystic duct", "cystic artery"]
DissectTarget = Literal[tuple(TRIPLET_IDS["hook", "dissect"])]
CoagulateTarget = Literal[tuple(TRIPLET_IDS["hook", "coagulate"])]


class Step(Section):
    """Something that the surgeon does."""

    meanwhile: bool = False
    """The next step begins at the same time and both end before what follows; they must use different hands."""

    def hands(self) -> tuple[str, ...]:
        return ("right",)

    def tool(self) -> tuple[str, str] | None:
        """The hand that works, and with which instrument."""
        instrument = getattr(self, "instrument", None)
        return None if instrument is None else (self.hands()[0], instrument)


class Expose(Step):
    """Grasp the gallbladder, pull it and hold it."""

    do: Literal["expose"]
    hand: Literal["assistant", "left"] = "assistant"
    """Who: the assistant through the lateral port or the surgeon's left hand through the midclavicular one."""
    landmark: Literal["fundus", "infundibulum"] = "fundus"
    """Where."""
    pull_mm: AnatomicalVector = (-2.0, 24.0, 22.0)
    """How far: medial, cranial, anterior (mm)."""
    instrument: str = "grasper"
    """With what."""

    def hands(self) -> tuple[str, ...]:
        return (self.hand,)


class Dissect(Step):
    """Divide tissue strand by strand with the hook: under it, lift, burn, let go."""

    do: Literal["dissect"]
    along: Literal["calot"] = "calot"
    """Landmarks that are gone through in their order."""
    strokes: int | None = Field(None, ge=1)
    """How many strokes; one at each landmark when null."""
    heating_w: float = Field(30.0, gt=0, le=120)
    """Electrosurgical power in W."""
    target: DissectTarget = "cystic_duct"
    """CholecT50's target where the tissue that was divided does not say it."""
    instrument: str = "hook"
    """With what."""


class Peel(Step):
    """Take the gallbladder off its bed: strokes along the bed's border under traction, then pull off what holds."""

    do: Literal["peel"]
    strokes: int | None = Field(None, ge=1)
    """How many strokes; one at each landmark of the bed when null."""
    heating_w: float = Field(30.0, gt=0, le=120)
    """Electrosurgical power in W."""
    hand: Literal["assistant", "left"] = "left"
    """Whose grasper pulls."""
    traction_mm: float = Field(2.0, ge=0, le=20)
    """How much farther (mm) the grasper pulls after each stroke, away from the bed."""
    pull_off_mm: float = Field(0.0, ge=0, le=100)
    """How far (mm) the grasper pulls at the end, so that the rest of the bed tears."""
    target: DissectTarget = "gallbladder"
    """CholecT50's target where the tissue that was divided does not say it."""
    instrument: str = "hook"
    """With what."""

    def hands(self) -> tuple[str, ...]:
        return ("right", self.hand)


class Clip(Step):
    """Close the duct or the artery with clips."""

    do: Literal["clip"]
    tube: Tube = "cystic duct"
    """What is closed."""
    count: int = Field(2, ge=1, le=3)
    """How many clips; two lie on either side of the place of the cut."""
    instrument: str = "clipper"
    """With what."""


class Cut(Step):
    """Divide the duct or the artery with scissors."""

    do: Literal["cut"]
    tube: Tube = "cystic duct"
    """What is cut."""
    instrument: str = "scissors"
    """With what."""


class Coagulate(Step):
    """Stop what bleeds with the hook's heat."""

    do: Literal["coagulate"]
    heating_w: float = Field(35.0, gt=0, le=120)
    """Electrosurgical power in W."""
    seconds: float = Field(1.2, gt=0, le=10)
    """Longest time (s, before `pace`) at one place."""
    otherwise: str | None = None
    """Landmark that is touched up when nothing bleeds; the step is left out when null."""
    target: CoagulateTarget = "liver"
    """CholecT50's target where the tissue that was coagulated does not say it."""
    instrument: str = "hook"
    """With what."""


class Inspect(Step):
    """Look: the camera goes near, the hands rest."""

    do: Literal["inspect"]
    landmark: str = "infundibulum"
    """At what."""
    seconds: float = Field(2.0, gt=0, le=30)
    """How long (s, before `pace`)."""
    distance_mm: float = Field(65.0, ge=50, le=110)
    """From how far (mm)."""

    def hands(self) -> tuple[str, ...]:
        return ()


class Change(Step):
    """Bring another instrument in, or take it out."""

    do: Literal["change"]
    hand: Literal["assistant", "left", "right"] = "right"
    """Whose."""
    instrument: str | None = None
    """The new instrument; null leaves the port empty."""

    def hands(self) -> tuple[str, ...]:
        return (self.hand,)


AnyStep = Annotated[
    Expose | Dissect | Clip | Cut | Peel | Coagulate | Inspect | Change,
    Field(discriminator="do"),
]


class Phase(Section):
    """Steps under one name of CholecT50's phases."""

    name: Literal[PHASES]
    """The phase."""
    steps: list[AnyStep] = Field(min_length=1)
    """What is done, in this order."""

    @model_validator(mode="after")
    def _hands_are_free(self) -> Phase:
        for group in self.groups():
            used = [hand for step in group for hand in step.hands()]
            if len(used) != len(set(used)):
                raise ValueError("steps that run `meanwhile` must use different hands")
        return self

    def groups(self) -> list[list[Step]]:
        """Steps that run at the same time, in order."""
        starts = [0, *[i + 1 for i, (first, _) in enumerate(pairwise(self.steps)) if not first.meanwhile]]
        return [self.steps[start:end] for start, end in zip(starts, [*starts[1:], len(self.steps)])]


class CameraStyle(Section):
    """How the endoscope is held."""

    oblique_deg: Literal[0, 30] = 30
    """Angle in degrees between shaft and line of sight: a straight or a 30-degree endoscope."""
    distance_mm: float = Field(80.0, ge=50, le=110)
    """Usual distance (mm) from the field."""


class Scenario(Section):
    """An operation."""

    name: str
    """Name, as file names and tables carry it."""
    pace: float = Field(1.0, gt=0, le=6)
    """Factor on the speed of everything that a person does; 1 is a calm surgeon."""
    attempts: int = Field(2, ge=1, le=5)
    """How often an action is tried that has no effect, before it is given up and noted."""
    react_to_bleeding: bool = False
    """Coagulate a bleeding point between two strokes of the hook, instead of waiting for the step `coagulate`."""
    camera: CameraStyle = CameraStyle()
    """How the endoscope is held."""
    phases: list[Phase] = Field(min_length=1)
    """What is done, in this order."""

    @property
    def tools(self) -> list[tuple[str, str]]:
        """Hand and instrument of everything that is used, each once."""
        steps = [step for phase in self.phases for step in phase.steps]
        return sorted({tool for step in steps if (tool := step.tool()) is not None})


def find_scenario(name: str, folder: str | Path) -> str:
    """The file of a scenario: `name` is one in `folder`, or the path of a YAML file. Raises InputError otherwise."""
    for path in (Path(folder, f"{name}.yaml"), Path(name)):
        if path.is_file():
            return str(path)
    shipped = ", ".join(sorted(path.stem for path in Path(folder).glob("*.yaml")))
    raise InputError(
        name,
        "key simulate.scenario",
        found="neither a scenario of that name nor such a file",
        expected=f"one of {shipped}, or the path of a YAML file",
        remedy="correct the name, or write a file like config/scenarios/cholecystectomy.yaml",
    )


def load_scenario(path: str | Path) -> Scenario:
    """Read and check a scenario. Raises InputError naming file, line and key for anything but a valid one."""
    example = "config/scenarios/cholecystectomy.yaml"
    return check_model(Scenario, read_yaml(path, example), [path], f"{example} shows every step")

"""What the surgeon asks of physics and renderer at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from splatscope.simulate.operation.vocabulary import Triplet

HANDS = ("assistant", "left", "right")  # the assistant's grasper, the surgeon's grasper, the working instrument
ActionVerb = Literal["grasp", "release", "cut", "clip"]


@dataclass(frozen=True)
class ToolCommand:
    """An instrument inside the patient: where it is and how its joints stand."""

    instrument: str  # key of the surgeon's `instruments`
    world_from_tool: np.ndarray  # float64 [4, 4] mm
    joints: dict[str, float]  # degrees, by the instrument's joint names
    heating_w: float = 0.0  # electrosurgical power


@dataclass(frozen=True)
class Action:
    """Something that a hand does to the tissue at this moment; the tissue answers with an event of the same kind."""

    verb: ActionVerb
    hand: str


@dataclass(frozen=True)
class Command:
    """Poses, actions and labels at `time_s`."""

    time_s: float
    phase: str  # of CholecT50
    tools: dict[str, ToolCommand]  # by hand, only those inside the patient
    world_from_camera: np.ndarray  # float64 [4, 4] mm, OpenCV axes
    actions: list[Action]
    triplets: list[Triplet]  # one for each tool inside that CholecT50 knows, in the order of HANDS


@dataclass(frozen=True)
class Note:
    """A line of the operation's log."""

    time_s: float
    phase: str
    step: str  # kind of step
    outcome: Literal["done", "retried", "skipped", "aborted"]
    text: str

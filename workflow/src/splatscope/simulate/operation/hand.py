"""A hand and the instrument in it: where the tip goes, how the instrument turns and opens, always through its port."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from splatscope.meshes.instruments.kinematics import roll_towards, through_trocar
from splatscope.simulate.operation.command import ToolCommand
from splatscope.simulate.operation.motion import (
    PEAK_ACCELERATION,
    PEAK_SPEED,
    BandNoise,
    Submovements,
    fitts_duration,
    tremor,
)
from splatscope.simulate.operation.vocabulary import IDLE, Triplet

if TYPE_CHECKING:
    from splatscope.meshes.instruments import Instrument
    from splatscope.simulate.operation.scenario import Expose

ACCELERATION_MM_S2 = 6000.0
OPENING_S = 0.3  # opening or closing the jaws all the way
INSIDE_MM = 22.0  # the point of work is this far inside the trocar when the instrument appears and when it is gone
DRIFT_MM = 0.35  # per axis, of a hand that holds still


class Speed(NamedTuple):
    """Greatest speed of one submovement in mm/s."""

    calm: float  # at pace 1; it grows with the pace
    fastest: float  # at any pace: tissue does not hurry


FREE = Speed(200, 420)  # in the open
LEAVING = Speed(150, 300)  # straight back from tissue
PRESSING = Speed(60, 100)  # at and in tissue
LIFTING = Speed(20, 40)  # with a strand on the hook
PULLING = Speed(28, 50)  # with tissue between the jaws
GIVING_WAY = Speed(40, 60)  # to another instrument


class Hand:
    """One of the surgeon's or the assistant's hands.

    What moves is the point of work: the tip of a hook, the point midway between the jaws of anything else.
    """

    def __init__(self, name: str, trocar: np.ndarray, rng: np.random.Generator, pace: float = 1.0):
        self.name, self.trocar, self.pace = name, trocar, pace
        self._rng = rng
        self._tremor, self._drift = tremor(rng), BandNoise(rng, DRIFT_MM, (0.1, 0.5))
        self._point = Submovements(trocar)
        self._roll, self._opening = Submovements([0.0]), Submovements([0.0])
        self.instrument: Instrument | None = None
        self._work: tuple[dict[str, float], np.ndarray] | None = None  # joints and the point of work [3] that they give
        self.key: str | None = None  # of the instrument among the surgeon's
        self.heating_w = 0.0
        self.label = IDLE  # CholecT50 verb and target
        self.holding = False  # tissue between the jaws
        self.held_class: int | None = None  # of the class table, what was grasped last
        self.retraction: Expose | None = None  # what this hand is to hold until it puts the instrument away

    @property
    def goal(self) -> np.ndarray:
        """Where the point of work comes to rest [3]."""
        return self._point.goal

    def take(self, key: str, instrument: Instrument, towards: np.ndarray, time_s: float) -> None:
        """The instrument appears in the trocar, closed, pointing `towards` [3]."""
        self.key, self.instrument, self._work = key, instrument, None
        self._point = Submovements(self._inside(towards))
        self._opening = Submovements([0.0])
        self._roll = Submovements([self._rng.uniform(-0.4, 0.4)])

    def put_away(self) -> None:
        self.instrument = self.key = None
        self.label, self.heating_w, self.holding, self.retraction = IDLE, 0.0, False, None

    def way_out(self) -> np.ndarray:
        """The point [3] just inside the trocar on the line to where the instrument is."""
        return self._inside(self.goal)

    def position(self, time_s: float) -> np.ndarray:
        """Point of work [3] as it is meant, without tremor."""
        return self._point(time_s)

    def axis_to(self, point: np.ndarray) -> np.ndarray:
        """Unit direction [3] of a straight shaft from the trocar to `point` [3]."""
        return (point - self.trocar) / np.linalg.norm(point - self.trocar)

    def drawn_back(self, point: np.ndarray, distance_mm: float) -> np.ndarray:
        """The point [3] so far back along the shaft from `point` [3]; at most to where instruments appear."""
        farthest = np.linalg.norm(point - self.trocar) - INSIDE_MM
        return point - np.clip(distance_mm, 0, max(farthest, 0)) * self.axis_to(point)

    def move(self, goal: np.ndarray, start_s: float, width_mm: float, speed: Speed = FREE) -> float:
        """Begin a submovement to `goal` [3]; returns its duration (s), after Fitts and within the limits of speed."""
        distance = float(np.linalg.norm(goal - self.goal))
        duration = max(
            fitts_duration(distance, width_mm) / self.pace,
            PEAK_SPEED * distance / min(speed.calm * self.pace, speed.fastest),
            np.sqrt(PEAK_ACCELERATION * distance / ACCELERATION_MM_S2),
        )
        self._point.move_to(goal, start_s, duration)
        return duration

    def open_to(self, share: float, time_s: float) -> float:
        """Open (1) or close (0) the jaws; returns the duration (s)."""
        duration = (0.08 + OPENING_S * abs(share - self._opening.goal[0])) / self.pace
        self._opening.move_to([share], time_s, duration)
        return duration

    def turn_to(self, direction: np.ndarray, point: np.ndarray, time_s: float) -> float:
        """Roll so that the jaws close (or the hook points) along `direction` [3] at `point` [3]; returns seconds."""
        axis = self.axis_to(point)
        if np.linalg.norm(np.cross(axis, direction)) < 0.2 * np.linalg.norm(direction):
            return 0.0  # along the shaft: rolling does not help
        joints = self._joints(0.0)
        if "opening" in joints:
            reference, period = self.instrument.grip(joints).axis, np.pi  # jaws are the same upside down
        else:
            reference, period = self._work_point(joints) * [1, 1, 0], 2 * np.pi
        roll = roll_towards(self.trocar, point, reference, direction)
        change = (roll - self._roll.goal[0] + period / 2) % period - period / 2
        duration = (0.1 + 0.5 * abs(change)) / self.pace
        self._roll.move_to(self._roll.goal + change, time_s, duration)
        return duration

    def command(self, time_s: float) -> ToolCommand:
        """The instrument's pose at `time_s`: the shaft passes the trocar, the point of work is where it is meant."""
        joints = self._joints(float(self._opening(time_s)[0]))
        if self._work is None or joints != self._work[0]:
            self._work = joints, self._work_point(joints)
        target = self._point(time_s) + self._drift(time_s) + self._tremor(time_s)
        pose = through_trocar(self.trocar, target, float(self._roll(time_s)[0]), self._work[1])
        return ToolCommand(self.key, pose, joints, self.heating_w)

    def triplet(self) -> Triplet | None:
        """What it does now; None for an instrument that CholecT50 does not know."""
        if self.instrument.verb_name is None:
            return None
        return Triplet(self.instrument.verb_name, *self.label, self.name)

    def _inside(self, towards: np.ndarray) -> np.ndarray:
        return self.trocar + INSIDE_MM * self.axis_to(towards)

    def _joints(self, openness: float) -> dict[str, float]:
        joints = {name: float(np.clip(0.0, low, high)) for name, (low, high) in self.instrument.joints.items()}
        if "opening" in joints:
            low, high = self.instrument.joints["opening"]
            joints["opening"] = float(low + np.clip(openness, 0, 1) * (high - low))
        return joints

    def _work_point(self, joints: dict[str, float]) -> np.ndarray:
        heat = self.instrument.heat_point(joints)
        return self.instrument.grip(joints).point if heat is None else heat

"""What the surgeon sees and steers at the present moment; the steps of an operation share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from splatscope.simulate.operation.command import HANDS, Action, ActionVerb, Note
from splatscope.simulate.operation.hand import Hand
from splatscope.simulate.operation.ports import Ports
from splatscope.simulate.operation.vocabulary import IDLE, target_acted_on

if TYPE_CHECKING:
    from splatscope.meshes.instruments import Instrument
    from splatscope.simulate.operation.camera import Cameraman
    from splatscope.simulate.operation.scenario import Scenario
    from splatscope.simulate.tissue.events import TissueEvent

Moments = Iterator[None]  # a piece of work: yields once for each moment that passes
SAME_BLEEDING_MM = 3.0  # points nearer to each other are burnt as one
PLACE_ITSELF_MM = 9.0  # of a shaft before its goal that may lie in or at tissue
LOST_MM = 45.0
ANSWER_MOMENTS = 3  # within which the tissue answers an action


class Site(Protocol):
    """What an operation must know of the anatomy. Positions are the tissue's vertices now, [V, 3] mm."""

    landmarks: Mapping[str, object]  # names as keys; numbered ones (calot_1, calot_2, ...) in the order of dissection

    def landmark(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Where it is now [3]."""

    def landmark_axis(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Unit direction [3]: along the duct or artery, or out of the surface for other landmarks."""


@dataclass(eq=False)
class Bleeding:
    """A bleeding point, which moves with the tissue."""

    vertex: int
    class_id: int | None

    def point(self, positions: np.ndarray) -> np.ndarray:
        return positions[self.vertex].astype(np.float64)


class Workspace:
    """Time, tissue and events now; the hands; and the vocabulary of small things that steps are made of."""

    def __init__(
        self,
        scenario: Scenario,
        site: Site,
        instruments: Mapping[str, Instrument],
        ports: Ports,
        cameraman: Cameraman,
        rng: np.random.Generator,
    ):
        self.scenario, self.site, self.instruments, self.ports = scenario, site, instruments, ports
        self.cameraman, self.rng, self.pace = cameraman, rng, scenario.pace
        self.hands = {name: Hand(name, ports.trocars[name], rng, scenario.pace) for name in HANDS}
        self.time_s = 0.0
        self.positions = np.zeros((0, 3))
        self.events: Sequence[TissueEvent] = ()
        self.actions: list[Action] = []
        self.bleedings: list[Bleeding] = []
        self.log: list[Note] = []
        self.phase = scenario.phases[0].name
        self.step = ""
        self._first_seen: dict[str, np.ndarray] = {}
        self.interest = np.zeros(3)  # what the camera should see

    def see(self, time_s: float, positions: np.ndarray, events: Sequence[TissueEvent]) -> None:
        """The next moment begins."""
        self.time_s, self.positions, self.events, self.actions = time_s, positions, events, []
        for event in events:
            gaps = [np.linalg.norm(source.point(positions) - event.point) for source in self.bleedings]
            if event.kind == "bleed" and min(gaps, default=np.inf) > SAME_BLEEDING_MM:
                nearest = np.argmin(np.linalg.norm(positions - np.asarray(event.point), axis=1))
                self.bleedings.append(Bleeding(int(nearest), event.class_id))
            elif event.kind == "seal" and gaps:
                del self.bleedings[int(np.argmin(gaps))]
            elif event.kind == "slip" and event.tool in self.hands:
                self.hands[event.tool].holding, self.hands[event.tool].label = False, IDLE

    def note(self, outcome: str, text: str) -> None:
        self.log.append(Note(self.time_s, self.phase, self.step, outcome, text))

    def landmark(self, name: str) -> np.ndarray:
        """Where it is now [3]; one that fell away is not followed farther than LOST_MM from where it was first."""
        point = np.asarray(self.site.landmark(name, self.positions), np.float64)
        first = self._first_seen.setdefault(name, point)
        return first + (point - first) * min(1.0, LOST_MM / max(np.linalg.norm(point - first), 1e-9))

    def axis(self, name: str) -> np.ndarray:
        return np.asarray(self.site.landmark_axis(name, self.positions), np.float64)

    def outward(self, name: str, hand: Hand) -> np.ndarray:
        """Unit normal [3] at a landmark on a surface, on the side from which `hand` comes."""
        normal = self.axis(name)
        return normal if normal @ hand.axis_to(self.landmark(name)) <= 0 else -normal

    def numbered(self, prefix: str) -> list[str]:
        """Landmarks `prefix`_1, _2, ... in order."""
        found = [name for name in self.site.landmarks if name.rpartition("_")[0] == prefix and name[-1].isdigit()]
        return sorted(found, key=lambda name: int(name.rpartition("_")[2]))

    def access(self, name: str, hand: Hand) -> float:
        """Least distance (mm) from tissue of a straight shaft that reaches a landmark, the place itself left out."""
        point = self.landmark(name)
        axis = hand.axis_to(point)
        offset = self.positions - hand.trocar
        along = offset @ axis
        before = (along > 0) & (along < np.linalg.norm(point - hand.trocar) - PLACE_ITSELF_MM)
        return float(np.min(np.linalg.norm(offset[before] - along[before, None] * axis, axis=1), initial=np.inf))

    def wait(self, seconds: float) -> Moments:
        """Let time pass: `seconds` as a calm surgeon has them."""
        end = self.time_s + seconds / self.pace
        while self.time_s < end:
            yield

    def hesitate(self) -> Moments:
        """A pause between two movements: mostly short, now and then long."""
        yield from self.wait(min(self.rng.exponential(0.12), 0.8))

    def act(self, verb: ActionVerb, hand: Hand) -> Iterator[None]:
        """Do something to the tissue; returns the event that answers, None when none comes."""
        self.actions.append(Action(verb, hand.name))
        for _ in range(ANSWER_MOMENTS):
            yield
            for event in self.events:
                if event.kind == verb and event.tool == hand.name:
                    return event
        return None

    def name_action(self, hand: Hand, verb: str, intended: str, class_id: int | None = None) -> None:
        """Label what `hand` does from now on; the tissue's class decides the target where CholecT50 has the triplet."""
        hand.label = (verb, target_acted_on(hand.instrument.verb_name, verb, class_id, intended))

    def answered(self, hand: Hand, kinds: Sequence[str], reach_mm: float) -> TissueEvent | None:
        """An event of these kinds in the last interval by `hand`, or by nobody within `reach_mm` of its work."""
        for event in self.events:
            near = np.linalg.norm(np.asarray(event.point) - hand.position(self.time_s)) <= reach_mm
            if event.kind in kinds and (event.tool == hand.name or (event.tool is None and near)):
                return event
        return None

"""A stand-in for site and tissue: points that follow the graspers and answer what the surgeon does."""

from collections.abc import Mapping

import numpy as np

from splatscope.meshes.instruments import ClipApplier, Grasper, HookElectrode, Scissors
from splatscope.simulate.operation.command import Command
from splatscope.simulate.operation.scenario import Scenario
from splatscope.simulate.operation.surgeon import Surgeon
from splatscope.simulate.tissue.events import TissueEvent

INSTRUMENTS = {"grasper": Grasper(), "hook": HookElectrode(), "scissors": Scissors(), "clipper": ClipApplier()}

_DUCT = np.array([-0.93, -0.2, 0.3]) / np.linalg.norm([-0.93, -0.2, 0.3])
_ARTERY = np.array([-0.96, 0.2, 0.1]) / np.linalg.norm([-0.96, 0.2, 0.1])
_UP = np.array([0.0, -0.45, 0.89])


class FakeSite:
    """Landmarks where the phantom's anatomy has them; the rest of the tissue is a gallbladder of loose points."""

    obstacle = None

    def __init__(self):
        places: dict[str, tuple[np.ndarray, np.ndarray]] = {
            "fundus": (np.array([9.0, -34, 12]), _UP),
            "infundibulum": (np.array([-9.0, 8, 11]), _UP),
        }
        for name, start, axis in (("duct", (-18, 14, 4), _DUCT), ("artery", (-14, 24, 8), _ARTERY)):
            sites = {"clip_1": 2.0, "clip_2": 5.0, "cut": 8.0, "clip_3": 11.0}
            places |= {f"{name}_{part}": (np.array(start) + along * axis, axis) for part, along in sites.items()}
        for index in range(6):
            places[f"calot_{index + 1}"] = (np.array([-16.0 - 2 * index, 18 + (index % 2) * 3, 9]), _UP)
            places[f"bed_{index + 1}"] = (np.array([-14 + 4.5 * index, 20.0 - 6.5 * index, 5]), _UP)
        self.landmarks: Mapping[str, int] = {name: index for index, name in enumerate(places)}
        self._axes = {name: axis for name, (_, axis) in places.items()}
        rng = np.random.default_rng(0)
        shell = rng.normal(size=(300, 3))
        shell = shell / np.linalg.norm(shell, axis=1, keepdims=True) * [12, 26, 9] + [2, -9, 1]
        self.rest = np.vstack([[place for place, _ in places.values()], shell]).astype(np.float32)

    def landmark(self, name: str, positions: np.ndarray) -> np.ndarray:
        return positions[self.landmarks[name]].astype(np.float64)

    def landmark_axis(self, name: str, positions: np.ndarray) -> np.ndarray:
        return self._axes[name]


class FakeTissue:
    """Answers at the next moment. `deaf` names kinds of events that never come, `slips_at_s` when graspers slip."""

    def __init__(
        self,
        site: FakeSite,
        rate_hz: int,
        deaf: tuple[str, ...] = (),
        slips_at_s: float | None = None,
        held_class: int = 10,
        falls_mm_s: float = 0.0,
    ):
        self._rate_hz, self._rest = rate_hz, site.rest.astype(np.float64)
        self.positions = site.rest.copy()
        self._deaf, self._slips_at_s, self._held_class = deaf, slips_at_s, held_class
        self._falls_mm_s = falls_mm_s
        self._grasped: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._heated_s: dict[str, float] = {}
        self._bleeding: list[np.ndarray] = []

    def answer(self, command: Command) -> list[TissueEvent]:
        events = []

        def event(kind, hand, class_id, point, amount=5.0, **more):
            if kind not in self._deaf:
                point = tuple(float(value) for value in point)
                events.append(TissueEvent(command.time_s, kind, hand, "tissue", class_id, point, amount, **more))

        work = {hand: work_point(command, hand) for hand in command.tools}
        for action in command.actions:
            point = work[action.hand]
            near = np.linalg.norm(self.positions - point, axis=1)
            if action.verb == "grasp":
                event("grasp", action.hand, self._held_class, point, 12.0 if near.min() < 5 else 0.0)
                if near.min() < 5:
                    pull = np.exp(-((near / 12.0) ** 2))[:, None]
                    self._grasped[action.hand] = (self.positions.copy(), point, pull)
            elif action.verb == "release":
                self._grasped.pop(action.hand, None)
                event("release", action.hand, 10, point)
            else:
                artery = near[:14].argmin() >= 6
                event(
                    action.verb,
                    action.hand,
                    13 if artery else 8,
                    point,
                    **({"severed": True} if action.verb == "cut" else {}),
                )
                if action.verb == "cut" and artery:
                    event("bleed", None, 13, point, 0.5)
                    self._bleeding.append(point)
        for hand, tool in command.tools.items():
            before = self._heated_s.get(hand, 0.0)
            self._heated_s[hand] = before + 1 / self._rate_hz if tool.heating_w else 0.0
            if tool.heating_w and before < 0.12 <= self._heated_s[hand]:
                event("bond_broken", None, None, work[hand], 3.0)
                event("coagulate", hand, 10, work[hand], 2.0)
                for source in [source for source in self._bleeding if np.linalg.norm(source - work[hand]) < 8]:
                    self._bleeding.remove(source)
                    event("seal", hand, 13, source, 0.5)
        if self._slips_at_s is not None and command.time_s >= self._slips_at_s and self._grasped:
            self._slips_at_s = None
            for hand in list(self._grasped):
                del self._grasped[hand]
                event("slip", hand, 10, work[hand], 3.0)
        goal = self._rest - [0, 0, self._falls_mm_s * command.time_s]
        for hand, (_, start, pull) in self._grasped.items():
            goal = goal + pull * (work[hand] - start)
        self.positions = (self.positions + 0.3 * (goal - self.positions)).astype(np.float32)
        return events


def work_point(command: Command, hand: str) -> np.ndarray:
    tool = command.tools[hand]
    instrument = INSTRUMENTS[tool.instrument]
    heat = instrument.heat_point(tool.joints)
    point = instrument.grip(tool.joints).point if heat is None else heat
    return tool.world_from_tool[:3, :3] @ point + tool.world_from_tool[:3, 3]


def operate(
    scenario: Scenario, seed: int = 0, rate_hz: int = 60, limit_s: float = 200.0, **tissue
) -> tuple[Surgeon, list[Command], list[TissueEvent]]:
    """The whole operation; fails when it takes longer than `limit_s`."""
    site = FakeSite()
    answers = FakeTissue(site, rate_hz, **tissue)
    surgeon = Surgeon(scenario, site, INSTRUMENTS, np.random.default_rng(seed))
    commands, happened, events = [], [], []
    while not surgeon.finished:
        time_s = len(commands) / rate_hz
        assert time_s < limit_s, f"still busy after {limit_s} s: {surgeon.log[-3:]}"
        commands.append(surgeon.command(time_s, answers.positions, events))
        events = answers.answer(commands[-1])
        happened += events
    return surgeon, commands, happened

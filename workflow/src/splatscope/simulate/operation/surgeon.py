"""Carries out a scenario on tissue that deforms: what to do now, from what happened last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from splatscope.simulate.operation.camera import Cameraman
from splatscope.simulate.operation.command import HANDS, Command, Note
from splatscope.simulate.operation.ports import place_ports
from splatscope.simulate.operation.scenario import Scenario
from splatscope.simulate.operation.steps import expose, perform
from splatscope.simulate.operation.workspace import Moments, Site, Workspace

if TYPE_CHECKING:
    from splatscope.meshes.instruments import Instrument
    from splatscope.simulate.tissue.events import TissueEvent

REGRASPS = 2  # of a hand whose tissue slips while it holds still, in the whole operation
INSTRUMENT_NEAR_MM = 45.0  # from the place of work: the camera watches the instrument, too


class Surgeon:
    """Executes a scenario. The same scenario, site, instruments, generator state and answers give the same commands.

    `instruments` by the names that the scenario's steps use. Raises ValueError when the scenario names an instrument or
    a landmark that is not there.
    """

    def __init__(
        self,
        scenario: Scenario,
        site: Site,
        instruments: Mapping[str, Instrument],
        rng: np.random.Generator,
    ):
        _check_names(scenario, site, instruments)
        self._scenario, self._site, self._instruments, self._rng = scenario, site, instruments, rng
        self._workspace: Workspace | None = None  # from the first command on: ports are placed by where organs lie
        self._script = self._operate()
        self._regrasping: dict[str, Moments] = {}
        self._regrasps_left = dict.fromkeys(HANDS, REGRASPS)
        self.finished = False

    @property
    def log(self) -> list[Note]:
        """What was done, tried again, skipped and given up, in order of time."""
        return [] if self._workspace is None else self._workspace.log

    def command(self, time_s: float, positions: np.ndarray, events: Sequence[TissueEvent]) -> Command:
        """What is to be at `time_s`, which increases from call to call (60 Hz or so).

        `positions` [V, 3]: the tissue's vertices now (mm); `events`: what happened since the last call, answers to its
        actions among them. After the last step the hands stay where they are.
        """
        if self._workspace is None:
            self._workspace = self._begin(positions)
        ws = self._workspace
        ws.see(time_s, positions, events)
        self._regrasp()
        self.finished = self.finished or _ends(self._script)
        working = [hand for hand in ws.hands.values() if hand.instrument is not None]
        return Command(
            time_s,
            ws.phase,
            {hand.name: hand.command(time_s) for hand in working},
            ws.cameraman.world_from_camera(time_s, self._interest(), positions),
            ws.actions,
            [triplet for hand in working if (triplet := hand.triplet())],
        )

    def _begin(self, positions: np.ndarray) -> Workspace:
        def landmark(name: str) -> np.ndarray:
            return np.asarray(self._site.landmark(name, positions), np.float64)

        obstacle = getattr(self._site, "obstacle", None)
        ports = place_ports(self._rng, landmark("infundibulum"), landmark("duct_cut"), obstacle)
        middle = (landmark("infundibulum") + landmark("fundus")) / 2
        style, pace = self._scenario.camera, self._scenario.pace
        cameraman = Cameraman(style, ports.trocars["camera"], self._rng, pace, obstacle)
        workspace = Workspace(self._scenario, self._site, self._instruments, ports, cameraman, self._rng)
        workspace.interest = middle
        return workspace

    def _operate(self) -> Moments:
        for phase in self._scenario.phases:
            for group in phase.groups():
                self._workspace.phase = phase.name
                yield from together([perform(self._workspace, step) for step in group])

    def _regrasp(self) -> None:
        """A hand that was to hold and whose tissue slipped takes hold again, beside whatever the others do."""
        for hand in self._workspace.hands.values():
            if hand.name in self._regrasping:
                if _ends(self._regrasping[hand.name]):
                    del self._regrasping[hand.name]
            elif hand.retraction is not None and not hand.holding and self._regrasps_left[hand.name]:
                self._regrasps_left[hand.name] -= 1
                self._workspace.note("retried", f"{hand.retraction.landmark}: it slipped")
                self._regrasping[hand.name] = expose(self._workspace, hand.retraction)

    def _interest(self) -> np.ndarray:
        """What the camera should see [3]: the place of work, and the working instrument when it is near."""
        ws = self._workspace
        hand = ws.hands["right"]
        if hand.instrument is not None:
            tip = hand.position(ws.time_s)
            if np.linalg.norm(tip - ws.interest) < INSTRUMENT_NEAR_MM:
                return (ws.interest + tip) / 2
        return ws.interest


def together(works: list[Moments]) -> Moments:
    """Several pieces of work at the same time, until the last is done."""
    while works := [work for work in works if not _ends(work)]:
        yield


def _ends(work: Iterator[None]) -> bool:
    """Let a moment pass; whether the work is done."""
    try:
        next(work)
    except StopIteration:
        return True
    return False


def _check_names(scenario: Scenario, site: Site, instruments: Mapping[str, Instrument]) -> None:
    for step in (step for phase in scenario.phases for step in phase.steps):
        key = getattr(step, "instrument", None)
        if key is not None and key not in instruments:
            raise ValueError(f"scenario {scenario.name}: expected instruments among {sorted(instruments)}, got {key!r}")
        place = getattr(step, "landmark", None) or getattr(step, "otherwise", None)
        if place is not None and place not in site.landmarks:
            raise ValueError(
                f"scenario {scenario.name}: expected landmarks among {list(site.landmarks)}, got {place!r}"
            )

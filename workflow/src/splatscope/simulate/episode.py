"""One operation: the surgeon moves, the tissue answers, the camera films."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from splatscope.config.simulate import SimulateConfig
from splatscope.meshes.instruments import (
    ClipApplier,
    Grasper,
    HookElectrode,
    LigatingClip,
    MarylandForceps,
    NeedleDriver,
    Scissors,
)
from splatscope.meshes.materials import MaterialLibrary, inner_materials, laparoscopic_materials, tissue_materials
from splatscope.shards import Frame
from splatscope.simulate.bleeding import Bleeding
from splatscope.simulate.filming import Filming
from splatscope.simulate.operation.command import Command, Note
from splatscope.simulate.operation.scenario import Scenario
from splatscope.simulate.operation.surgeon import Surgeon
from splatscope.simulate.optics import Optics
from splatscope.simulate.site import OperationSite
from splatscope.simulate.smoke import Smoke
from splatscope.simulate.tissue.events import TissueEvent
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tissue import Tissue
from splatscope.simulate.tissue_surface import TissueSurface

MAX_CLIPS = 6
SETTLING_S = 1.0
INSTRUMENTS = {
    "grasper": Grasper,
    "maryland": MarylandForceps,
    "hook": HookElectrode,
    "scissors": Scissors,
    "clipper": ClipApplier,
    "needle driver": NeedleDriver,
}
ANSWERS = {"grasp": Tissue.grasp, "release": Tissue.release, "cut": Tissue.cut, "clip": Tissue.clip}


class Episode:
    """A seeded operation. `frames` runs it; `commands`, `events` and `log` then say what happened.

    Everything random comes from generators of their own, seeded by [seed, index, part]: episodes may be made in any
    order, and a change to one part leaves the others as they were.
    """

    def __init__(
        self,
        index: int,
        scenario: Scenario,
        config: SimulateConfig,
        seed: int,
        class_names: dict[int, str],
        device: str = "cpu",
    ):
        anatomy, shapes, motion, optics, smoke = (np.random.default_rng([seed, 700, index, n]) for n in range(5))
        self.index, self._config = index, config
        site_seed = int(anatomy.integers(2**31))
        self.site = OperationSite(site_seed, resolution=config.anatomy)
        kinds = {key: INSTRUMENTS[key].varied(shapes) for key in sorted({key for _, key in scenario.tools})}
        self.tissue = Tissue(
            self.site.bodies,
            self.site.bonds,
            TissueSettings(substeps_per_s=float(config.physics_rate_hz * config.substeps)),
            device,
            site_seed,
            obstacle=self.site.obstacle,
        )
        self.tissue.settle(SETTLING_S)
        self._surgeon = Surgeon(scenario, self.site, kinds, motion)
        self._tools = {f"{hand} {key}": kinds[key] for hand, key in scenario.tools}
        texels = 512 if config.width <= 400 else 1024  # a side of a texture tile: not much finer than pixels are
        clip = next((kind.clip for kind in kinds.values() if isinstance(kind, ClipApplier)), LigatingClip())
        self._smoke = Smoke(config.smoke, smoke)
        self._bleeding = Bleeding(self.tissue, config.blood)
        self._filming = Filming(
            self.site.backdrop_parts(),
            TissueSurface(self.tissue, self.site.tint, self._bleeding.cover),
            self._tools,
            [clip.parts(self.tissue.settings.clip_gap_mm)] * MAX_CLIPS,
            MaterialLibrary(
                tissue_materials(site_seed, texels)
                | inner_materials(site_seed, texels)
                | laparoscopic_materials(site_seed, texels)
            ),
            Optics(config, optics),
            config,
            class_names,
            device,
        )
        self.commands: list[Command] = []  # of the frames
        self.events: list[TissueEvent] = []
        self._notes: list[Note] = []

    @property
    def log(self) -> list[Note]:
        """How the steps of the scenario ended."""
        return self._surgeon.log + self._notes

    def frames(self) -> Iterator[Frame]:
        """Run the operation; a frame comes when the next one is shot."""
        config = self._config
        step = 1 / config.physics_rate_hz
        steps_per_frame = config.physics_rate_hz // config.frames_per_second
        events: list[TissueEvent] = []
        for index in range(round(config.max_duration_s * config.physics_rate_hz)):
            command = self._surgeon.command(index * step, self.tissue.positions, events)
            if index % steps_per_frame == 0:
                finished = self._shoot(command)
                if finished is not None:
                    yield finished
            if self._surgeon.finished:
                break
            events = [ANSWERS[action.verb](self.tissue, action.hand) for action in command.actions]
            try:
                events += self.tissue.advance(step, self._states(command))
            except FloatingPointError as error:
                self._end(index * step, command.phase, str(error))
                break
            self._bleeding.advance(step)
            self._smoke.advance(step, self.tissue.smoke)
            self.events += events
        else:
            self._end(config.max_duration_s, command.phase, "the time was up")
        last = self._filming.last()
        if last is not None:
            yield last

    def _end(self, time_s: float, phase: str, why: str) -> None:
        self._notes.append(Note(time_s, phase, "episode", "aborted", why))

    def _shoot(self, command: Command) -> Frame | None:
        number = len(self.commands)
        self.commands.append(command)
        clips = [clip.world_from_clip for clip in self.tissue.clips][:MAX_CLIPS]
        meta = {"dataset": "simulated", "source": {"episode": self.index, "frame": number}}
        return self._filming.shoot(f"{number:06d}", command, clips, self._smoke, meta)

    def _states(self, command: Command) -> dict:
        return {
            hand: self._tools[f"{hand} {tool.instrument}"].tool_state(tool.world_from_tool, tool.joints, tool.heating_w)
            for hand, tool in command.tools.items()
        }

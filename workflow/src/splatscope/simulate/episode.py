"""One operation: the surgeon moves, the tissue answers, the camera films."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from splatscope.config.simulate import SimulateConfig
from splatscope.meshes.instruments import Clip, ClipApplier, Grasper, Hook, Instrument, NeedleDriver, Scissors
from splatscope.meshes.materials import MaterialLibrary, instrument_materials, tissue_materials
from splatscope.shards import Frame
from splatscope.simulate.bleeding import Bleeding
from splatscope.simulate.filming import Filming
from splatscope.simulate.operation import Scenario, Surgeon
from splatscope.simulate.optics import Optics
from splatscope.simulate.site import OperationSite
from splatscope.simulate.smoke import Smoke
from splatscope.simulate.tissue import Tissue, TissueEvent, TissueSettings
from splatscope.simulate.tissue_surface import TissueSurface

MAX_CLIPS = 8
INSTRUMENTS = {"grasper": Grasper, "hook": Hook, "scissors": Scissors, "clipper": ClipApplier, "driver": NeedleDriver}


@dataclass
class Record:
    """What happened, beside the frames."""

    frames: list[dict] = field(default_factory=list)  # frame, time_s, phase, and the triplets of that moment
    events: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Episode:
    """A seeded operation. `frames` runs it; `record` then says what happened.

    Everything random comes from the seeds [seed, index, part], so episodes may be made in any order.
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
        def rng(part: int) -> np.random.Generator:
            return np.random.default_rng([seed, 700, index, part])

        self.index, self._config, self._scenario = index, config, scenario
        site_seed = int(rng(0).integers(2**31))
        self.site = OperationSite(site_seed, config.anatomy)
        self.instruments: dict[str, Instrument] = {
            f"{hand} {kind}": INSTRUMENTS[kind].varied(rng(1)) for hand, kind in scenario.instruments
        }
        settings = TissueSettings(substeps=config.substeps)
        self.tissue = Tissue(
            self.site.bodies,
            self.site.bonds,
            settings,
            obstacle=self.site.obstacle,
            device=device,
            seed=int(rng(2).integers(2**31)),
        )
        self.surgeon = Surgeon(scenario, self.site, self.instruments, rng(3))
        self.optics = Optics(config, scenario.duration_s, rng(4))
        self._smoke = Smoke(config.smoke, rng(5))
        self._bleeding = Bleeding(self.tissue, config.blood, rng(6))
        materials = tissue_materials(site_seed) | instrument_materials(site_seed)
        self._filming = Filming(
            self.site.backdrop_parts(),
            TissueSurface(self.tissue, self.site.tint, self._bleeding.cover),
            self.instruments,
            [Clip.parts() for _ in range(MAX_CLIPS)],
            MaterialLibrary(materials),
            self.optics,
            config,
            class_names,
            device,
        )
        self.record = Record()

    def frames(self) -> Iterator[Frame]:
        """Run the operation; frames come one behind, see Filming."""
        config, tissue, step = self._config, self.tissue, 1 / self._config.physics_rate_hz
        steps_per_frame = config.physics_rate_hz // config.frames_per_second
        events: list[TissueEvent] = []
        number = 0
        for index in range(round(config.max_duration_s * config.physics_rate_hz)):
            command = self.surgeon.command(index * step, tissue.positions, events)
            if index % steps_per_frame == 0:
                key = f"{number:06d}"
                meta = {"key": key, "dataset": "simulated", "source": {"episode": self.index, "frame": number}}
                self._note_frame(number, command)
                poses = [clip.world_from_clip for clip in tissue.clips][:MAX_CLIPS]
                finished = self._filming.shoot(command, poses, self._smoke, meta)
                number += 1
                if finished is not None:
                    yield finished
            if self.surgeon.finished:
                break
            events = self._act(command)
            states = {hand: self._state(hand, tool) for hand, tool in command.tools.items()}
            events += tissue.advance(step, states)
            self._bleeding.advance(step)
            self._burn(command, step)
            self._note_events(events)
        else:
            self.record.notes.append(f"ended after {config.max_duration_s:g} s, before the scenario was through")
        self.record.notes += self.surgeon.notes
        last = self._filming.last()
        if last is not None:
            yield last

    def _state(self, hand, tool):
        instrument = self.instruments[f"{hand} {tool.instrument}"]
        return instrument.tool_state(tool.world_from_tool, tool.joints, tool.heating_w)

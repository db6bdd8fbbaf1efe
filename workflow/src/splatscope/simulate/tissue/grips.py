"""Tissue held between jaws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.geometry import apply, invert
from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue.bond_set import FORCE
from splatscope.simulate.tissue.constraint_kernels import hold_in_jaws
from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tool_motion import ToolMotion

FORCE_MEMORY_S = 0.015  # over which the force of the jaws is averaged


@dataclass
class Grip:
    """The vertices in one pair of jaws."""

    vertices: np.ndarray  # int32 [N]
    caught: np.ndarray  # [N, 3] mm, where they were caught, in the tool's frame
    pinch_axis: np.ndarray  # [3] the way the jaws close, in the tool's frame
    centre: np.ndarray  # [3] grip point in the tool's frame
    body: int
    forces: np.ndarray  # float32 [N, 3] 1e-6 N on each vertex, running mean
    held_s: float = 0.0
    force_n: float = 0.0

    def places(self, settings: TissueSettings) -> np.ndarray:
        """[N, 3] mm in the tool's frame: squeezed more and more while the jaws close."""
        closing = min(1.0, self.held_s / settings.grip_closing_s)
        thickness = (self.caught - self.centre) @ self.pinch_axis
        return self.caught - closing * (1 - settings.grip_squeeze) * thickness[:, None] * self.pinch_axis


class Grips:
    """What all jaws hold."""

    def __init__(self, settings: TissueSettings, device: str):
        self._settings, self._device = settings, device
        self.held: dict[str, Grip] = {}
        self._forces: wp.array | None = None
        self._owners: list[tuple[str, slice]] = []

    def vertices(self) -> np.ndarray:
        """All vertices that jaws hold."""
        return np.concatenate([grip.vertices for grip in self.held.values()] or [np.zeros(0, np.int32)])

    def catch(self, tool: str, state: ToolState, positions: np.ndarray, vertices: np.ndarray, body: int) -> None:
        axis = state.jaw_axes()[:, 0]
        caught = apply(invert(np.asarray(state.world_from_tool, float)), positions[vertices].astype(float))
        centre = np.asarray(state.grip_point, float)
        forces = np.zeros((len(vertices), 3), np.float32)
        self.held[tool] = Grip(vertices.astype(np.int32), caught, axis, centre, body, forces)

    def drop_vertices(self, gone: np.ndarray) -> None:
        """Forget vertices (indices) that no tissue uses any more."""
        for tool, grip in list(self.held.items()):
            kept = ~np.isin(grip.vertices, gone)
            grip.vertices, grip.caught, grip.forces = grip.vertices[kept], grip.caught[kept], grip.forces[kept]
            if not len(grip.vertices):
                del self.held[tool]

    def add_to(
        self, launches: Launches, motion: ToolMotion, positions: wp.array, inverse_mass: wp.array, step_s: float
    ) -> None:
        grips = [(name, grip) for name, grip in self.held.items() if name in motion.names]
        self._owners, self._forces = [], None
        if not grips:
            return
        counts = [len(grip.vertices) for _, grip in grips]
        ends = np.cumsum(counts)
        self._owners = [(name, slice(end - count, end)) for (name, _), end, count in zip(grips, ends, counts)]
        tools = np.repeat([motion.names.index(name) for name, _ in grips], counts)
        places = np.concatenate([grip.places(self._settings) for _, grip in grips])
        # each vertex bears its share: jaws are as stiff on many vertices as on few
        compliance = float(np.mean(counts) / (self._settings.grip_stiffness_n_per_mm * FORCE))

        vertices = upload(np.concatenate([grip.vertices for _, grip in grips]), wp.int32, self._device)
        places, tools = upload(places, wp.vec3, self._device), upload(tools, wp.int32, self._device)
        self._forces = upload(np.concatenate([grip.forces for _, grip in grips]), wp.vec3, self._device)
        numbers = [compliance, 1 / step_s**2, 1 - np.exp(-step_s / FORCE_MEMORY_S), 0]
        launches.add(
            hold_in_jaws,
            int(ends[-1]),
            [positions, inverse_mass, vertices, places, tools, motion.poses, *numbers, self._forces],
        )

    def finish(self, duration_s: float) -> list[tuple[str, float]]:
        """After an interval: (tool, force in N) of the jaws out of which the tissue slips."""
        slipped = []
        forces = self._forces.numpy() if self._forces is not None else None
        for name, owned in self._owners:
            grip = self.held[name]
            grip.held_s += duration_s
            grip.forces = forces[owned].copy()
            grip.force_n = float(np.linalg.norm(grip.forces.sum(0)) / FORCE)
            if grip.force_n > self._settings.grip_slip_n:
                slipped.append((name, grip.force_n))
        return slipped

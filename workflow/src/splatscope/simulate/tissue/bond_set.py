"""The bonds of connective tissue on a device."""

from __future__ import annotations

import numpy as np
import warp as wp

from splatscope.simulate.tissue.body import Bonds
from splatscope.simulate.tissue.colouring import by_colour, colour
from splatscope.simulate.tissue.constraint_kernels import solve_bonds
from splatscope.simulate.tissue.launches import Launches

FORCE = 1e6  # solver units (g mm/s^2) in a newton


class BondSet:
    """All bonds of a tissue. Host arrays are in the order in which the bonds came, device arrays in that of colours."""

    def __init__(self, bonds: Bonds, body_starts: np.ndarray, device: str):
        self.bodies = np.stack([bonds.first_body, bonds.second_body], -1)
        vertices = np.stack([bonds.first_vertex, bonds.second_vertex], -1)
        self.vertices = (body_starts[self.bodies] + vertices).astype(np.int32)  # [N, 2]
        self.broken = np.zeros(len(bonds), bool)
        self.heat_j = np.zeros(len(bonds))  # that passed through each strand
        self._order, self._ranges = by_colour(colour(self.vertices, int(self.vertices.max(initial=-1)) + 1))

        def upload(values, dtype, kind):
            return wp.array(np.ascontiguousarray(values[self._order], dtype), dtype=kind, device=device)

        self._constants = (
            upload(self.vertices, np.int32, wp.vec2i),
            upload(bonds.rest_mm, np.float32, float),
            upload(1 / (bonds.stiffness_n_per_mm * FORCE), np.float32, float),
        )
        self._break_mm = bonds.break_mm.astype(np.float32)
        self._longest_mm = (bonds.rest_mm + bonds.break_mm).astype(np.float32)
        self._longest = upload(self._longest_mm, np.float32, float)
        self._state = upload(self.broken, np.int32, wp.int32)

    def hold(self) -> None:
        """Let no bond fail, however long it gets."""
        self._longest.fill_(np.inf)

    def hold_no_more(self, positions: np.ndarray) -> None:
        """Let bonds fail again; one that got longer meanwhile bears as much more as it would have from its rest."""
        ends = positions[self.vertices].astype(np.float32)
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        self._longest_mm = np.maximum(self._longest_mm, length + self._break_mm)
        self._longest.assign(self._longest_mm[self._order])

    def read_broken(self) -> np.ndarray:
        """Indices of the bonds that failed since the last call."""
        before = self.broken.copy()
        self.broken[self._order] = self._state.numpy() != 0
        return np.flatnonzero(self.broken & ~before)

    def fail(self, bonds: np.ndarray) -> None:
        """Have bonds (indices) fail; `read_broken` will report them."""
        state = self._state.numpy().copy()
        state[np.isin(self._order, bonds)] = 1
        self._state.assign(state)

    def add_to(self, launches: Launches, positions: wp.array, inverse_mass: wp.array, step_s: float) -> None:
        arguments = [positions, inverse_mass, *self._constants, self._longest, self._state, 1 / step_s**2]
        launches.add_coloured(solve_bonds, self._ranges, arguments)

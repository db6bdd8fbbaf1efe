"""Constraints between two vertices: breakable bonds of connective tissue, and clips."""

from __future__ import annotations

import numpy as np
import warp as wp

from splatscope.simulate.tissue.body import Bonds
from splatscope.simulate.tissue.colouring import by_colour, colour
from splatscope.simulate.tissue.constraint_kernels import solve_pairs
from splatscope.simulate.tissue.launches import Launches

FORCE = 1e6  # solver units (g mm/s^2) in a newton


class Pairs:
    """All pairs on one device, coloured. Bonds come first in the host's numbering, then the pairs of clips."""

    def __init__(self, bonds: Bonds, body_starts: np.ndarray, device: str):
        self._device = device
        self.bond_bodies = np.stack([bonds.first_body, bonds.second_body], -1)
        ends = np.stack(
            [
                body_starts[bonds.first_body] + bonds.first_vertex,
                body_starts[bonds.second_body] + bonds.second_vertex,
            ],
            -1,
        )
        self.bond_count = len(bonds)
        self.vertices = ends.astype(np.int32).reshape(-1, 2)
        self._rest = bonds.rest_mm.astype(np.float32)
        self._compliance = (1 / (bonds.stiffness_n_per_mm * FORCE)).astype(np.float32)
        self._longest = (bonds.rest_mm + bonds.break_mm).astype(np.float32)
        self._clip = np.full(len(bonds), -1, np.int32)
        self.clip_axes = np.zeros((0, 3), np.float32)
        self.broken = np.zeros(len(bonds), np.int32)
        self.bond_heat_j = np.zeros(len(bonds))
        self._unread = np.zeros(0, int)
        self._upload()

    def add_clip(self, vertices: np.ndarray, distances: np.ndarray, axis: np.ndarray) -> int:
        """Pairs [N, 2] that keep `distances` [N] mm along `axis` [3]; the clip's number."""
        self._unread = self.read_broken()
        count, number = len(vertices), len(self.clip_axes)
        self.vertices = np.vstack([self.vertices, vertices]).astype(np.int32)
        self._rest = np.append(self._rest, distances).astype(np.float32)
        self._compliance = np.append(self._compliance, np.zeros(count, np.float32))
        self._longest = np.append(self._longest, np.full(count, np.inf, np.float32))
        self._clip = np.append(self._clip, np.full(count, number, np.int32))
        self.broken = np.append(self.broken, np.zeros(count, np.int32))
        self.clip_axes = np.vstack([self.clip_axes, axis]).astype(np.float32)
        self._upload()
        return number

    def set_clip(self, number: int, distances: np.ndarray, axis: np.ndarray) -> None:
        self._rest[self._clip == number] = distances
        self.clip_axes[number] = axis
        self._rest_device.assign(self._rest[self._order])
        self._axes_device.assign(self.clip_axes)

    def hold(self) -> None:
        """Let no bond fail, however long it gets."""
        self._longest_device.fill_(np.inf)

    def hold_no_more(self, positions: np.ndarray) -> None:
        """Let bonds fail again; one that was stretched meanwhile bears as much more as it would have from its rest."""
        margin = self._longest - self._rest
        ends = positions[self.vertices].astype(np.float32)
        self._longest = np.maximum(self._longest, np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) + margin)
        self._longest_device.assign(self._longest[self._order])

    def read_broken(self) -> np.ndarray:
        """Indices of the pairs that failed since the last call."""
        before = self.broken.copy()
        self.broken[self._order] = self._broken_device.numpy()
        fresh, self._unread = np.concatenate([self._unread, np.flatnonzero(self.broken != before)]), self._unread[:0]
        return fresh

    def break_pairs(self, pairs: np.ndarray) -> None:
        """Have pairs (indices) fail; `read_broken` will report them."""
        state = self._broken_device.numpy().copy()
        state[np.isin(self._order, pairs)] = 1
        self._broken_device.assign(state)

    def _upload(self) -> None:
        count = int(self.vertices.max(initial=-1)) + 1
        self._order, self._ranges = by_colour(colour(self.vertices, count))

        def upload(values, dtype):
            return wp.array(np.ascontiguousarray(values[self._order]), dtype=dtype, device=self._device)

        self._pairs_device = upload(self.vertices, wp.vec2i)
        self._rest_device = upload(self._rest, float)
        self._compliance_device = upload(self._compliance, float)
        self._longest_device = upload(self._longest, float)
        self._clip_device = upload(self._clip, wp.int32)
        self._broken_device = upload(self.broken, wp.int32)
        self._axes_device = wp.array(self.clip_axes, dtype=wp.vec3, device=self._device)

    def add_to(self, launches: Launches, positions: wp.array, inverse_mass: wp.array, step_s: float) -> None:
        launches.add_coloured(
            solve_pairs,
            self._ranges,
            [positions, inverse_mass, self._pairs_device, self._rest_device, self._compliance_device]
            + [self._longest_device, self._clip_device, self._axes_device, self._broken_device, 1 / step_s**2],
        )

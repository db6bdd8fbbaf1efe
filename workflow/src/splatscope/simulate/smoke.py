"""Smoke of burning tissue: Gaussian puffs that rise, spread and thin out, and the light they take and scatter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import warp as wp

from splatscope.geometry import Camera, apply, invert
from splatscope.meshes.lanes import LANES
from splatscope.simulate import smoke_kernels
from splatscope.simulate.tissue.heat import Smoke as Vapour

LIFE_S = 1.6
SPREAD_MM_PER_S = 9.0
PUFFS_PER_S = 14.0
THICKNESS_PER_MG = 12.0  # optical depth times mm^2 of a puff
SCATTERED = np.float32([0.42, 0.43, 0.46])  # colour of thick smoke under the light


class Smoke:
    """Puffs in the site frame."""

    def __init__(self, factor: float, rng: np.random.Generator):
        self._factor, self._rng = factor, rng
        self._centres, self._velocities = np.zeros((0, 3)), np.zeros((0, 3))
        self._radii, self._amounts, self._ages = np.zeros(0), np.zeros(0), np.zeros(0)

    def advance(self, duration_s: float, sources: Sequence[Vapour]) -> None:
        """Let the puffs drift, and new ones come from where tissue steams."""
        self._centres = self._centres + duration_s * self._velocities
        self._radii = self._radii + SPREAD_MM_PER_S * duration_s
        self._ages = self._ages + duration_s
        keep = self._ages < 3 * LIFE_S
        for name in ("_centres", "_velocities", "_radii", "_amounts", "_ages"):
            setattr(self, name, getattr(self, name)[keep])
        for source in sources:
            count = self._rng.poisson(PUFFS_PER_S * duration_s)
            amount = self._factor * THICKNESS_PER_MG * source.rate_mg_per_s / PUFFS_PER_S
            self._add(np.asarray(source.point), np.full(count, amount))

    def _add(self, source: np.ndarray, amounts: np.ndarray) -> None:
        count = len(amounts)
        rising = np.array([0, -2.0, 16.0]) + self._rng.normal(0, 5, (count, 3))
        self._centres = np.vstack([self._centres, source + self._rng.normal(0, 1.0, (count, 3))])
        self._velocities = np.vstack([self._velocities, rising])
        self._radii = np.concatenate([self._radii, self._rng.uniform(2.0, 3.5, count)])
        self._amounts = np.concatenate([self._amounts, amounts * self._rng.uniform(0.6, 1.4, count)])
        self._ages = np.concatenate([self._ages, np.zeros(count)])

    def veil(
        self, radiance: np.ndarray, depth_mm: np.ndarray, camera: Camera, world_from_camera: np.ndarray, light_mm: float
    ) -> np.ndarray:
        """Radiance float32 [H, W, 3] seen through the smoke. `light_mm`: distance at which the light has power 1."""
        if not len(self._radii):
            return radiance
        centres = apply(invert(world_from_camera), self._centres)
        squared, fading = (centres**2).sum(1), self._amounts * np.exp(-self._ages / LIFE_S)
        light = np.minimum(light_mm**2 / np.maximum(squared, 20.0**2), 6.0)
        thickness = fading / self._radii**2
        puffs = np.column_stack([centres, squared, self._radii**-2, 2.4 / self._radii, thickness, light])
        veiled = np.empty(radiance.shape, np.float32)
        pixels = depth_mm.size
        wp.launch(
            smoke_kernels.veil,
            dim=-(-pixels // LANES),
            inputs=[
                _flat(radiance, wp.vec3),
                _flat(depth_mm, wp.float32),
                _rays(camera),
                wp.array(puffs.astype(np.float32), dtype=smoke_kernels.Puff, device="cpu"),
                wp.vec3(*SCATTERED.tolist()),
            ],
            outputs=[_flat(veiled, wp.vec3)],
            device="cpu",
        )
        return veiled


def _flat(values: np.ndarray, dtype: type) -> wp.array:
    """The memory of `values` as a list of pixels."""
    pixels = values.reshape(-1, *values.shape[2:])
    return wp.array(np.ascontiguousarray(pixels, np.float32), dtype=dtype, copy=False, device="cpu")


@lru_cache(maxsize=1)
def _rays(camera: Camera) -> wp.array:
    return _flat(camera.pixel_rays(), wp.vec2)

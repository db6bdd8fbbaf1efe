"""Smoke of burning tissue: Gaussian puffs that rise, spread and thin out, and the light they take and scatter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from splatscope.geometry import Camera, apply, invert
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
        """Radiance [H, W, 3] seen through the smoke. `light_mm`: distance at which the light has power 1.

        The optical depth of a Gaussian puff along a ray up to the surface has a closed form: its column times a
        normal distribution function, here the logistic one.
        """
        if not len(self._radii):
            return radiance
        directions, lengths = _directions(camera)
        reach = np.where(depth_mm > 0, depth_mm, 1e3) * lengths
        thickness = np.zeros(depth_mm.shape, np.float32)
        lit = np.zeros(depth_mm.shape, np.float32)
        centres = apply(invert(world_from_camera), self._centres)
        fading = self._amounts * np.exp(-self._ages / LIFE_S)
        for centre, radius, amount in zip(centres.astype(np.float32), self._radii, fading):
            along = directions @ centre
            across = np.float32(centre @ centre) - along**2
            before = 1 / (1 + np.exp(np.clip(-2.4 / radius * (reach - along), -30, 30)))
            column = np.float32(amount / radius**2) * np.exp(-across / np.float32(radius**2)) * before
            column[along < 2] = 0
            thickness += column
            lit += column * np.float32(min((light_mm / max(np.linalg.norm(centre), 20)) ** 2, 6.0))
        passed = np.exp(-thickness)[..., None]
        glow = lit / np.maximum(thickness, 1e-6)
        return radiance * passed + SCATTERED * (glow[..., None] * (1 - passed))


@lru_cache(maxsize=1)
def _directions(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel looks: unit vectors [H, W, 3]; their length [H, W] at depth 1."""
    rays = np.dstack([camera.pixel_rays(), np.ones((camera.height, camera.width))]).astype(np.float32)
    lengths = np.linalg.norm(rays, axis=-1)
    return rays / lengths[..., None], lengths

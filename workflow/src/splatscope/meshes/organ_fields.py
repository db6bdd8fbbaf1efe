"""The organs about the gallbladder as distance fields, for given courses and sizes; phantom and simulator share them.

Site frame: z towards the abdominal wall (where the camera is), y towards the head, origin beside the gallbladder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.noise import VolumeNoise

# ids of the class table
ABDOMINAL_WALL, LIVER, GUT, FAT, CONNECTIVE, DUCT, GALLBLADDER, ARTERY = 1, 2, 3, 4, 6, 8, 10, 13

BOWEL = np.float32([(-104, -20, -20), (-72, -34, -12), (-44, -48, -10), (-12, -66, -12), (30, -84, -16)])
CAVITY_BOX = (-190, -180, -90), (190, 190, 170)


@dataclass(frozen=True)
class Lobe:
    """An ellipsoid of the liver."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]


@dataclass(frozen=True)
class LiverShape:
    right: Lobe = Lobe((38, 66, -26), (92, 78, 44))
    left: Lobe = Lobe((-62, 70, -26), (70, 56, 32))
    waviness_mm: float = 1.6


def sac(points: np.ndarray, path: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """The gallbladder's smooth sac: path [N, 3] from fundus to neck."""
    return sdf.tube(points, path, radii, 5.0)


def liver(points: np.ndarray, shape: LiverShape, noise: VolumeNoise) -> np.ndarray:
    """The liver without a bed for the gallbladder."""
    right = sdf.ellipsoid(points, shape.right.centre, shape.right.radii)
    left = sdf.ellipsoid(points, shape.left.centre, shape.left.radii)
    return sdf.smooth_union(right, left, 26.0) + shape.waviness_mm * noise(points, 45) + 0.35 * noise(points, 12)


def gut(points: np.ndarray, path: np.ndarray, noise: VolumeNoise) -> np.ndarray:
    """A loop of bowel along a path [N, 3]."""
    haustra = 1.5 * np.sin(points[..., 0] * 0.30 + 0.8 * noise(points, 30)) + 0.9 * noise(points, 14)
    return sdf.tube(points, path, 16.0, 4.0) + haustra


def fat_height(points: np.ndarray, noise: VolumeNoise) -> np.ndarray:
    """Height of the omentum's surface under x, y: low behind the gallbladder, rising to the sides and front."""
    x, y = points[..., 0], points[..., 1]
    flat = np.stack([x, y, np.zeros_like(x)], -1)
    rise = 10 * np.clip((np.abs(x - 5) - 30) / 60, 0, 1) + 12 * np.clip((-y - 35) / 60, 0, 1)
    return -9 + rise - 8 * np.clip((y - 5) / 30, 0, 1) + 4.5 * noise(flat, 55) + 2.5 * noise(flat, 22)


class Lobules:
    """Rounded lobules that fat bulges into."""

    def __init__(self, rng: np.random.Generator):
        axes = [np.arange(-150, 150, 7.5), np.arange(-140, 70, 7.5), np.arange(-40, 30, 7.5)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        self._centres = cKDTree(grid + rng.uniform(-3.4, 3.4, grid.shape))

    def on(self, base: np.ndarray, points: np.ndarray) -> np.ndarray:
        """A smooth field of fat, given as its values [...] at points [..., 3], with lobules on its surface."""
        result = base.copy()
        near = np.abs(base) < 8
        spread = self._centres.query(points[near], workers=1)[0] / 6.5
        result[near] -= 3.2 * (1 - spread**2)
        return result * 0.8


def cavity(points: np.ndarray, noise: VolumeNoise, phase: float) -> np.ndarray:
    """The inflated abdomen: negative in the hollow."""
    return sdf.ellipsoid(points, (0, 5, 36), (172, 168, 118)) + 5 * noise(points + phase, 70)


def broad_tint(points: np.ndarray, fatty: bool, noise: VolumeNoise) -> np.ndarray:
    """Colour factor [N, 3]: broad variation that the small texture tile cannot have."""
    broad = noise(points + 31, 60)[:, None]
    middle = noise(points + 77, 17)[:, None]
    warm = np.array([[0.05, -0.06, -0.10]]) if fatty else np.array([[0.07, 0.02, 0.0]])
    return 1 + 0.09 * broad + 0.07 * middle + warm * (0.7 * broad - 0.6 * middle)


def gallbladder_tint(reach: np.ndarray) -> np.ndarray:
    """Colour factor [N, 3]: reddened where the gallbladder lies on the liver, greener towards the fundus (reach 1)."""
    return np.array([[1.12, 0.86, 0.80]]) * (1 - reach[:, None]) + np.array([[0.90, 1.02, 0.95]]) * reach[:, None]

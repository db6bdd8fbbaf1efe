"""A seeded upper abdomen about the gallbladder: closed meshes in mm from signed distance fields.

Site frame: z towards the abdominal wall (where the camera is), y towards the head, origin beside the gallbladder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.scene import Part

# ids of the class table
ABDOMINAL_WALL, LIVER, GUT, FAT, DUCT, GALLBLADDER, ARTERY = 1, 2, 3, 4, 8, 10, 13


@dataclass(frozen=True)
class _Organ:
    material: str
    class_id: int
    field: sdf.Field
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    spacing: float


class Anatomy:
    """The site: `parts` for the renderer and `distance` for planning, e.g. how near a tool is to tissue."""

    def __init__(self, seed: int):
        self._noise = VolumeNoise(seed)
        rng = np.random.default_rng([seed, 201])
        organs = self._organs(rng)
        self._fields = {
            name: SampledField.sample(organ.field, organ.low, organ.high, organ.spacing)
            for name, organ in organs.items()
        }
        cavity = self._cavity(rng)
        surfaces = {name: field.surface() for name, field in self._fields.items()}
        self.parts: list[Part] = []
        for name, mesh in surfaces.items():
            mesh.tint = self._tint(mesh, name)
            self.parts.append(Part(mesh, organs[name].material, organs[name].class_id))
        wall = SampledField.sample(cavity, (-190, -180, -90), (190, 190, 170), 6.0).surface().flipped()
        wall.tint = np.ones((len(wall.vertices), 4), np.float32)
        self.parts.append(Part(wall, "peritoneum", ABDOMINAL_WALL))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Distance in mm from points [..., 3] to the nearest organ; negative inside."""
        return np.min([field(points) for field in self._fields.values()], axis=0)

    def _organs(self, rng: np.random.Generator) -> dict[str, _Organ]:
        noise = self._noise

        def jitter(value, amount=1.5):
            return np.asarray(value, np.float32) + rng.normal(0, amount, np.shape(value)).astype(np.float32)

        fundus, body, neck = jitter((9, -26, 7)), jitter((3, -9, 7)), jitter((-10, 10, 5))
        sac = np.stack([fundus, body, neck, neck + np.float32([-6, 5, -1.5])])
        sac_radii = np.array([12.5, 12.0, 6.0, 3.2]) * rng.uniform(0.95, 1.05)
        cystic = sdf.curve(
            np.stack([neck + np.float32(d) for d in ((-6, 5, -1), (-11, 4, 1), (-15, 7, 2), (-21, 4, 1), (-28, 6, -2))])
        )
        common = sdf.curve(np.float32([(-33, 34, -16), (-35, 18, -4), (-37, 4, -2), (-36, -14, -6), (-30, -34, -16)]))
        vessel = sdf.curve(
            np.stack([neck + np.float32(d) for d in ((9, 2, 6), (1, 8, 4), (-6, 12, 4), (-16, 11, 4), (-30, 15, 0))])
        )
        branch = sdf.curve(
            np.stack([neck + np.float32(d) for d in ((-6, 12, 4), (-2, 5, 8), (5, -4, 10.5), (8, -15, 13))])
        )
        bowel = sdf.curve(
            np.float32([(-104, -20, -20), (-72, -34, -12), (-44, -48, -10), (-12, -66, -12), (30, -84, -16)])
        )

        def gallbladder(points):
            return sdf.tube(points, sac, sac_radii, 5.0) + 0.5 * noise(points, 18)

        def duct(points):
            return sdf.smooth_union(
                sdf.tube(points, cystic, 2.0, 1.0) + 0.25 * noise(points, 5), sdf.tube(points, common, 3.4, 2.0), 2.0
            )

        def artery(points):
            return np.minimum(sdf.tube(points, vessel, 1.35, 0.8), sdf.tube(points, branch, 0.85, 0.6))

        def liver(points):
            right = sdf.ellipsoid(points, (38, 66, -26), (92, 78, 44))
            left = sdf.ellipsoid(points, (-62, 70, -26), (70, 56, 32))
            whole = sdf.smooth_union(right, left, 26.0) + 1.6 * noise(points, 45) + 0.35 * noise(points, 12)
            bed = sdf.tube(points, sac, sac_radii, 5.0) - 0.8
            return sdf.smooth_subtract(whole, bed, 4.0)

        def gut(points):
            haustra = 1.5 * np.sin(points[..., 0] * 0.30 + 0.8 * noise(points, 30)) + 0.9 * noise(points, 14)
            return sdf.tube(points, bowel, 16.0, 4.0) + haustra

        lobules = _lobule_centres(rng)

        def fat(points):
            base = points[..., 2] - self._fat_height(points)
            result = base.copy()
            near = np.abs(base) < 8
            spread = lobules.query(points[near], workers=1)[0] / 6.5
            result[near] -= 3.2 * (1 - spread**2)
            return result * 0.8

        return {
            "liver": _Organ("liver", LIVER, liver, (-138, -16, -60), (138, 150, 26), 2.2),
            "gallbladder": _Organ("gallbladder", GALLBLADDER, gallbladder, (-28, -46, -14), (32, 28, 28), 1.0),
            "duct": _Organ("duct", DUCT, duct, (-52, -44, -26), (-6, 44, 18), 0.9),
            "artery": _Organ("artery", ARTERY, artery, (-50, -18, -8), (12, 38, 26), 0.55),
            "gut": _Organ("gut", GUT, gut, (-126, -108, -42), (52, 4, 14), 2.0),
            "fat": _Organ("fat", FAT, fat, (-142, -132, -40), (142, 62, 22), 1.8),
        }

    def _fat_height(self, points: np.ndarray) -> np.ndarray:
        """Height of the omentum's surface under x, y: low behind the gallbladder, rising to the sides and front."""
        x, y = points[..., 0], points[..., 1]
        flat = np.stack([x, y, np.zeros_like(x)], -1)
        rise = 10 * np.clip((np.abs(x - 5) - 30) / 60, 0, 1) + 12 * np.clip((-y - 35) / 60, 0, 1)
        return -9 + rise - 8 * np.clip((y - 5) / 30, 0, 1) + 4.5 * self._noise(flat, 55) + 2.5 * self._noise(flat, 22)

    def _cavity(self, rng: np.random.Generator) -> sdf.Field:
        phase = rng.uniform(0, 100)

        def cavity(points):
            return sdf.ellipsoid(points, (0, 5, 36), (172, 168, 118)) + 5 * self._noise(points + phase, 70)

        return cavity

    def _tint(self, mesh: Mesh, name: str) -> np.ndarray:
        """Colour factor and ambient occlusion: broad variation that the small tile cannot have."""
        broad = self._noise(mesh.vertices + 31, 60)[:, None]
        middle = self._noise(mesh.vertices + 77, 17)[:, None]
        warm = np.array([[0.05, -0.06, -0.10]]) if name in ("fat", "gut") else np.array([[0.07, 0.02, 0.0]])
        factor = 1 + 0.09 * broad + 0.07 * middle + warm * (0.7 * broad - 0.6 * middle)
        occlusion = sdf.ambient_occlusion(list(self._fields.values()), mesh)
        if name == "gallbladder":  # greener towards the fundus, reddened where it lies on the liver
            reach = np.clip((-mesh.vertices[:, 1:2] + 5) / 40, 0, 1)
            factor *= np.array([[1.12, 0.86, 0.80]]) * (1 - reach) + np.array([[0.90, 1.02, 0.95]]) * reach
        return np.concatenate([np.clip(factor, 0.4, 1.6), occlusion[:, None]], 1).astype(np.float32)


def _lobule_centres(rng: np.random.Generator) -> cKDTree:
    axes = [np.arange(-150, 150, 7.5), np.arange(-140, 70, 7.5), np.arange(-40, 30, 7.5)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return cKDTree(grid + rng.uniform(-3.4, 3.4, grid.shape))

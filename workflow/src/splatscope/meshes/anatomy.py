"""A seeded upper abdomen about the gallbladder: closed meshes in mm from signed distance fields.

The rigid site of the phantom's recordings; frame and organs are those of organ_fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes import organ_fields
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.organ_fields import ABDOMINAL_WALL, ARTERY, DUCT, FAT, GALLBLADDER, GUT, LIVER
from splatscope.meshes.scene import Part


@dataclass(frozen=True)
class _Organ:
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
        phase = rng.uniform(0, 100)
        surfaces = {name: field.surface() for name, field in self._fields.items()}
        self.parts: list[Part] = []
        for name, mesh in surfaces.items():
            mesh.tint = self._tint(mesh, name)
            self.parts.append(Part(mesh, name, organs[name].class_id))
        cavity = SampledField.sample(
            lambda points: organ_fields.cavity(points, self._noise, phase), *organ_fields.CAVITY_BOX, 6.0
        )
        wall = cavity.surface().flipped()
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
        bowel = sdf.curve(organ_fields.BOWEL)
        lobules = organ_fields.Lobules(rng)

        def gallbladder(points):
            return organ_fields.sac(points, sac, sac_radii) + 0.5 * noise(points, 18)

        def duct(points):
            return sdf.smooth_union(
                sdf.tube(points, cystic, 2.0, 1.0) + 0.25 * noise(points, 5), sdf.tube(points, common, 3.4, 2.0), 2.0
            )

        def artery(points):
            return np.minimum(sdf.tube(points, vessel, 1.35, 0.8), sdf.tube(points, branch, 0.85, 0.6))

        def liver(points):
            bed = organ_fields.sac(points, sac, sac_radii) - 0.8
            return sdf.smooth_subtract(organ_fields.liver(points, organ_fields.LiverShape(), noise), bed, 4.0)

        def gut(points):
            return organ_fields.gut(points, bowel, noise)

        def fat(points):
            return lobules.on(points[..., 2] - organ_fields.fat_height(points, noise), points)

        return {
            "liver": _Organ(LIVER, liver, (-138, -16, -60), (138, 150, 26), 2.2),
            "gallbladder": _Organ(GALLBLADDER, gallbladder, (-28, -46, -14), (32, 28, 28), 1.0),
            "duct": _Organ(DUCT, duct, (-52, -44, -26), (-6, 44, 18), 0.9),
            "artery": _Organ(ARTERY, artery, (-50, -18, -8), (12, 38, 26), 0.55),
            "gut": _Organ(GUT, gut, (-126, -108, -42), (52, 4, 14), 2.0),
            "fat": _Organ(FAT, fat, (-142, -132, -40), (142, 62, 22), 1.8),
        }

    def _tint(self, mesh: Mesh, name: str) -> np.ndarray:
        """Colour factor and ambient occlusion [V, 4]."""
        factor = organ_fields.broad_tint(mesh.vertices, name in ("fat", "gut"), self._noise)
        occlusion = sdf.ambient_occlusion(list(self._fields.values()), mesh)
        if name == "gallbladder":
            factor *= organ_fields.gallbladder_tint(np.clip((-mesh.vertices[:, 1] + 5) / 40, 0, 1))
        return np.concatenate([np.clip(factor, 0.4, 1.6), occlusion[:, None]], 1).astype(np.float32)

"""Bipolar Maryland forceps of 5 mm: slender curved jaws that dissect, grasp and coagulate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from splatscope.meshes.instruments.grasper import GRASPER
from splatscope.meshes.instruments.instrument import SIDES, LinkMeshes, StraightJaws, chain_of_capsules
from splatscope.meshes.instruments.shafts import PLAY_MM, fork, jaw_root, sleeve
from splatscope.meshes.lofting import loft
from splatscope.meshes.mesh import Mesh

STRAIGHT_MM = 1.3  # of the gripping faces, beside the neck of the other jaw


@dataclass(frozen=True)
class MarylandForceps(StraightJaws):
    """Shape of the forceps; mm. Both jaws bend towards +x."""

    shaft_radius_mm: float = 2.5
    shaft_length_mm: float = 290.0
    jaw_length_mm: float = 22.0
    jaw_half_width_mm: float = 2.0
    tip_half_width_mm: float = 0.75
    jaw_depth_mm: float = 1.8  # thickness of one jaw at its base
    bend_mm: float = 4.0  # how far the tip lies beside the shaft's axis
    tooth_mm: float = 0.8
    tooth_height_mm: float = 0.15

    name = "maryland forceps"
    class_id = GRASPER
    verb_name = "bipolar"
    electrode = True
    sleeve_end_mm = -11.0
    root_mm = 4.6  # where the gripping faces begin

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        return cls(
            shaft_length_mm=rng.uniform(270, 320),
            jaw_length_mm=rng.uniform(18, 26),
            jaw_half_width_mm=rng.uniform(1.8, 2.2),
            tip_half_width_mm=rng.uniform(0.6, 0.95),
            jaw_depth_mm=rng.uniform(1.6, 2.0),
            bend_mm=rng.uniform(2.5, 5.0),
            tooth_mm=rng.uniform(0.7, 1.1),
        )

    def build(self) -> LinkMeshes:
        black = sleeve(self.shaft_radius_mm, -self.shaft_length_mm, self.sleeve_end_mm - 5)
        blue = sleeve(self.shaft_radius_mm + 0.04, self.sleeve_end_mm - 5.4, self.sleeve_end_mm)
        links = fork(self.shaft_radius_mm, 1.15, self.sleeve_end_mm, 2.2)
        links["shaft"] += [(black, "insulation"), (blue, "blue insulation")]
        for link, side in SIDES.items():
            root = jaw_root(side, 2.1, 1.1, 0.9 * self.jaw_half_width_mm, 0.95 * self.jaw_depth_mm, self.root_mm)
            links[link] = [(mesh, "steel") for mesh in [*root, self._jaw(side)]]
        return links

    def jaw_line(self) -> np.ndarray:
        z = np.linspace(self.root_mm + 2, self.jaw_length_mm, 9)
        return np.column_stack([self._bend(z), np.zeros_like(z), z])

    def jaw_tip(self, side: int) -> np.ndarray:
        return self.jaw_line()[-1] + [side * PLAY_MM, 0, 0]

    def jaw_capsules(self, side: int) -> np.ndarray:
        z = np.array([3.0, 0.4 * self.jaw_length_mm, 0.7 * self.jaw_length_mm, self.jaw_length_mm - 0.5])
        radii = np.array([0.5, 0.45, 0.33]) * self.jaw_depth_mm
        beside = np.append(radii, radii[-1])
        return chain_of_capsules(np.column_stack([self._bend(z) + side * beside, np.zeros_like(z), z]), radii)

    def _share(self, z: np.ndarray) -> np.ndarray:
        return np.clip((z - self.root_mm) / (self.jaw_length_mm - self.root_mm), 0, 1)

    def _bend(self, z: np.ndarray) -> np.ndarray:
        start = self.root_mm + STRAIGHT_MM
        return self.bend_mm * np.clip((z - start) / (self.jaw_length_mm - start), 0, 1) ** 2

    def _jaw(self, side: int) -> Mesh:
        """Half-round tapering bar along the bend, with cross teeth on its flat face."""
        teeth = int((self.jaw_length_mm - 1 - self.root_mm) / self.tooth_mm)
        z = self.root_mm - 0.8 + np.arange(2 * teeth + 1) * (self.tooth_mm / 2)
        last = self.jaw_length_mm - z[-1]
        z = np.concatenate([z, z[-1] + last * np.array([0.3, 0.55, 0.75, 0.9, 0.975, 1.0])])
        share = self._share(z)
        rounding = np.sqrt(np.clip(1 - np.clip((z - self.jaw_length_mm) / 1.2 + 1, 0, 0.98) ** 2, 0, 1))
        width = rounding * (self.jaw_half_width_mm + (self.tip_half_width_mm - self.jaw_half_width_mm) * share**0.8)
        depth = (0.35 + 0.65 * rounding) * self.jaw_depth_mm * (1 - 0.6 * share)
        zigzag = self.tooth_height_mm * np.where(np.arange(len(z)) < 2 * teeth, np.arange(len(z)) % 2 - 0.5, 0)
        zigzag[z < self.root_mm + STRAIGHT_MM] = 0
        angle = np.linspace(0, np.pi, 11)
        y = np.concatenate([np.cos(angle), [-0.33, 0.33]])
        up = np.concatenate([np.sin(angle) ** 0.8, [0, 0]])
        up[[0, 10]] = 0
        face = side * PLAY_MM + zigzag[:, None]
        x = self._bend(z)[:, None] + face + up * (side * depth[:, None] - face)
        return loft(np.stack([x, width[:, None] * y, np.broadcast_to(z[:, None], x.shape)], -1))

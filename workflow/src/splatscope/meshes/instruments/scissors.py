"""Curved scissors of 5 mm: two blades that shear past each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from splatscope.meshes.instruments.instrument import SIDES, LinkMeshes, StraightJaws, chain_of_capsules
from splatscope.meshes.instruments.shafts import PLAY_MM, fork, sleeve
from splatscope.meshes.lofting import at_heights, ellipse, loft, rounded_box, sweep
from splatscope.meshes.mesh import Mesh

SCISSORS = 15  # id in the class table


@dataclass(frozen=True)
class Scissors(StraightJaws):
    """Shape of the scissors; mm. Each blade keeps to its side of a sheet that bends towards +y with the distance from
    the pivot: a surface of revolution about the pivot, so that the blades slide along it however far they open.
    """

    shaft_radius_mm: float = 2.5
    shaft_length_mm: float = 290.0
    jaw_length_mm: float = 17.0
    blade_half_width_mm: float = 1.7  # at the base
    blade_thickness_mm: float = 1.0
    bend_mm: float = 3.0  # how far the tip lies beside the shaft's axis
    overlap_mm: float = 0.45  # how far the edges have passed each other when closed

    name = "scissors"
    class_id = SCISSORS
    cuts = True
    verb_name = "scissors"
    rest = {"opening": 30.0}
    electrode = True
    sleeve_end_mm = -9.5

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        return cls(
            shaft_length_mm=rng.uniform(270, 320),
            jaw_length_mm=rng.uniform(14, 20),
            blade_half_width_mm=rng.uniform(1.5, 1.85),
            blade_thickness_mm=rng.uniform(0.85, 1.1),
            bend_mm=rng.uniform(1.5, 4.5),
            overlap_mm=rng.uniform(0.35, 0.6),
        )

    def build(self) -> LinkMeshes:
        black = sleeve(self.shaft_radius_mm, -self.shaft_length_mm, self.sleeve_end_mm)
        links = fork(self.shaft_radius_mm, 1.2, self.sleeve_end_mm, 2.1)
        links["shaft"].insert(0, (black, "insulation"))
        for link, side in SIDES.items():
            links[link] = [(mesh, "steel") for mesh in self._blade(side)]
        return links

    def jaw_line(self) -> np.ndarray:
        z = np.linspace(0.25 * self.jaw_length_mm, self.jaw_length_mm, 9)
        return np.column_stack([np.zeros_like(z), self._bend(z), z])

    def jaw_tip(self, side: int) -> np.ndarray:
        return self.jaw_line()[-1] + [0, side * PLAY_MM, 0]

    def jaw_capsules(self, side: int) -> np.ndarray:
        radius = 0.6 * self.blade_thickness_mm
        z = np.array([2.0, 0.55 * self.jaw_length_mm, self.jaw_length_mm - radius])
        x = side * np.array([0.5, 0.4, 0.15]) * self.blade_half_width_mm
        return chain_of_capsules(np.column_stack([x, self._bend(z) + side * radius, z]), radius)

    def _bend(self, distance: np.ndarray) -> np.ndarray:
        """y of the sheet between the blades at a distance from the pivot's axis."""
        start = 0.2 * self.jaw_length_mm
        return self.bend_mm * np.clip((distance - start) / (self.jaw_length_mm - start), 0, None) ** 1.8

    def _blade(self, side: int) -> list[Mesh]:
        """Blade, hub and tang before bending: all at y > 0, with the back of the blade towards +x; then turned over."""
        length, width, thick = self.jaw_length_mm, self.blade_half_width_mm, self.blade_thickness_mm
        z = np.concatenate([np.linspace(-0.5, 0.9 * length, 18), length * np.array([0.95, 0.98, 1.0])])
        share = np.clip(z / length, 0, 1)
        narrow = 1 - 0.75 * share**1.2
        narrow[-3:] *= [0.85, 0.6, 0.2]
        back = width * narrow
        edge = -np.minimum(self.overlap_mm + 0.25 * width * (1 - share) ** 3, 0.8 * back + 0.1 * self.overlap_mm)
        height = thick * (1 - 0.45 * share)
        rings = [
            [(e, PLAY_MM), (b, PLAY_MM), (b, 0.55 * h), (0.75 * b, 0.9 * h), (0.25 * b, h), (0.5 * e, 0.55 * h)]
            for e, b, h in zip(edge, back, height)
        ]
        hub = sweep(np.array([[0, PLAY_MM, 0], [0, thick + 0.1, 0]]), ellipse(1.95, 1.95, 26), [1.0, 0, 0])
        tang = at_heights(
            [rounded_box((-0.7 - lean, PLAY_MM), (0.7 - lean, thick), 0.2) for lean in (0.0, 0.5)], [0.0, -4.2]
        )
        meshes = [loft(at_heights(np.array(rings), z)), hub, loft(tang)]
        return [self._placed(mesh, side) for mesh in meshes]

    def _placed(self, mesh: Mesh, side: int) -> Mesh:
        vertices = mesh.vertices.astype(np.float64) * [side, side, 1]
        normals = mesh.normals * [side, side, 1]
        distance = np.hypot(vertices[:, 0], vertices[:, 2])
        ahead = vertices[:, 2] > 0
        slope = np.where(ahead, self._bend(distance + 0.01) - self._bend(distance - 0.01), 0) / 0.02
        radial = vertices * [1, 0, 1] / np.maximum(distance, 1e-6)[:, None]
        normals = normals - (normals[:, 1] * slope)[:, None] * radial
        vertices[:, 1] += np.where(ahead, self._bend(distance), 0)
        return Mesh(vertices, mesh.faces, normals / np.linalg.norm(normals, axis=1, keepdims=True))

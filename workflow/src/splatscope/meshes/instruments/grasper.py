"""A laparoscopic grasper of 5 mm: two fenestrated jaws with a zigzag of teeth that mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from splatscope.meshes.instruments.instrument import SIDES, LinkMeshes, StraightJaws, chain_of_capsules
from splatscope.meshes.instruments.shafts import PLAY_MM, fork, jaw_root, sleeve
from splatscope.meshes.lofting import loft
from splatscope.meshes.mesh import Mesh

GRASPER = 5  # id in the class table
STATIONS_PER_TOOTH = 2


@dataclass(frozen=True)
class Grasper(StraightJaws):
    """Shape of the grasper; mm."""

    shaft_radius_mm: float = 2.5
    shaft_length_mm: float = 290.0
    jaw_length_mm: float = 24.0
    jaw_half_width_mm: float = 2.2
    jaw_depth_mm: float = 1.9  # thickness of one jaw at its base
    window_half_width_mm: float = 1.05
    tooth_mm: float = 1.1  # from tooth to tooth
    tooth_height_mm: float = 0.35

    name = "grasper"
    class_id = GRASPER
    verb_name = "grasper"
    sleeve_end_mm = -11.0
    root_mm = 5.0  # where the toothed part of the jaws begins

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        return cls(
            shaft_length_mm=rng.uniform(270, 320),
            jaw_length_mm=rng.uniform(19, 28),
            jaw_half_width_mm=rng.uniform(1.95, 2.35),
            jaw_depth_mm=rng.uniform(1.6, 2.1),
            window_half_width_mm=rng.uniform(0.75, 1.15),
            tooth_mm=rng.uniform(0.9, 1.6),
            tooth_height_mm=rng.uniform(0.15, 0.45),
        )

    def build(self) -> LinkMeshes:
        black = sleeve(self.shaft_radius_mm, -self.shaft_length_mm, self.sleeve_end_mm)
        links = fork(self.shaft_radius_mm, 1.15, self.sleeve_end_mm, 2.2)
        links["shaft"].insert(0, (black, "insulation"))
        for link, side in SIDES.items():
            root = jaw_root(side, 2.1, 1.1, 0.95 * self.jaw_half_width_mm, self.jaw_depth_mm, self.root_mm)
            links[link] = [(mesh, "steel") for mesh in [*root, self._frame(side)]]
        return links

    def jaw_tip(self, side: int) -> np.ndarray:
        return np.array([side * PLAY_MM, 0, self.jaw_length_mm])

    def jaw_capsules(self, side: int) -> np.ndarray:
        depth, width = self.jaw_depth_mm, self.jaw_half_width_mm
        radius = 0.55 * depth
        points = [
            [side * radius, y, z] for y in (width - radius, radius - width) for z in (3.0, self.jaw_length_mm - 1)
        ]
        return np.vstack([chain_of_capsules(points[:2], radius), chain_of_capsules(points[2:], radius)])

    def _frame(self, side: int) -> Mesh:
        """The jaw about its window: a bar bent to a long loop, flat and toothed inside, round outside."""
        window, begin = self.window_half_width_mm, self.root_mm + 2.5
        finish = self.jaw_length_mm - 1.35 * self.jaw_half_width_mm
        teeth = round((finish - begin) / self.tooth_mm)
        z = np.linspace(begin, finish, STATIONS_PER_TOOTH * teeth + 1)
        taper = np.linspace(1.0, 0.88, len(z)) * self.jaw_half_width_mm
        end_angle = np.linspace(0, np.pi, 12)[1:-1]
        root_angle = np.linspace(0, np.pi, 8)[1:-1]
        inner = np.vstack(
            [
                np.column_stack([np.full_like(z, window), z]),
                np.column_stack([window * np.cos(end_angle), finish + window * np.sin(end_angle)]),
                np.column_stack([np.full_like(z, -window), z[::-1]]),
                np.column_stack([-window * np.cos(root_angle), begin - window * np.sin(root_angle)]),
            ]
        )
        outer = np.vstack(
            [
                np.column_stack([taper, z]),
                np.column_stack(
                    [taper[-1] * np.cos(end_angle), finish + (self.jaw_length_mm - finish) * np.sin(end_angle)]
                ),
                np.column_stack([-taper[::-1], z[::-1]]),
                np.column_stack(
                    [
                        -taper[0] * np.sign(np.cos(root_angle)) * np.abs(np.cos(root_angle)) ** 0.4,
                        begin - (begin - self.root_mm) * np.sin(root_angle) ** 0.6,
                    ]
                ),
            ]
        )
        # section of the bar: (share of the way from window to rim, share of the depth)
        section = np.array(
            [[0, 0], [1, 0], [1, 0.25], [0.93, 0.55], [0.75, 0.8], [0.45, 0.97], [0.15, 1.0], [0, 0.9]], float
        )
        yz = inner[:, None] + section[:, 0, None] * (outer - inner)[:, None]  # [S, P, 2]
        depth = self.jaw_depth_mm * (1 - 0.42 * np.clip((yz[..., 1] - self.root_mm) / self.jaw_length_mm, 0, 1))
        toothed = np.clip((yz[..., 1] - begin) / 1.0, 0, 1) * np.clip((finish + 1 - yz[..., 1]) / 1.0, 0, 1)
        phase = (yz[..., 1] - begin) / self.tooth_mm
        zigzag = self.tooth_height_mm * toothed * (np.abs(2 * (phase - np.floor(phase)) - 1) - 0.5)
        face = side * PLAY_MM + zigzag  # the same zigzag for both jaws: the teeth of one fill the gaps of the other
        x = face + section[:, 1] * (side * depth - face)
        return loft(np.stack([x, yz[..., 0], yz[..., 1]], -1), closed=True)

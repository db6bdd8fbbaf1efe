"""Clips that close a duct or a vessel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from splatscope.meshes.lofting import rounded_box, sweep
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.scene import Part

CLIP = 17  # id in the class table


@dataclass(frozen=True)
class LigatingClip:
    """A U of titanium wire, or of polymer with a latch; mm.

    Clip frame: origin midway between the legs and halfway along them, z from the crown towards the open ends, x the
    direction in which the legs close. The legs turn as the jaws do that close it: about an axis along y, `lever_mm`
    behind the origin.
    """

    material: Literal["titanium", "polymer"] = "titanium"
    leg_mm: float = 8.5
    width_mm: float = 1.1  # along y
    thickness_mm: float = 0.65  # along x
    lever_mm: float = 17.0

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        if rng.random() < 0.3:
            return cls("polymer", rng.uniform(9, 11), rng.uniform(1.8, 2.3), rng.uniform(0.9, 1.1))
        return cls("titanium", rng.uniform(7.5, 9.5), rng.uniform(0.95, 1.3), rng.uniform(0.55, 0.75))

    def mesh(self, gap_mm: float) -> Mesh:
        """Closed mesh with `gap_mm` >= 0 between the legs at the origin; its faces are the same whatever the gap.

        Legs that touch are drawn 0.01 mm apart. Raises ValueError for a gap that is negative or beyond the lever.
        """
        if not 0 <= gap_mm < self.lever_mm:
            raise ValueError(f"expected gap_mm within 0..{self.lever_mm:g}, got {gap_mm:g}")
        half = self.thickness_mm / 2
        angle = np.arcsin(max(gap_mm, 0.01) / 2 / self.lever_mm)
        along = np.linspace(self.leg_mm / 2, -self.leg_mm / 2, 12)
        rise = 0.12 * np.cos(along / self.leg_mm * np.pi) if self.material == "polymer" else 0 * along
        lever = along + self.lever_mm
        leg = np.column_stack(
            [
                lever * np.sin(angle) + (half + rise) * np.cos(angle),
                lever * np.cos(angle) - (half + rise) * np.sin(angle) - self.lever_mm,
            ]
        )
        spread = leg[-1, 0]
        turn = np.linspace(0, np.pi, 15)[1:-1]
        depth = max(0.9 * spread, 2.4 - 0.9 * spread)  # the wire keeps its length: a narrow crown is deep
        swell = 0.45 * np.exp(-((spread / 0.6) ** 2)) * np.sin(turn) ** 2  # a closed crown stays round
        across = spread * np.cos(turn) + swell * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.5
        crown = np.column_stack([across, leg[-1, 1] - depth * np.sin(turn)])
        flat = np.vstack([leg, crown, leg[::-1] * [-1, 1]])
        path = np.column_stack([flat[:, 0], np.zeros(len(flat)), flat[:, 1]])
        section = np.tile(
            rounded_box((-half, -self.width_mm / 2), (half, self.width_mm / 2), 0.22, 4), (len(path), 1, 1)
        )
        section[[0, -1]] *= 0.55
        if self.material == "polymer":  # latch and boss at the ends of the legs
            section[1:3, :, 0] *= 1.5
            section[-3:-1, :, 0] *= 1.25
        return sweep(path, section, [0.0, 1, 0], crease_deg=180)

    def parts(self, gap_mm: float, instance: int = 1) -> list[Part]:
        """For the renderer, in the clip frame."""
        return [Part(self.mesh(gap_mm), self.material, CLIP, instance)]

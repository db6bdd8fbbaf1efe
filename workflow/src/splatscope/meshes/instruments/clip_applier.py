"""A clip applier of 10 mm: two grooved jaws that hold a clip by its legs and close it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from splatscope.geometry import make_transform
from splatscope.meshes.instruments.clip import LigatingClip
from splatscope.meshes.instruments.instrument import SIDES, Joints, LinkMeshes, StraightJaws, chain_of_capsules
from splatscope.meshes.instruments.shafts import PLAY_MM, fork, jaw_root, sleeve, turned
from splatscope.meshes.lofting import at_heights, loft
from splatscope.meshes.mesh import Mesh

CLIP_APPLIER = 16  # id in the class table


@dataclass(frozen=True)
class ClipApplier(StraightJaws):
    """Shape of the applier and the clip in its jaws; mm."""

    shaft_radius_mm: float = 5.0
    shaft_length_mm: float = 290.0
    jaw_half_width_mm: float = 3.4  # at the base
    jaw_depth_mm: float = 3.4  # thickness of one jaw at its base
    clip: LigatingClip = field(default_factory=LigatingClip)

    name = "clip applier"
    class_id = CLIP_APPLIER
    verb_name = "clipper"
    joints = {"opening": (0.0, 18.0)}
    rest = {"opening": 18.0}
    sleeve_end_mm = -15.0
    root_mm = 7.0  # where the jaws are as wide as they get

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        return cls(
            shaft_length_mm=rng.uniform(270, 320),
            jaw_half_width_mm=rng.uniform(3.0, 3.8),
            jaw_depth_mm=rng.uniform(3.0, 3.8),
            clip=LigatingClip.varied(rng),
        )

    @property
    def jaw_length_mm(self) -> float:
        return self.clip.lever_mm + self.clip.leg_mm / 2 + 0.4

    def clip_gap_mm(self, joints: Joints | None = None) -> float:
        """Gap of the clip in the jaws, for `LigatingClip.mesh`."""
        return float(2 * self.clip.lever_mm * np.sin(np.radians(self.angles(joints)["opening"] / 2)))

    @property
    def tool_from_clip(self) -> np.ndarray:
        """Pose [4, 4] of the clip while the jaws hold it."""
        return make_transform(np.eye(3), np.array([0, 0, self.clip.lever_mm]))

    def build(self) -> LinkMeshes:
        radius, end = self.shaft_radius_mm, self.sleeve_end_mm
        tube = sleeve(radius, -self.shaft_length_mm, end)
        rings = turned(
            [
                (radius - 0.3, end - 24),
                (radius + 0.12, end - 23.8),
                (radius + 0.12, end - 21),
                (radius - 0.3, end - 20.8),
            ]
        )
        links = fork(radius, 2.3, end, 3.6)
        links["shaft"] += [(tube, "steel"), (rings, "steel")]
        for link, side in SIDES.items():
            root = jaw_root(side, 3.6, 2.2, 0.95 * self.jaw_half_width_mm, self.jaw_depth_mm, self.root_mm)
            links[link] = [(mesh, "steel") for mesh in [*root, self._jaw(side)]]
        return links

    def jaw_line(self) -> np.ndarray:
        """The clip's legs."""
        half = self.clip.leg_mm / 2
        return np.array(
            [[0, 0, self.clip.lever_mm - half], [0, 0, self.clip.lever_mm + half], [0, 0, self.jaw_length_mm]]
        )

    def jaw_tip(self, side: int) -> np.ndarray:
        return np.array([side * PLAY_MM, 0, self.jaw_length_mm])

    def jaw_capsules(self, side: int) -> np.ndarray:
        depth, width = self.jaw_depth_mm, self.jaw_half_width_mm
        radii = np.array([0.45, 0.3]) * depth
        z = np.array([4.0, 0.6 * self.jaw_length_mm, self.jaw_length_mm - radii[1]])
        beside = np.array([0.9, 0.75, 0.55]) * width - radii[[0, 1, 1]]
        return np.vstack(
            [chain_of_capsules(np.column_stack([side * radii[[0, 1, 1]], y, z]), radii) for y in (beside, -beside)]
        )

    def _jaw(self, side: int) -> Mesh:
        """Tapering bar with a groove for a leg of the clip along its flat face, deeper where the clip's crown lies."""
        length, legs = self.jaw_length_mm, self.clip.lever_mm - self.clip.leg_mm / 2
        begin, deep = legs - 2.8, legs + 0.2
        steps = [self.root_mm - 0.5, begin - 0.01, begin, deep, deep + 0.01]
        z = np.array([*steps, *np.linspace(deep + 1.5, length - 1.2, 4), length - 0.7, length - 0.3, length])
        share = np.clip((z - self.root_mm) / (length - self.root_mm), 0, 1)
        width = (
            self.jaw_half_width_mm * (1 - 0.42 * share) * np.where(z > length - 1, 1 - 0.35 * (z - length + 1) ** 2, 1)
        )
        depth = self.jaw_depth_mm * (1 - 0.55 * share) * np.where(z > length - 1, 1 - 0.4 * (z - length + 1) ** 2, 1)
        groove = np.where(z >= begin, self.clip.thickness_mm + 0.02, 0.01) + 0.45 * ((z >= begin) & (z <= deep))
        half = self.clip.width_mm / 2 + 0.06
        rings = []
        for w, d, g in zip(width, depth, groove):
            face = [
                (PLAY_MM, -w),
                (PLAY_MM, -half),
                (PLAY_MM + g, -half),
                (PLAY_MM + g, half),
                (PLAY_MM, half),
                (PLAY_MM, w),
            ]
            back = [(0.45 * d, w), (0.78 * d, 0.8 * w), (0.97 * d, 0.45 * w), (d, 0)]
            rings.append([*face, *back, *((x, -y) for x, y in back[-2::-1])])
        return loft(at_heights(np.array(rings) * [side, 1], z))

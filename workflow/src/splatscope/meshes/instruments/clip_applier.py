"""A clip applier of 10 mm: two grooved jaws that hold a clip by its legs and close it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from splatscope.geometry import make_transform
from splatscope.meshes.instruments.clip import LigatingClip
from splatscope.meshes.instruments.instrument import Joints, LinkMeshes, StraightJaws, chain_of_capsules
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
    jaw_depth_mm: float = 2.6  # thickness of one jaw at its base
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
            jaw_depth_mm=rng.uniform(2.3, 2.9),
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
        links = fork(radius, 2.3, end, 4.2)
        links["shaft"] += [(tube, "steel"), (rings, "steel")]
        for link, side in (("jaw_left", 1), ("jaw_right", -1)):
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
        radii = np.array([0.5, 0.4]) * self.jaw_depth_mm
        z = np.array([4.0, 0.6 * self.jaw_length_mm, self.jaw_length_mm - radii[1]])
        return chain_of_capsules(np.column_stack([side * radii[[0, 1, 1]], 0 * z, z]), radii)

    def shaft_capsules(self) -> np.ndarray:
        return chain_of_capsules([[0, 0, -self.shaft_length_mm], [0, 0, 0]], self.shaft_radius_mm)

    def _jaw(self, side: int) -> Mesh:
        """Tapering bar with a groove for a leg of the clip along its flat face."""
        length, begin = self.jaw_length_mm, self.clip.lever_mm - self.clip.leg_mm / 2 - 1.5
        z = np.concatenate(
            [
                [self.root_mm - 0.5, begin - 0.01],
                np.linspace(begin, length - 1.2, 6),
                length - np.array([0.7, 0.3, 0.0]),
            ]
        )
        share = np.clip((z - self.root_mm) / (length - self.root_mm), 0, 1)
        width = (
            self.jaw_half_width_mm * (1 - 0.42 * share) * np.where(z > length - 1, 1 - 0.35 * (z - length + 1) ** 2, 1)
        )
        depth = self.jaw_depth_mm * (1 - 0.45 * share) * np.where(z > length - 1, 1 - 0.4 * (z - length + 1) ** 2, 1)
        groove = np.where(z >= begin, self.clip.thickness_mm + 0.02, 0.01)
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

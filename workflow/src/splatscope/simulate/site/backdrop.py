"""What does not move: omentum and ligament, bowel, abdominal wall; to be seen, and to be collided with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.organ_fields import ABDOMINAL_WALL, CAVITY_BOX, FAT, GUT
from splatscope.simulate.site.organs import Organs, SampledOrgans

FAT_BOX = (-110, -132, -34), (110, 62, 26)
GUT_BOX = (-52, -108, -42), (126, 4, 14)
OBSTACLE_BOX = (-150, -172, -60), (150, 150, 166)
FAT_MM, GUT_MM, WALL_MM, OBSTACLE_MM = 1.8, 2.4, 7.0, 2.2
GAP_MM = 1.4  # between fat and the organs that move


@dataclass
class Backdrop:
    """Sampled distance fields of the rigid surroundings, negative inside."""

    fat: SampledField
    gut: SampledField
    cavity: SampledField  # negative in the hollow

    @classmethod
    def sample(cls, organs: Organs, moving: SampledOrgans) -> Backdrop:
        """The surroundings, with room for the organs that move."""

        def fat(points):
            return sdf.smooth_subtract(organs.omentum(points), moving.distance(points) - GAP_MM, 4.0)

        return cls(
            SampledField.sample_where_near(fat, *FAT_BOX, FAT_MM),
            SampledField.sample_where_near(organs.gut, *GUT_BOX, GUT_MM),
            SampledField.sample_where_near(organs.cavity, *CAVITY_BOX, WALL_MM),
        )

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Distance in mm from points [..., 3] to the nearest rigid surface."""
        return np.minimum(np.minimum(self.fat(points), self.gut(points)), -self.cavity(points))

    def obstacle(self) -> SampledField:
        """One grid of the distance to whatever is rigid; negative at its border, too, where that lies in the wall."""
        axes = [np.arange(low, high, OBSTACLE_MM) for low, high in zip(*OBSTACLE_BOX)]
        values = np.empty([len(axis) for axis in axes], np.float32)
        for index, x in enumerate(axes[0]):
            plane = np.stack(np.meshgrid([x], axes[1], axes[2], indexing="ij"), -1)
            values[index] = self.distance(plane)[0]
        return SampledField(values, np.array(OBSTACLE_BOX[0], np.float64), OBSTACLE_MM)

    def surfaces(self) -> list[tuple[Mesh, str, int]]:
        """Mesh, material and class id of each part."""
        return [
            (self.fat.surface(), "fat", FAT),
            (self.gut.surface(), "gut", GUT),
            (self.cavity.surface().flipped(), "peritoneum", ABDOMINAL_WALL),
        ]

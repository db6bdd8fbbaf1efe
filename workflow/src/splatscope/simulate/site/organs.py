"""A patient's organs as distance fields in the site frame, with gaps between them: nothing starts interlocked."""

from __future__ import annotations

import numpy as np

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes import organ_fields
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.tet_quality import field_gradient
from splatscope.simulate.site.patient import (
    ARTERY_RADIUS,
    BRANCH_RADIUS,
    DUCT_RADIUS,
    LIGAMENT,
    LIGAMENT_RADIUS,
    MEDIAL,
    Patient,
)

# mm between surfaces at the finest spacing: wide enough that no coarse tetrahedron reaches into its neighbour
BED_GAP, VESSEL_GAP, FAT_GAP, LIVER_FAT_GAP, GROOVE_GAP = 1.2, 0.9, 0.65, 1.4, 4.0
EMBEDDING = 0.25  # of the sac's radius: how far behind its axis the liver's surface passes
CALOT_DEPTH_MM, CALOT_ROUND_MM = 4.6, 1.5  # how far behind the vessels' plane its tissue reaches; of its edges
HILUM_MM = 6.2  # least room between them and the liver


class Organs:
    """Fields of points [..., 3] in the site frame: negative inside, mm. Paths [N, 3] are in the site frame, too."""

    def __init__(
        self,
        patient: Patient,
        noise: VolumeNoise,
        lobules: organ_fields.Lobules,
        cavity_phase: float,
        spacing_factor: float = 1.0,
    ):
        self.patient, self._noise, self._lobules, self._phase = patient, noise, lobules, cavity_phase
        self._factor, self._gap = spacing_factor, VESSEL_GAP * spacing_factor
        # a chord of the liver's coarse faces cuts the deeper into its bed, the narrower that is
        self._bed_gaps = BED_GAP * spacing_factor**2 * np.clip(12 / patient.sac_radii, 1, 2)
        self._bowel = sdf.curve(organ_fields.BOWEL)
        self._ligament = sdf.curve(LIGAMENT, 4)
        self._stem = _pushed_off(patient.artery, self._gallbladder, ARTERY_RADIUS + self._gap)
        self._branches = [self._branch(*angles) for angles in patient.branch_angles]
        self._triangle = self._calot_triangle()
        normal = np.cross(self._triangle[1] - self._triangle[0], self._triangle[2] - self._triangle[0])
        self._calot_normal = normal * np.sign(normal[2]) / np.linalg.norm(normal)
        self._liver_offset = self._embedding()
        self.duct_path, self.artery_path, self.sac_path = (
            path * MEDIAL for path in (patient.duct, self._stem, patient.sac)
        )
        self.artery_points = np.vstack([self._stem, *self._branches]) * MEDIAL
        self.calot_corners = self._triangle * MEDIAL

    def gallbladder(self, points: np.ndarray) -> np.ndarray:
        """Gallbladder with its duct."""
        return self._gallbladder(points * MEDIAL)

    def is_duct(self, points: np.ndarray) -> np.ndarray:
        """Whether points of the gallbladder belong to its duct."""
        sac, duct = self._sac_and_duct(points * MEDIAL)
        return duct < sac

    def artery(self, points: np.ndarray) -> np.ndarray:
        return self._artery(points * MEDIAL)

    def liver(self, points: np.ndarray) -> np.ndarray:
        return self._liver(points * MEDIAL)

    def liver_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds [3], [3] of the liver in the site frame."""
        lobes = [self.patient.liver.right, self.patient.liver.left]
        centres, radii = (np.array([getattr(lobe, name) for lobe in lobes]) for name in ("centre", "radii"))
        corners = np.stack([(centres - radii).min(0) - 14, (centres + radii).max(0) + 14]) + self._liver_offset
        corners = corners * MEDIAL
        return corners.min(0), corners.max(0)

    def calot(self, points: np.ndarray) -> np.ndarray:
        """Fat and connective tissue that fills Calot's triangle from the liver on and covers duct and artery."""
        points = points * MEDIAL
        normal = self._calot_normal
        height = (points - self._triangle[0]) @ normal
        level = points - height[..., None] * normal
        front = -0.6 + 3.2 * self.patient.fat_cover
        outside = np.stack(
            [
                _triangle_distance(level, self._triangle) - 1.2,
                np.abs(height - (front - CALOT_DEPTH_MM) / 2) - (front + CALOT_DEPTH_MM) / 2 + CALOT_ROUND_MM,
            ],
            -1,
        )
        slab = np.linalg.norm(np.maximum(outside, 0), axis=-1) + np.minimum(outside.max(-1), 0) - CALOT_ROUND_MM
        tubes = np.minimum(self._gallbladder(points), self._artery(points)) - self._factor * FAT_GAP
        others = np.minimum(tubes, self._liver(points) - self._factor * LIVER_FAT_GAP)
        return np.maximum(slab + 0.45 * self._noise(points, 9), -others)

    def fattiness(self, points: np.ndarray) -> np.ndarray:
        """Positive where the tissue before Calot's triangle is fat rather than a membrane."""
        return self.patient.fat_cover - 0.4 + 0.35 * self._noise(points * MEDIAL, 10)

    def ligament(self, points: np.ndarray) -> np.ndarray:
        """The fatty hepatoduodenal ligament in which duct and artery end."""
        return self._ligament_tube(points * MEDIAL)

    def omentum(self, points: np.ndarray) -> np.ndarray:
        """Omentum and ligament, through the organs that lie in it; hollowed where Calot's triangle is to be seen."""
        turned = points * MEDIAL
        hollow = 7 * np.exp(-((turned[..., 0] + 20) ** 2 + (turned[..., 1] - 6) ** 2) / (2 * 20**2))
        floor = turned[..., 2] - organ_fields.fat_height(turned, self._noise) + 4 + hollow
        return self._lobules.on(sdf.smooth_union(floor, self.ligament(points), 8.0), turned)

    def gut(self, points: np.ndarray) -> np.ndarray:
        return organ_fields.gut(points * MEDIAL, self._bowel, self._noise)

    def cavity(self, points: np.ndarray) -> np.ndarray:
        return organ_fields.cavity(points * MEDIAL, self._noise, self._phase)

    def sac_point(self, share: float, angle_deg: float) -> np.ndarray:
        """A point on the sac in the site frame: `share` 0 neck .. 1 body .. 2 fundus, angle about its axis.

        0 is anterior, 90 towards the liver.
        """
        return self._sac_point(share, angle_deg) * MEDIAL

    def _sac_point(self, share: float, angle_deg: float) -> np.ndarray:
        path, radii = self.patient.sac[2::-1], self.patient.sac_radii[2::-1]
        first = min(int(share), 1)
        along = share - first
        axis = path[first + 1] - path[first]
        axis /= np.linalg.norm(axis)
        anterior = np.array([0, 0, 1.0]) - axis * axis[2]
        anterior /= np.linalg.norm(anterior)
        hepatic = np.cross(anterior, axis)
        hepatic *= np.sign(hepatic[1])
        angle = np.radians(angle_deg)
        outward = np.cos(angle) * anterior + np.sin(angle) * hepatic
        radius = radii[first] + along * (radii[first + 1] - radii[first])
        return path[first] + along * (path[first + 1] - path[first]) + radius * outward

    def _sac_and_duct(self, points, gaps=0.0):
        sac = organ_fields.sac(points, self.patient.sac, self.patient.sac_radii + gaps) + 0.5 * self._noise(points, 18)
        return sac, sdf.tube(points, self.patient.duct, DUCT_RADIUS, 1.0) + 0.2 * self._noise(points, 6)

    def _gallbladder(self, points):
        return sdf.smooth_union(*self._sac_and_duct(points), 2.0)

    def _artery(self, points):
        distance = sdf.tube(points, self._stem, ARTERY_RADIUS, 0.8)
        for branch in self._branches:
            radii = np.linspace(ARTERY_RADIUS, BRANCH_RADIUS, len(branch))
            distance = sdf.smooth_union(distance, sdf.tube(points, branch, radii, 0.6), 0.6)
        return distance

    def _liver(self, points):
        bed, duct = self._sac_and_duct(points, self._bed_gaps)
        grooves = np.minimum(duct, self._artery(points)) - GROOVE_GAP
        whole = organ_fields.liver(points - self._liver_offset, self.patient.liver, self._noise)
        hilum = sdf.smooth_union(self._hilum(points), self._ligament_tube(points) - 3.0, 8.0)
        hollowed = sdf.smooth_subtract(whole, hilum, 7.0)
        return sdf.smooth_subtract(hollowed, sdf.smooth_union(bed, grooves, 3.0), 4.0)

    def _ligament_tube(self, points):
        return sdf.tube(points, self._ligament, LIGAMENT_RADIUS, 2.0)

    def _hilum(self, points):
        """The hollow of the liver before which artery and Calot's triangle lie, open towards the camera."""
        towards = np.array([0, -0.5, 0.87])
        height = (points - self._triangle.mean(0)) @ towards
        level = points - np.maximum(height, 0)[..., None] * towards
        return np.minimum(_triangle_distance(level, self._triangle), sdf.tube(level, self._stem, 0.0, 2.0)) - HILUM_MM

    def _embedding(self) -> np.ndarray:
        """How the liver is moved [3] so that the sac is embedded in it."""
        body, neck = self.patient.sac[1:3]
        middle, radius = (body + neck)[None] / 2, self.patient.sac_radii[1:3].mean()
        towards = np.float32([0, -0.5, 0.85]) / np.float32(np.hypot(0.5, 0.85))
        offset = np.zeros(3, np.float32)
        for _ in range(8):
            gap = organ_fields.liver(middle - offset, self.patient.liver, self._noise)[0] - EMBEDDING * radius
            offset += 0.9 * gap * towards
        return offset

    def _branch(self, start_deg: float, end_deg: float) -> np.ndarray:
        """A branch of the artery along the gallbladder's wall."""
        shares = np.linspace(0.12, 0.85, 4)
        angles = np.linspace(start_deg, end_deg, 4)
        wall = [self._sac_point(share, angle) for share, angle in zip(shares, angles)]
        path = sdf.curve(np.vstack([self._stem[-1:], wall]), 4)
        return _pushed_off(path, self._gallbladder, ARTERY_RADIUS + self._gap, onto_from=4)

    def _calot_triangle(self) -> np.ndarray:
        """Corners [3, 3]: by the sac's outlet, on the duct and on the artery near the ligament."""
        duct, artery = self.patient.duct, self._stem
        corners = np.stack(
            [self.patient.sac[3] + np.float32([-2, 2, 2]), duct[int(0.7 * len(duct))], artery[int(0.3 * len(artery))]]
        )
        middle = corners.mean(0)
        return middle + (corners - middle) * (1.15 + 0.2 * self.patient.fat_cover)


def _pushed_off(path: np.ndarray, field: sdf.Field, distance: float, onto_from: int | None = None) -> np.ndarray:
    """A path [N, 3] kept at least `distance` from a surface; from point `onto_from` on, at just that distance."""
    path = path.astype(np.float64)
    onto = np.arange(len(path)) >= (len(path) if onto_from is None else onto_from)
    for _ in range(6):
        gap = field(path) - distance
        gap = np.where(onto, gap, np.minimum(gap, 0))
        gradient = field_gradient(field, path, 0.2)
        path -= gap[:, None] * gradient / np.maximum((gradient**2).sum(1, keepdims=True), 0.1)
    return path.astype(np.float32)


def _triangle_distance(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance [...] from points [..., 3] to a triangle [3, 3]: to its plane or to the nearest edge."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= np.linalg.norm(normal)
    inside = np.ones(points.shape[:-1], bool)
    edges = np.full(points.shape[:-1], np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0)):
        edges = np.minimum(edges, sdf.cone(points, start, end, 0.0, 0.0))
        inside &= (points - start) @ np.cross(normal, end - start) >= 0
    return np.where(inside, np.abs((points - corners[0]) @ normal), edges)


class SampledOrgans:
    """The moving organs' fields on grids: what their surroundings ask for, not fine enough for their own surfaces."""

    def __init__(self, organs: Organs):
        paths = np.vstack([organs.sac_path, organs.duct_path, organs.artery_points])
        margin = organs.patient.sac_radii.max() + 8

        def small(points):
            return np.minimum(np.minimum(organs.gallbladder(points), organs.artery(points)), organs.calot(points))

        self.small = SampledField.sample_where_near(small, paths.min(0) - margin, paths.max(0) + margin, 1.5)
        self.liver = SampledField.sample_where_near(organs.liver, *organs.liver_box(), 3.5)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Distance in mm from points [..., 3] to the nearest of them."""
        return np.minimum(self.small(points), self.liver(points))

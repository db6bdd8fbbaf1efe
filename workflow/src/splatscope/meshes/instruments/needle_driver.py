"""A parametric wristed instrument in the manner of the da Vinci Large Needle Driver (8 mm shaft).

Tool frame: origin on the wrist's pitch axis, z along the shaft towards the tip, x along the pitch axis; mm. Links:
`shaft`, `wrist` (pitch), `jaw_left` and `jaw_right` (yaw and opening).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.geometry import apply, make_transform
from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.instruments.instrument import (
    SIDES,
    Grip,
    Instrument,
    Joints,
    LinkMeshes,
    chain_of_capsules,
    moved_capsules,
    turned_about_y,
)
from splatscope.meshes.instruments.kinematics import wrist_through_trocar
from splatscope.meshes.lofting import ellipse, sweep
from splatscope.meshes.mesh import Mesh, surface_of_revolution

NEEDLE_DRIVER = 14  # id in the class table
FACE_MM = 0.16  # mean distance of a jaw's toothed face from the plane between closed jaws


@dataclass(frozen=True)
class NeedleDriver(Instrument):
    """Shape of the needle driver."""

    shaft_radius_mm: float = 4.0
    shaft_start_mm: float = -135.0  # proximal end, z
    collar_mm: float = -16.0  # where the sleeve ends and the steel collar begins, z
    yaw_axis_mm: float = 9.0  # distance from the pitch axis to the jaws' pivot
    jaw_length_mm: float = 11.5
    sleeve: str = "shaft"  # material; the default is printed all over, as the recordings of the phantom need it
    coarseness: float = 1.0  # of the grids from which the surfaces are made
    free_cables: bool = False  # cables behind the wrist stay with the shaft when the wrist bends

    name = "needle driver"
    class_id = NEEDLE_DRIVER
    verb_name = None
    joints = {"pitch": (-85.0, 85.0), "yaw": (-75.0, 75.0), "opening": (0.0, 60.0)}
    rest = {"pitch": 0.0, "yaw": 0.0, "opening": 16.0}

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        return cls(
            shaft_start_mm=rng.uniform(-320, -270),
            yaw_axis_mm=rng.uniform(8.6, 9.6),
            jaw_length_mm=rng.uniform(10.5, 13.0),
            sleeve="insulation",
            coarseness=1.5,
            free_cables=True,
        )

    @property
    def sleeve_length_mm(self) -> float:
        return self.collar_mm - self.shaft_start_mm

    def build(self) -> LinkMeshes:
        return {
            "shaft": [
                (self._sleeve(), self.sleeve),
                (self._collar(), "steel"),
                (self._clevis(), "steel"),
                *((cable, "carbide") for cable in (self._cables() if self.free_cables else [])),
            ],
            "wrist": [(self._wrist(), "steel"), (self._pulleys(), "carbide")],
            **{link: [(self._jaw(side), "carbide")] for link, side in SIDES.items()},
        }

    def link_poses(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        angles = self.angles(joints)
        wrist = make_transform(Rotation.from_euler("x", angles["pitch"], degrees=True).as_matrix(), np.zeros(3))
        pivot = (0, 0, self.yaw_axis_mm)
        return {
            "shaft": np.eye(4),
            "wrist": wrist,
            **{
                link: wrist @ turned_about_y(angles["yaw"] + side * angles["opening"] / 2, pivot)
                for link, side in SIDES.items()
            },
        }

    def keypoints(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        poses = self.link_poses(joints)
        end = self.jaw_length_mm
        return {
            "tip": apply(self._tool_from_jaws(joints), np.array([[0, 0, end]]))[0],
            **{
                link.replace("jaw", "jaw_tip"): apply(poses[link], np.array([[side * FACE_MM, 0, end]]))[0]
                for link, side in SIDES.items()
            },
            "wrist": np.zeros(3),
            "shaft_exit": np.array([0, 0, self.collar_mm]),
        }

    def capsules(self, joints: Joints | None = None) -> np.ndarray:
        poses = self.link_poses(joints)
        shaft = chain_of_capsules([[0, 0, self.shaft_start_mm], [0, 0, 0]], self.shaft_radius_mm)
        wrist = chain_of_capsules([[0, 0, 0], [0, 0, self.yaw_axis_mm]], 3.4)
        jaws = []
        for link, side in SIDES.items():
            points = [
                [side, 0, 1.5],
                [0.85 * side, 0, 0.5 * self.jaw_length_mm],
                [0.6 * side, 0, self.jaw_length_mm - 0.6],
            ]
            jaws.append(moved_capsules(poses[link], chain_of_capsules(points, [1.2, 0.75])))
        return np.vstack([shaft, moved_capsules(poses["wrist"], wrist), *jaws])

    def grip(self, joints: Joints | None = None) -> Grip:
        jaws = self._tool_from_jaws(joints)
        begin = 3.0  # beyond the hubs
        middle = np.array([0, 0, (begin + self.jaw_length_mm) / 2])
        return Grip(apply(jaws, middle[None])[0], jaws[:3, 0], (self.jaw_length_mm - begin) / 2)

    def reach(
        self, trocar: np.ndarray, tip_target: np.ndarray, jaw_direction: np.ndarray, closing_direction: np.ndarray
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Pose and wrist joints: see `wrist_through_trocar`. Raises ValueError where a joint would leave its limits."""
        pose, wrist = wrist_through_trocar(
            trocar, tip_target, jaw_direction, closing_direction, self.yaw_axis_mm, self.jaw_length_mm
        )
        self.angles(wrist)
        return pose, wrist

    def _tool_from_jaws(self, joints: Joints | None) -> np.ndarray:
        """[4, 4] of the middle between the jaws."""
        angles = self.angles(joints)
        return self.link_poses(joints)["wrist"] @ turned_about_y(angles["yaw"], (0, 0, self.yaw_axis_mm))

    def _sleeve(self) -> Mesh:
        radius, start, end = self.shaft_radius_mm, self.shaft_start_mm, self.collar_mm
        profile = [(radius - 0.4, start), (radius, start + 0.4)]
        profile += [(radius, z) for z in np.arange(start + 5, end - 1, 5.0 * self.coarseness)]
        profile += [(radius, end - 0.5), (radius - 0.3, end)]
        mesh = surface_of_revolution(np.array(profile), round(64 / self.coarseness))
        mesh.texture[:, 1] = end - mesh.texture[:, 1]  # the print counts from the distal end
        return mesh

    def _collar(self) -> Mesh:
        """Steel ring with grooves between sleeve and clevis."""
        r, z = self.shaft_radius_mm, self.collar_mm
        steps = [(r - 0.25, 0), (r + 0.05, 0.3), (r + 0.05, 1.6), (r - 0.45, 1.7), (r - 0.45, 2.5), (r + 0.05, 2.6)]
        steps += [(r + 0.05, 4.4), (r - 0.35, 4.6), (r - 0.35, 5.4), (r, 5.6), (r, 8.2)]
        rings = [point for radius, along in steps for point in [(radius, z + along)] * 2]  # doubled: sharp edges
        mesh = surface_of_revolution(np.array(rings), round(64 / self.coarseness))
        mesh.texture = mesh.vertices
        return mesh

    def _clevis(self) -> Mesh:
        """Fork that holds the pitch pin; screw heads with slots on its cheeks, cable openings at its root."""
        r = self.shaft_radius_mm

        def field(points):
            round_shaft = np.linalg.norm(points[..., :2], axis=-1) - r
            x, y, z = np.moveaxis(points, -1, 0)
            root = np.maximum(round_shaft, np.abs(z + 6.6) - 1.8)
            reach = np.minimum(sdf.cylinder(points, 0, (0, 0, 0), 3.3, 9), sdf.box(points, (0, 0, -3.5), (9, 3.3, 3.6)))
            prongs = np.maximum(np.maximum(reach, round_shaft), 2.15 - np.abs(x))
            body = sdf.smooth_union(root, prongs, 0.5)
            for side in (-1, 1):  # cable openings
                body = sdf.smooth_subtract(body, sdf.cylinder(points, 1, (side * 1.1, 0, -5.2), 0.6, 9), 0.2)
                body = sdf.smooth_subtract(body, sdf.cylinder(points, 0, (0, side * 2.3, -5.2), 0.55, 9), 0.2)
            head = sdf.cylinder(points, 0, (0, 0, 0), 1.75, 4.15)
            slot = np.maximum(np.abs(y + 0.5 * z) - 0.3, 3.75 - np.abs(x))
            return np.minimum(body, np.maximum(head, -slot))

        return self._surface(field, (-4.6, -4.6, -9), (4.6, 4.6, 4), 0.22)

    def _wrist(self) -> Mesh:
        """Link between pitch and yaw axes: a tongue in the clevis and a fork about the jaws."""
        length = self.yaw_axis_mm

        def field(points):
            x, y, _ = np.moveaxis(points, -1, 0)
            tongue = np.minimum(
                sdf.cylinder(points, 0, (0, 0, 0), 2.5, 1.3), sdf.box(points, (0, 0, 2.4), (1.9, 2.4, 2.5), 0.3)
            )
            reach = np.minimum(
                sdf.cylinder(points, 1, (0, 0, length), 2.9, 3.7),
                sdf.box(points, (0, 0, length - 2.4), (2.9, 3.7, 2.5), 0.4),
            )
            round_body = np.linalg.norm(points[..., :2], axis=-1) - 3.85
            fork = np.maximum(np.maximum(reach, round_body), 2.2 - np.abs(y))
            fork = np.minimum(fork, np.maximum(sdf.box(points, (0, 0, 4.6), (2.7, 3.3, 1.1), 0.3), round_body))
            window = sdf.cylinder(points, 1, (0, 0, 5.4), 0.7, 9)
            body = sdf.smooth_subtract(sdf.smooth_union(tongue, fork, 0.6), window, 0.2)
            head = sdf.cylinder(points, 1, (0, 0, length), 1.35, 4.0)
            slot = np.maximum(np.abs(x) - 0.28, 3.6 - np.abs(y))
            return np.minimum(body, np.maximum(head, -slot))

        return self._surface(field, (-4.3, -4.4, -3), (4.3, 4.4, length + 3.6), 0.22)

    def _pulleys(self) -> Mesh:
        """Cable pulleys beside the tongue and the cables that leave them for the jaws."""
        length = self.yaw_axis_mm

        def field(points):
            x = np.abs(points[..., 0])
            folded = np.concatenate([x[..., None], points[..., 1:]], -1)
            turned = np.linalg.norm(points[..., 1:], axis=-1)
            disc = np.maximum(turned - 2.75 + 0.45 * np.clip(1 - np.abs(x - 1.7) / 0.28, 0, 1), np.abs(x - 1.7) - 0.36)
            cables = np.minimum(
                sdf.cone(folded, (1.7, 2.35, 0.2), (1.2, 1.6, length), 0.28, 0.28),
                sdf.cone(folded, (1.7, -2.35, 0.2), (1.2, -1.6, length), 0.28, 0.28),
            )
            if self.free_cables:
                return np.minimum(disc, cables)
            back = np.minimum(
                sdf.cone(folded, (1.7, 2.4, 0), (1.5, 2.2, -7.5), 0.3, 0.3),
                sdf.cone(folded, (1.7, -2.4, 0), (1.5, -2.2, -7.5), 0.3, 0.3),
            )
            return np.minimum(disc, np.minimum(cables, back))

        return self._surface(field, (-2.6, -3.4, -8.4), (2.6, 3.4, length + 0.8), 0.2)

    def _cables(self) -> list[Mesh]:
        """The cables from the pulleys into the shaft."""
        return [
            sweep(np.array([[1.7 * x, 2.4 * y, 0], [1.5 * x, 2.2 * y, -7.5]]), ellipse(0.3, 0.3, 8), [1.0, 0, 0])
            for x in (1, -1)
            for y in (1, -1)
        ]

    def _jaw(self, side: int) -> Mesh:
        """One jaw about its pivot: a hub in its half of the fork, a tapering half-round blade with a toothed face."""
        length = self.jaw_length_mm

        def field(points):
            x, y, z = np.moveaxis(points, -1, 0)
            along = np.clip(z / length, 0, 1)
            hub = sdf.cylinder(points, 1, (0, side * 0.95, 0), 2.3, 0.95)
            neck = sdf.box(points, (side * 0.75, side * 0.4, 1.9), (0.95, 1.3, 2.1), 0.4)
            half_width = 1.75 - 0.75 * along
            thickness = 2.05 - 1.15 * along
            blade = np.sqrt((y / half_width) ** 2 + (x / thickness) ** 2) - 1
            blade = np.maximum(blade * half_width * 0.8, np.abs(z - length / 2 - 0.9) - (length / 2 - 0.9))
            teeth = 0.10 * np.sign(np.sin(2 * np.pi * (z + y) / 0.9) * np.sin(2 * np.pi * (z - y) / 0.9))
            blade = np.maximum(blade, FACE_MM - teeth - side * x)
            straight = np.stack([side * x - 2.1 + 0.9 * along, y, z - length * 0.45], -1)
            groove = sdf.box(straight, (0, 0, 0), (0.25, 0.35, 2.6))
            blade = np.maximum(blade, -groove)
            return sdf.smooth_union(np.minimum(hub, neck), blade, 0.4)

        return self._surface(field, (-3.1, -2.8, -3), (3.1, 2.8, length + 0.6), 0.19)

    def _surface(self, field: sdf.Field, low, high, spacing: float) -> Mesh:
        return SampledField.sample(field, low, high, spacing * self.coarseness).surface()

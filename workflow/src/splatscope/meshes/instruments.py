"""A parametric wristed instrument in the manner of the da Vinci Large Needle Driver (8 mm shaft).

Tool frame: origin on the wrist's pitch axis, z along the shaft towards the tip, x along the pitch axis; mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.geometry import make_transform
from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.mesh import Mesh, concatenate, surface_of_revolution
from splatscope.meshes.scene import Part

NEEDLE_DRIVER = 14  # id in the class table


@dataclass(frozen=True)
class NeedleDriver:
    """Shape and articulation."""

    shaft_radius_mm: float = 4.0
    shaft_start_mm: float = -135.0  # proximal end, z
    collar_mm: float = -16.0  # where the printed sleeve ends and the steel collar begins, z
    yaw_axis_mm: float = 9.0  # distance from the pitch axis to the jaws' pivot
    jaw_length_mm: float = 11.5
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    opening_deg: float = 16.0  # between the jaws

    @property
    def tip(self) -> np.ndarray:
        """Point [3] midway between the jaw tips, tool frame."""
        wrist = Rotation.from_euler("x", self.pitch_deg, degrees=True).as_matrix()
        jaw = Rotation.from_euler("y", self.yaw_deg, degrees=True).as_matrix()
        return wrist @ (np.array([0, 0, self.yaw_axis_mm]) + jaw @ np.array([0, 0, self.jaw_length_mm]))

    @property
    def sleeve_length_mm(self) -> float:
        return self.collar_mm - self.shaft_start_mm

    def parts(self, instance: int = 1) -> list[Part]:
        """Parts for the renderer, in the tool frame."""
        wrist = make_transform(Rotation.from_euler("x", self.pitch_deg, degrees=True).as_matrix(), np.zeros(3))
        jaws = []
        for side in (1, -1):
            angle = self.yaw_deg + side * self.opening_deg / 2
            pivot = make_transform(
                Rotation.from_euler("y", angle, degrees=True).as_matrix(), np.array([0, 0, self.yaw_axis_mm])
            )
            jaws.append(self._jaw(side).transformed(wrist @ pivot))
        meshes = [
            (self._sleeve(), "shaft"),
            (self._collar(), "steel"),
            (self._clevis(), "steel"),
            (self._wrist().transformed(wrist), "steel"),
            (self._pulleys().transformed(wrist), "carbide"),
            *[(jaw, "carbide") for jaw in jaws],
        ]
        return [Part(mesh, material, NEEDLE_DRIVER, instance) for mesh, material in meshes]

    def mesh(self) -> Mesh:
        """All parts as one mesh in the tool frame."""
        return concatenate([part.mesh for part in self.parts()])

    def _sleeve(self) -> Mesh:
        radius, start, end = self.shaft_radius_mm, self.shaft_start_mm, self.collar_mm
        profile = [(radius - 0.4, start), (radius, start + 0.4)]
        profile += [(radius, z) for z in np.arange(start + 5, end - 1, 5.0)]
        profile += [(radius, end - 0.5), (radius - 0.3, end)]
        mesh = surface_of_revolution(np.array(profile), 64)
        mesh.texture[:, 1] = end - mesh.texture[:, 1]  # the print counts from the distal end
        return mesh

    def _collar(self) -> Mesh:
        """Steel ring with grooves between sleeve and clevis."""
        r, z = self.shaft_radius_mm, self.collar_mm
        steps = [(r - 0.25, 0), (r + 0.05, 0.3), (r + 0.05, 1.6), (r - 0.45, 1.7), (r - 0.45, 2.5), (r + 0.05, 2.6)]
        steps += [(r + 0.05, 4.4), (r - 0.35, 4.6), (r - 0.35, 5.4), (r, 5.6), (r, 8.2)]
        rings = [point for radius, along in steps for point in [(radius, z + along)] * 2]  # doubled: sharp edges
        mesh = surface_of_revolution(np.array(rings), 64)
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

        return _surface(field, (-4.6, -4.6, -9), (4.6, 4.6, 4), 0.22)

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

        return _surface(field, (-4.3, -4.4, -3), (4.3, 4.4, length + 3.6), 0.22)

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
            back = np.minimum(
                sdf.cone(folded, (1.7, 2.4, 0), (1.5, 2.2, -7.5), 0.3, 0.3),
                sdf.cone(folded, (1.7, -2.4, 0), (1.5, -2.2, -7.5), 0.3, 0.3),
            )
            return np.minimum(disc, np.minimum(cables, back))

        return _surface(field, (-2.6, -3.4, -8.4), (2.6, 3.4, length + 0.8), 0.2)

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
            blade = np.maximum(blade, 0.16 - teeth - side * x)
            straight = np.stack([side * x - 2.1 + 0.9 * along, y, z - length * 0.45], -1)
            groove = sdf.box(straight, (0, 0, 0), (0.25, 0.35, 2.6))
            blade = np.maximum(blade, -groove)
            return sdf.smooth_union(np.minimum(hub, neck), blade, 0.4)

        return _surface(field, (-3.1, -2.8, -3), (3.1, 2.8, length + 0.6), 0.19)


def _surface(field: sdf.Field, low, high, spacing: float) -> Mesh:
    return SampledField.sample(field, low, high, spacing).surface()

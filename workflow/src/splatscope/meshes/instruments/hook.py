"""A monopolar L-hook electrode: a bent wire that leaves a ceramic cone at the end of a black shaft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from splatscope.meshes.instruments.instrument import Grip, Instrument, Joints, LinkMeshes, chain_of_capsules
from splatscope.meshes.instruments.shafts import SEGMENTS, sleeve
from splatscope.meshes.lofting import ellipse, sweep
from splatscope.meshes.mesh import surface_of_revolution

HOOK = 9  # id in the class table
BEND_POINTS = 12


@dataclass(frozen=True)
class HookElectrode(Instrument):
    """Shape of the hook; mm. The origin is where the wire leaves the ceramic; the hook points to +x."""

    shaft_radius_mm: float = 2.5
    shaft_length_mm: float = 290.0
    cone_mm: float = 13.0  # ceramic
    cone_tip_radius_mm: float = 1.25
    wire_radius_mm: float = 0.7
    rod_mm: float = 8.5  # straight part of the wire, to the outside of the bend
    leg_mm: float = 5.0  # from the axis to the tip
    bend_deg: float = 95.0
    bend_radius_mm: float = 1.3

    name = "l-hook electrocautery"
    class_id = HOOK
    verb_name = "hook"
    joints = {}
    rest = {}
    electrode = True

    @classmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        return cls(
            shaft_length_mm=rng.uniform(270, 320),
            cone_mm=rng.uniform(9, 18),
            cone_tip_radius_mm=rng.uniform(1.1, 1.5),
            wire_radius_mm=rng.uniform(0.55, 0.8),
            rod_mm=rng.uniform(6.5, 10.5),
            leg_mm=rng.uniform(3.8, 5.5),
            bend_deg=rng.uniform(85, 105),
        )

    def build(self) -> LinkMeshes:
        shaft, cone, tip = self.shaft_radius_mm, self.cone_mm, self.cone_tip_radius_mm
        black = sleeve(shaft, -self.shaft_length_mm, -cone)
        profile = [(shaft - 0.3, -cone - 0.8), (shaft - 0.15, -cone), (shaft - 0.15, -cone + 0.15 * cone)]
        narrow = np.linspace(0.15, 0.93, 7)[1:]
        profile += [
            (tip + (shaft - 0.15 - tip) * np.cos((t - 0.15) / 0.78 * np.pi / 2) ** 1.3, (t - 1) * cone) for t in narrow
        ]
        profile += [(tip, -0.4), (tip - 0.12, -0.12), (tip - 0.4, 0.0)]
        ceramic = surface_of_revolution(np.array(profile), SEGMENTS)
        ceramic.texture = ceramic.vertices
        path, radii = self._wire()
        flattened = np.linspace(1.0, 0.75, len(path))  # the leg is broader along the cut than across it
        section = radii[:, None, None] * ellipse(1, 1, 14) * np.stack([np.ones_like(radii), flattened], -1)[:, None]
        return {
            "shaft": [
                (black, "insulation"),
                (ceramic, "ceramic"),
                (sweep(path, section, [0.0, 1, 0]), "steel"),
            ]
        }

    def link_poses(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        self.angles(joints)
        return {"shaft": np.eye(4)}

    def keypoints(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        self.angles(joints)
        return {"tip": self._wire()[0][-1], "wrist": np.zeros(3), "shaft_exit": np.array([0, 0, -self.cone_mm])}

    def capsules(self, joints: Joints | None = None) -> np.ndarray:
        self.angles(joints)
        path, _ = self._wire()
        shaft = chain_of_capsules([[0, 0, -self.shaft_length_mm], [0, 0, -self.cone_mm]], self.shaft_radius_mm)
        cone = chain_of_capsules([[0, 0, -self.cone_mm], [0, 0, -1.0]], 1.2 * self.cone_tip_radius_mm)
        return np.vstack([shaft, cone, chain_of_capsules(path[[0, 2 + BEND_POINTS // 2, -1]], self.wire_radius_mm)])

    def grip(self, joints: Joints | None = None) -> Grip:
        """The crook, where a strand of tissue lies when the hook is drawn back."""
        self.angles(joints)
        middle, direction = self._leg()
        inside = np.array([-direction[2], 0, direction[0]])  # away from the tip end, towards the shaft
        inside = -inside if inside[2] > 0 else inside
        return Grip(middle + 1.5 * self.wire_radius_mm * inside, inside, self.leg_mm / 2)

    def heat_point(self, joints: Joints | None = None) -> np.ndarray:
        """The middle of the leg."""
        self.angles(joints)
        return self._leg()[0]

    def _leg(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle [3] and unit direction [3] of the leg."""
        path, _ = self._wire()
        start = path[1 + BEND_POINTS]  # end of the bend
        direction = path[-1] - start
        return (path[-1] + start) / 2, direction / np.linalg.norm(direction)

    def _wire(self) -> tuple[np.ndarray, np.ndarray]:
        """Path [N, 3] of the wire's middle from inside the cone to the tip, and its radius [N]."""
        angle = np.radians(self.bend_deg)
        turn = np.linspace(0, angle, BEND_POINTS)
        radius = self.bend_radius_mm
        straight = self.rod_mm - self.wire_radius_mm - radius
        bend = np.column_stack([radius * (1 - np.cos(turn)), 0 * turn, straight + radius * np.sin(turn)])
        direction = np.array([np.sin(angle), 0, np.cos(angle)])
        leg = (self.leg_mm - bend[-1, 0]) / direction[0]
        end = leg - 0.7 * self.wire_radius_mm * np.array([1.0, 0.5, 0.2, 0.05, 0.0])
        path = np.vstack([[[0, 0, -2.0], [0, 0, 0.3]], bend, bend[-1] + end[:, None] * direction])
        radii = np.full(len(path), self.wire_radius_mm)
        radii[-5:] *= [1.0, 0.85, 0.6, 0.35, 0.12]
        return path, radii

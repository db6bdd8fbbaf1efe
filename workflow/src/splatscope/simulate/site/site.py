"""The site of a laparoscopic cholecystectomy, drawn from a seed: organs to be simulated and what stands still.

site = OperationSite(seed=4)
tissue = Tissue(site.bodies, site.bonds, obstacle=site.obstacle)
site.landmark("fundus", tissue.positions)
"""

from __future__ import annotations

import numpy as np

from splatscope.meshes import organ_fields
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.scene import Part
from splatscope.simulate.site.backdrop import Backdrop
from splatscope.simulate.site.bodies import RESOLUTIONS, build_bodies
from splatscope.simulate.site.connections import build_bonds
from splatscope.simulate.site.landmarks import Landmark
from splatscope.simulate.site.look import Look
from splatscope.simulate.site.naming import name_landmarks
from splatscope.simulate.site.organs import Organs, SampledOrgans
from splatscope.simulate.site.patient import Patient, Variation


class OperationSite:
    """Bodies, bonds, rigid surroundings and landmarks in the site frame, mm.

    `bodies` are liver, gallbladder (with cystic duct), cystic artery and the fat before Calot's triangle; positions are
    of their vertices in this order. Equal seeds and settings give equal sites.
    """

    def __init__(self, seed: int, variation: Variation | None = None, resolution: str = "standard"):
        if resolution not in RESOLUTIONS:
            raise ValueError(f"expected a resolution among {list(RESOLUTIONS)}, got {resolution!r}")
        rng = np.random.default_rng([seed, 301])
        noise = VolumeNoise(seed)
        self.patient = Patient.draw(rng, variation or Variation())
        factor = RESOLUTIONS[resolution]
        organs = Organs(self.patient, noise, organ_fields.Lobules(rng), rng.uniform(0, 100), factor)
        self.bodies = build_bodies(organs, factor)
        self.bonds = build_bonds(self.bodies, self.patient, factor)
        self.landmarks: dict[str, Landmark] = name_landmarks(self.bodies, self.bonds, organs)
        moving = SampledOrgans(organs)
        self._backdrop = Backdrop.sample(organs, moving)
        self.obstacle: SampledField = self._backdrop.obstacle()
        self._look = Look(organs, moving, self._backdrop, noise)

    @property
    def rest(self) -> np.ndarray:
        """float64 [V, 3]: vertices of all bodies in order."""
        return np.concatenate([body.mesh.vertices for body in self.bodies])

    texture_coordinates = rest

    def landmark(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Where a landmark is [3] for vertex positions [V, 3], of all bodies in order."""
        return self._named(name).point(positions)

    def landmark_axis(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Unit vector [3]: along duct or artery, away from the gallbladder; out of the surface at other landmarks."""
        return self._named(name).direction(positions)

    def _named(self, name: str) -> Landmark:
        if name not in self.landmarks:
            raise KeyError(f"expected a landmark among {', '.join(self.landmarks)}, got {name!r}")
        return self.landmarks[name]

    def tint(self, points: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Colour factor and ambient occlusion float32 [N, 4] at rest positions [N, 3] on bodies with classes [N]."""
        return self._look.tissue(points, classes)

    def backdrop_parts(self) -> list[Part]:
        """The rigid surroundings for the renderer."""
        parts = []
        for mesh, material, class_id in self._backdrop.surfaces():
            if class_id != organ_fields.ABDOMINAL_WALL:
                mesh.tint = self._look.backdrop(mesh, class_id)
            parts.append(Part(mesh, material, class_id))
        return parts

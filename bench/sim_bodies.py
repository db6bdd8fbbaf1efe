"""The soft body that the simulator and its peers compute: a liver that hangs from its dome."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.organ_fields import LIVER, LiverShape, liver
from splatscope.meshes.tetrahedra import TetMesh, stuff
from splatscope.simulate.tissue.body import Body, TissueMaterial
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tissue import Tissue

SPACING_MM = 16.7  # gives about 5,000 tetrahedra
HELD_MM = 20.0  # of its height, at the top
GRAVITY_MM_S2 = (0.0, -9810.0, 0.0)


@dataclass
class HangingBody:
    """A body that vertices fixed at its top hold against gravity along -y."""

    mesh: TetMesh
    fixed: np.ndarray  # bool [V]
    young_kpa: float = 8.0
    poisson: float = 0.45
    density: float = 1.05e-3  # g/mm^3

    def hanging(self, frames: list[np.ndarray]) -> dict:
        """The mean sag in mm after every frame (positions [V, 3])."""
        return {"sags_mm": [float((self.mesh.vertices - positions)[:, 1].mean()) for positions in frames]}

    def save_si(self, path: Path) -> None:
        """For the peers: metres, kilograms, pascals."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            vertices=self.mesh.vertices * 1e-3,
            tets=self.mesh.tets,
            fixed=self.fixed,
            young=self.young_kpa * 1e3,
            poisson=self.poisson,
            density=self.density * 1e6,
            gravity=np.array(GRAVITY_MM_S2) * 1e-3,
        )


def hanging_liver() -> HangingBody:
    """A liver of 5k tetrahedra that hangs from the top 20 mm of its dome."""
    noise, shape = VolumeNoise(0), LiverShape()

    def field(points):
        return liver(points.astype(np.float32), shape, noise)

    mesh = stuff(field, (-145, -25, -80), (140, 155, 30), SPACING_MM)
    height = mesh.vertices[:, 1]
    return HangingBody(mesh, height > height.max() - HELD_MM)


def tissue_of(body: HangingBody, substeps: int) -> Tissue:
    """The body in our solver, with so many substeps in 1/60 s."""
    material = TissueMaterial(body.young_kpa, body.poisson, body.density)
    classes = np.full(len(body.mesh.tets), LIVER, np.uint8)
    settings = TissueSettings(substeps_per_s=60.0 * substeps, gravity_mm_s2=GRAVITY_MM_S2)
    return Tissue([Body("liver", body.mesh, material, classes, body.fixed)], None, settings)


def hang(tissue: Tissue, seconds: float) -> list[np.ndarray]:
    """Positions [V, 3] in mm after every 1/60 s."""
    seen = []
    for _ in range(round(60 * seconds)):
        tissue.advance(1 / 60, {})
        seen.append(tissue.positions)
    return seen

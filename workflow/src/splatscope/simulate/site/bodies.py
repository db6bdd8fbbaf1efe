"""A patient's organs as physical bodies: tetrahedra, their classes, and what is held fast."""

from __future__ import annotations

import numpy as np

from splatscope.meshes.distance_fields import Field
from splatscope.meshes.organ_fields import ARTERY, CONNECTIVE, DUCT, FAT, GALLBLADDER, LIVER
from splatscope.meshes.tetrahedra import Inversion, TetMesh, stuff
from splatscope.simulate.site.organs import Organs
from splatscope.simulate.tissue.body import Body

RESOLUTIONS = {"standard": 1.0, "demo": 1.33}  # factor of all spacings
LIVER_MM, SAC_MM, DUCT_MM, ARTERY_MM, CALOT_MM = 5.25, 3.8, 1.65, 1.18, 2.05  # lattice spacing where it matters most
FREE_LIVER_MM = 30.0  # as near to the gallbladder the liver moves
LIVER_BODY, GALLBLADDER_BODY, ARTERY_BODY, CALOT_BODY = range(4)


def build_bodies(organs: Organs, factor: float) -> list[Body]:
    """Liver, gallbladder with duct, cystic artery, fat before Calot's triangle; in the order of the *_BODY numbers.

    `factor` multiplies all spacings; RESOLUTIONS holds the usual ones.
    """
    materials = organs.patient.materials
    bodies = []
    for name, mesh in {
        "liver": _liver(organs, factor),
        "gallbladder": _gallbladder(organs, factor),
        "cystic artery": _around(organs.artery, organs.artery_points, 5.0, ARTERY_MM * factor),
        "calot fat": _around(organs.calot, organs.calot_corners, 14.0, CALOT_MM * factor),
    }.items():
        centres = mesh.vertices[mesh.tets].mean(1)
        if name == "liver":
            classes, fixed = np.full(len(centres), LIVER), organs.gallbladder(mesh.vertices) > FREE_LIVER_MM
        elif name == "gallbladder":
            classes = np.where(organs.is_duct(centres), DUCT, GALLBLADDER)
            fixed = organs.ligament(mesh.vertices) < -1.5
        elif name == "cystic artery":
            classes, fixed = np.full(len(centres), ARTERY), organs.ligament(mesh.vertices) < -1.5
        else:
            classes = np.where(organs.fattiness(centres) > 0, FAT, CONNECTIVE)
            fixed = organs.ligament(mesh.vertices) < 0.0
        bodies.append(Body(name, mesh, materials[name], classes, fixed))
    return bodies


def _liver(organs: Organs, factor: float) -> TetMesh:
    """Fine at the gallbladder's bed, coarse far from the camera."""
    bed = organs.sac_path[1]
    focus = bed + np.array([0.0, -28, 68])
    low, high = organs.liver_box()
    high[2] = min(high[2], focus[2] - 20)
    grading = Inversion(tuple(focus), float(np.linalg.norm(focus - bed)))
    return stuff(organs.liver, low, high, LIVER_MM * factor, grading)


def _gallbladder(organs: Organs, factor: float) -> TetMesh:
    """Fine at the duct, coarser towards the fundus."""
    path = np.vstack([organs.sac_path, organs.duct_path])
    margin = organs.patient.sac_radii.max() + 6
    fundus, end = organs.sac_path[0], organs.duct_path[-1]
    away = (end - fundus) / np.linalg.norm(end - fundus)
    # the square of the distance from the focus gives DUCT_MM at the duct's middle and SAC_MM at the sac's body
    middle = float(away @ (end - organs.duct_path[len(organs.duct_path) // 2]))
    body = float(away @ (end - organs.sac_path[1]))
    ratio = np.sqrt(SAC_MM / DUCT_MM)
    behind = (body - ratio * middle) / (ratio - 1)
    grading = Inversion(tuple(end + behind * away), behind + middle)
    return stuff(organs.gallbladder, path.min(0) - margin, path.max(0) + margin, DUCT_MM * factor, grading)


def _around(field: Field, points: np.ndarray, margin: float, spacing: float) -> TetMesh:
    return stuff(field, points.min(0) - margin, points.max(0) + margin, spacing)

"""The connective tissue between a patient's organs, as bonds between vertices of their surfaces."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from splatscope.meshes.organ_fields import GALLBLADDER
from splatscope.simulate.site.bodies import (
    ARTERY_BODY,
    ARTERY_MM,
    CALOT_BODY,
    CALOT_MM,
    GALLBLADDER_BODY,
    LIVER_BODY,
    SAC_MM,
)
from splatscope.simulate.site.organs import FAT_GAP, VESSEL_GAP
from splatscope.simulate.site.patient import Patient
from splatscope.simulate.tissue.body import Body, Bonds

BED_REACH_MM = 2.4  # of bonds across the areolar plane, beyond the surfaces' gap
SEROSA = 0.012, 2.5  # N/mm and mm at which it fails: holds the artery's branches on the gallbladder
STRAND = 0.02, 2.5  # holds the fat to what it covers


def build_bonds(bodies: list[Body], patient: Patient, spacing_factor: float) -> Bonds:
    """Bonds of the gallbladder's bed, of the artery's branches on the wall, and of the fat before Calot's triangle.

    The bed's bonds stand for an areolar plane whose strength per area does not depend on the resolution: their
    stiffness goes with the wall that each one holds.
    """
    surfaces = [np.unique(body.mesh.boundary()[0]) for body in bodies]
    trees = [cKDTree(body.mesh.vertices[surface]) for body, surface in zip(bodies, surfaces)]
    rows = []

    def join(
        first: int, second: int, reach_mm: float, strands: int, stiffness: float, break_mm: float, keep=None
    ) -> None:
        """Each surface vertex of the first body to the nearest few of the second, where the first of them is in reach.

        Several strands lean in several directions: one alone would let the surfaces slide.
        """
        distance, nearest = trees[second].query(bodies[first].mesh.vertices[surfaces[first]], k=strands)
        distance, nearest = distance.reshape(-1, strands), nearest.reshape(-1, strands)
        near = distance[:, 0] < reach_mm
        if keep is not None:
            near &= keep[surfaces[first]]
        ends = np.repeat(surfaces[first][near], strands), surfaces[second][nearest[near]].ravel()
        count = len(ends[0])
        strength = distance[near].ravel(), np.full(count, stiffness / strands), np.full(count, break_mm)
        rows.append([np.full(count, first), ends[0], np.full(count, second), ends[1], *strength])

    sac = np.zeros(len(bodies[GALLBLADDER_BODY].mesh.vertices), bool)
    sac[bodies[GALLBLADDER_BODY].mesh.tets[bodies[GALLBLADDER_BODY].classes == GALLBLADDER]] = True
    spread = spacing_factor**2
    bed = (patient.bed_stiffness_n_per_mm * spread, patient.bed_break_mm)
    join(GALLBLADDER_BODY, LIVER_BODY, BED_REACH_MM + SAC_MM * spacing_factor / 2, 3, *bed, keep=sac)
    join(GALLBLADDER_BODY, ARTERY_BODY, VESSEL_GAP + 1.4 * ARTERY_MM * spacing_factor, 3, *SEROSA, keep=sac)
    for other in (GALLBLADDER_BODY, ARTERY_BODY, LIVER_BODY):
        join(CALOT_BODY, other, FAT_GAP + CALOT_MM * spacing_factor, 2, STRAND[0] * spread, STRAND[1])
    return Bonds(*(np.concatenate(column) for column in zip(*rows)))

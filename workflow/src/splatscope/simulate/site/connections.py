"""The connective tissue between a patient's organs, as bonds between vertices of their surfaces."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from splatscope.meshes.organ_fields import GALLBLADDER
from splatscope.simulate.site.bodies import ARTERY_BODY, CALOT_BODY, GALLBLADDER_BODY, LIVER_BODY
from splatscope.simulate.site.organs import BED_GAP, FAT_GAP, LIVER_FAT_GAP, VESSEL_GAP
from splatscope.simulate.site.patient import Patient
from splatscope.simulate.tissue.body import Body, Bonds

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
    wall = spacing_factor**2  # that one vertex stands for, relative to the standard resolution
    bed = (patient.bed_stiffness_n_per_mm * wall, patient.bed_break_mm)
    # bonds reach beyond the gap between two surfaces by about half a face of the coarser one
    join(GALLBLADDER_BODY, LIVER_BODY, (BED_GAP * spacing_factor + 3.0) * spacing_factor, 3, *bed, keep=sac)
    join(GALLBLADDER_BODY, ARTERY_BODY, (VESSEL_GAP + 1.4) * spacing_factor, 3, *SEROSA, keep=sac)
    for other, gap_mm in ((GALLBLADDER_BODY, FAT_GAP), (ARTERY_BODY, FAT_GAP), (LIVER_BODY, LIVER_FAT_GAP)):
        join(CALOT_BODY, other, (gap_mm + 2.0) * spacing_factor, 2, STRAND[0] * wall, STRAND[1])
    return Bonds(*(np.concatenate(column) for column in zip(*rows)))

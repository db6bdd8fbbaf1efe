"""Where the tissue bleeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.simulate.tissue.clips import Clip
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.topology import Parting, Topology


@dataclass(frozen=True)
class BleedingSource:
    """An open vessel or a raw surface."""

    vertex: int
    tet: int  # next to it
    body: int
    class_id: int
    rate_ml_per_s: float


def sources_of(
    parting: Parting,
    areas: np.ndarray,
    topology: Topology,
    positions: np.ndarray,
    tet_body: np.ndarray,
    tet_class: np.ndarray,
    fixed: np.ndarray,
    clips: list[Clip],
    settings: TissueSettings,
) -> list[BleedingSource]:
    """The sources that opened faces make: the raw surface of parenchyma, and the end of an artery that hangs together
    with its supply (its fixed vertices) without a clip on the way."""
    sources = []
    tets = parting.opened[:, :, 0]
    for class_id, speed in settings.bleeding_mm_s:
        for body in np.unique(tet_body[tets[tet_class[tets] == class_id]]):
            bloody = (tet_body == body) & (tet_class == class_id)
            if class_id in settings.arteries:
                bloody = supplied_pieces(bloody, topology, fixed, clips)
            here = bloody[tets].any(1)
            area = float(areas[here].sum())
            if area < settings.least_bleeding_area_mm2:
                continue
            beside = np.where(bloody[tets[here, 0]], tets[here, 0], tets[here, 1])
            corners = topology.tets[beside]
            centre = (positions[corners].mean(1) * areas[here, None]).sum(0) / area
            vertex = corners.ravel()[((positions[corners.ravel()] - centre) ** 2).sum(1).argmin()]
            tet = beside[(corners == vertex).any(1).argmax()]
            sources.append(BleedingSource(int(vertex), int(tet), int(body), class_id, area * speed / 1e3))
    return sources


def supplied_pieces(vessel: np.ndarray, topology: Topology, fixed: np.ndarray, clips: list[Clip]) -> np.ndarray:
    """bool [T]: tetrahedra of an artery that blood reaches; where nothing is fixed, the largest piece is supplied."""
    labels = topology.pieces(vessel)
    count = int(labels.max(initial=-1)) + 1
    if count == 0:
        return np.zeros(len(vessel), bool)
    rooted = np.unique(labels[vessel & topology.active & fixed[topology.tets].any(1)])
    if not len(rooted):
        rooted = np.bincount(labels[labels >= 0], minlength=count).argmax(keepdims=True)
    closed = [labels[clip.tets] for clip in clips]
    closed = np.unique(np.concatenate(closed)) if closed else np.zeros(0, int)
    return np.isin(labels, np.setdiff1d(rooted[rooted >= 0], closed))

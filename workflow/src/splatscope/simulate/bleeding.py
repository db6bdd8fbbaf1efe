"""Blood on the tissue: it wells up at bleeding points, runs down, and is carried along with the surface."""

from __future__ import annotations

import numpy as np

from splatscope.simulate.tissue.tissue import Tissue

DOWN = np.array([0.0, -0.35, -0.94])  # gravity's direction in the site frame, unit
MM3_PER_ML = 1000.0
COVERING_MM = 0.12  # thickness through which the tissue is no longer seen
STAYING_MM = 0.03  # thickness that sticks to the surface
RUNNING_PER_S = 14.0  # share of the rest that leaves a vertex for those below it
SPREADING = 0.18  # of which this runs on level ground, too
BEATS_PER_S, PULSE = 1.2, 0.4


class Bleeding:
    """Volume of blood at every vertex of the tissue."""

    def __init__(self, tissue: Tissue, factor: float):
        self._tissue, self._factor = tissue, factor
        self._volume = np.zeros(len(tissue.rest))  # mm^3
        self._version = -1
        self._follow_topology()

    def cover(self) -> np.ndarray:
        """float32 [V]: 0 none .. 1 hidden under blood."""
        self._follow_topology()
        return np.clip(self._volume / (self._areas * COVERING_MM), 0, 1).astype(np.float32)

    def advance(self, duration_s: float) -> None:
        """Let it bleed and run."""
        self._follow_topology()
        pulse = 1 + PULSE * np.sin(2 * np.pi * BEATS_PER_S * self._tissue.time_s)
        for source in self._tissue.bleeding:
            self._volume[source.vertex] += self._factor * source.rate_ml_per_s * MM3_PER_ML * pulse * duration_s
        if self._volume.any():
            self._run(duration_s)

    def _follow_topology(self) -> None:
        """Know the surface as it is; vertices that a cut has made begin without blood."""
        tissue = self._tissue
        if self._version == tissue.topology_version:
            return
        self._version = tissue.topology_version
        faces = tissue.surface().faces
        self._edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
        corners = tissue.rest[faces].astype(float)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6
        count = len(tissue.rest)
        self._areas = np.maximum(np.bincount(faces.ravel(), np.repeat(area, 3), count), 0.1)  # mm^2
        self._volume = np.concatenate([self._volume, np.zeros(count - len(self._volume))])

    def _run(self, duration_s: float) -> None:
        wet = self._edges[(self._volume[self._edges] > 0).any(1)]
        both = np.concatenate([wet, wet[:, ::-1]])
        positions, count = self._tissue.positions, len(self._volume)
        way = positions[both[:, 1]] - positions[both[:, 0]]
        share = np.maximum(way @ DOWN / np.maximum(np.linalg.norm(way, axis=1), 1e-6), 0) + SPREADING
        total = np.bincount(both[:, 0], share, count)
        loose = np.maximum(self._volume - STAYING_MM * self._areas, 0) * min(RUNNING_PER_S * duration_s, 0.5)
        flow = loose[both[:, 0]] * share / np.maximum(total[both[:, 0]], 1e-9)
        self._volume += np.bincount(both[:, 1], flow, count) - np.bincount(both[:, 0], flow, count)
        self._volume[self._volume < 1e-4] = 0

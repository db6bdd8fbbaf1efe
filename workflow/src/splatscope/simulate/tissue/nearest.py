"""The nearest place on a surface."""

from __future__ import annotations

import numpy as np
from trimesh.triangles import closest_point

from splatscope.simulate.tissue.topology import Surface


def nearest_face(surface: Surface, positions: np.ndarray, point: np.ndarray) -> tuple[float, np.ndarray]:
    """(distance in mm, vertices [3]) of the face nearest to a point [3]."""
    corners = positions[surface.faces].astype(np.float64)
    centre = corners.mean(1)
    away = np.linalg.norm(centre - point, axis=1)
    size = np.linalg.norm(corners - centre[:, None], axis=2).max(1)
    near = np.flatnonzero(away - size <= (away + size).min())  # none of the others can be nearer
    distances = np.linalg.norm(closest_point(corners[near], np.tile(point, (len(near), 1))) - point, axis=1)
    best = distances.argmin()
    return float(distances[best]), surface.faces[near[best]]

"""Closed meshes of few triangles from rings of points: what machined and bent parts are made of."""

from __future__ import annotations

import numpy as np

from splatscope.meshes.mesh import Mesh

CREASE_DEG = 38.0  # faces that meet at a larger angle have an edge between them


def loft(rings: np.ndarray, closed: bool = False, crease_deg: float = CREASE_DEG) -> Mesh:
    """Closed mesh through rings [M, N, 3] mm, each an ordered closed polygon that corresponds point by point.

    The first and last ring are capped by fans about their centres, or joined to each other when `closed`. The faces
    look outwards whichever way the rings run.
    """
    rings = np.asarray(rings, np.float64)
    count, points = rings.shape[:2]
    vertices = rings.reshape(-1, 3)
    here = np.arange(points)
    after = np.roll(here, -1)
    faces = []
    for low, high in [(ring, (ring + 1) % count) for ring in range(count if closed else count - 1)]:
        a, b, c, d = low * points + here, low * points + after, high * points + after, high * points + here
        faces += [np.stack([a, b, c], -1), np.stack([a, c, d], -1)]
    if not closed:
        vertices = np.vstack([vertices, rings[0].mean(0), rings[-1].mean(0)])
        top = (count - 1) * points
        faces += [
            np.stack([here, np.full(points, len(vertices) - 2), after], -1),
            np.stack([top + here, top + after, np.full(points, len(vertices) - 1)], -1),
        ]
    faces = np.vstack(faces)
    corners = vertices[faces]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return creased(vertices, faces if volume > 0 else faces[:, ::-1], crease_deg)


def sweep(path: np.ndarray, section: np.ndarray, across, crease_deg: float = CREASE_DEG) -> Mesh:
    """Closed mesh of a section carried along a path [M, 3] in a plane.

    Section [N, 2] or, one for each point of the path, [M, N, 2]: the first coordinate lies in the plane across the
    path, the second along the plane's normal `across` [3].
    """
    path = np.asarray(path, np.float64)
    across = np.asarray(across, np.float64)
    step = np.diff(path, axis=0)
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    tangent = np.vstack([step[:1], step[:-1] + step[1:], step[-1:]])
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    sideways = np.cross(across, tangent)
    section = np.broadcast_to(section, (len(path), *np.shape(section)[-2:]))
    rings = path[:, None] + section[..., :1] * sideways[:, None] + section[..., 1:] * across
    return loft(rings, crease_deg=crease_deg)


def ellipse(radius_u: float, radius_v: float, points: int) -> np.ndarray:
    """Polygon [points, 2] of an ellipse."""
    angle = np.arange(points) * (2 * np.pi / points)
    return np.stack([radius_u * np.cos(angle), radius_v * np.sin(angle)], -1)


def rounded_box(low, high, corner: float, per_corner: int = 3) -> np.ndarray:
    """Polygon [4 per_corner, 2] of the rectangle from `low` to `high` with rounded corners."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    corner = min(corner, 0.499 * (high - low).min())
    quadrant = np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], per_corner, axis=0)
    angle = (np.arange(4)[:, None] * (np.pi / 2) + np.linspace(0, np.pi / 2, per_corner)).ravel()
    arc = np.stack([np.cos(angle), np.sin(angle)], -1)
    return (low + high) / 2 + quadrant * ((high - low) / 2 - corner) + corner * arc


def at_heights(sections: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Rings [M, N, 3] of sections [M, N, 2] (or one [N, 2] for all) in the planes z = heights [M]."""
    heights = np.asarray(heights, np.float64)
    sections = np.broadcast_to(sections, (len(heights), *np.shape(sections)[-2:]))
    return np.concatenate([sections, np.broadcast_to(heights[:, None, None], (*sections.shape[:2], 1))], -1)


def creased(vertices: np.ndarray, faces: np.ndarray, crease_deg: float = CREASE_DEG) -> Mesh:
    """Mesh whose normals are smooth within `crease_deg` and sharp beyond; vertices on edges are doubled.

    Faces count by their angle at the vertex, so that it does not matter how quadrilaterals were halved. With 180
    degrees everything is smooth and the mesh has the given vertices and faces.
    """
    vertices = np.asarray(vertices, np.float32).astype(np.float64)
    corners = vertices[faces]
    unit = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    to_next = _unit(np.roll(corners, -1, axis=1) - corners)
    to_last = -np.roll(to_next, 1, axis=1)
    angles = np.arccos(np.clip(np.einsum("fci,fci->fc", to_next, to_last), -1, 1))
    weighted = (angles[..., None] * unit[:, None]).reshape(-1, 3)
    flat = faces.ravel()
    order = np.argsort(flat, kind="stable")
    valence = np.bincount(flat, minlength=len(vertices))
    slot = np.arange(len(flat)) - np.repeat(np.cumsum(valence) - valence, valence)
    around = np.full((len(vertices), valence.max()), -1)  # corners that meet at each vertex
    around[flat[order], slot] = order
    neighbours = around[faces]  # [F, 3, K]
    alike = np.einsum("fi,fcki->fck", unit, unit[neighbours // 3]) > np.cos(np.radians(crease_deg)) - 1e-9
    normals = _unit(np.einsum("fck,fcki->fci", alike & (neighbours >= 0), weighted[neighbours])).reshape(-1, 3)
    keys = np.column_stack([flat, np.round(normals * 512)]).astype(np.int64)
    code = ((keys[:, 0] * 2048 + keys[:, 1] + 1024) * 2048 + keys[:, 2] + 1024) * 2048 + keys[:, 3] + 1024
    _, first, renumbered = np.unique(code, return_index=True, return_inverse=True)
    return Mesh(vertices[flat[first]], renumbered.reshape(-1, 3), normals[first])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

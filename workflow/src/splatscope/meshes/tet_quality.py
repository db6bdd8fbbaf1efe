"""Shape of tetrahedra on raw arrays, and moves of vertices that better a surface without spoiling any tetrahedron."""

from __future__ import annotations

import numpy as np

from splatscope.meshes.distance_fields import Field

OUTWARD = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]])  # faces opposite corners 0..3, counter-clockwise
_FACE_PAIRS = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])


def tet_volumes(vertices: np.ndarray, tets: np.ndarray) -> np.ndarray:
    """Signed volumes [T] in mm^3: positive where corner 3 sees corners 0, 1, 2 counter-clockwise from behind."""
    a, b, c, d = np.moveaxis(vertices[tets], 1, 0)
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) / 6


def min_dihedrals(vertices: np.ndarray, tets: np.ndarray) -> np.ndarray:
    """Smallest dihedral angle [T] of each tetrahedron in degrees; negative where it is inverted."""
    corners = vertices[tets]
    normals = np.stack(
        [np.cross(corners[:, b] - corners[:, a], corners[:, c] - corners[:, a]) for a, b, c in OUTWARD], 1
    )
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-30)
    cosine = -np.einsum("tfi,tfi->tf", normals[:, _FACE_PAIRS[:, 0]], normals[:, _FACE_PAIRS[:, 1]])
    angles = np.degrees(np.arccos(np.clip(cosine.max(1), -1, 1)))
    return np.where(tet_volumes(vertices, tets) > 0, angles, -angles)


def boundary_faces(tets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces [F, 3] that one tetrahedron alone has, counter-clockwise from outside, and that tetrahedron [F]."""
    faces = tets[:, OUTWARD].reshape(-1, 3)
    ordered = np.sort(faces, axis=1).astype(np.int64)
    base = np.int64(tets.max() + 1) if len(tets) else 1
    keys = (ordered[:, 0] * base + ordered[:, 1]) * base + ordered[:, 2]
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    alone = np.sort(first[counts == 1])
    return faces[alone].astype(np.int32), (alone // 4).astype(np.int32)


def field_gradient(field: Field, points: np.ndarray, step: float) -> np.ndarray:
    """Central differences [N, 3] of a field at points [N, 3]."""
    offsets = step * np.eye(3)
    ahead, behind = (field((points[:, None] + sign * offsets).reshape(-1, 3)) for sign in (1, -1))
    return ((ahead - behind) / (2 * step)).reshape(-1, 3)


def fit_surface(vertices: np.ndarray, tets: np.ndarray, field: Field, floor_degrees: float, rounds: int) -> np.ndarray:
    """Vertices moved so that the boundary lies on the field's zero level with evenly spread vertices.

    Each round slides boundary vertices towards the middle of their neighbours, puts them on the zero level with one
    Newton step, and takes back the moves that leave a tetrahedron below `floor_degrees` and worse than it was.
    """
    faces, _ = boundary_faces(tets)
    rim = np.unique(faces)
    pairs = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    pairs = np.vstack([pairs, pairs[:, ::-1]])
    degree = np.bincount(pairs[:, 0], minlength=len(vertices))[rim, None]
    lengths = np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)
    reach = np.bincount(pairs[:, 0], lengths, minlength=len(vertices))[rim] / degree[:, 0]
    for turn in range(rounds):
        here = vertices[rim]
        gradient = field_gradient(field, here, 0.1 * reach.mean())
        squared = np.maximum((gradient**2).sum(1, keepdims=True), 1e-6)
        mean = np.stack(
            [np.bincount(pairs[:, 0], vertices[pairs[:, 1], axis], minlength=len(vertices))[rim] for axis in range(3)],
            -1,
        )
        slide = mean / degree - here
        slide -= gradient * (slide * gradient).sum(1, keepdims=True) / squared
        slide *= 0.5 if turn < rounds - 1 else 0.0  # the last round only puts vertices onto the surface
        newton = -gradient * field(here)[:, None] / squared
        step = slide + newton
        step *= np.minimum(1, 0.3 * reach / np.maximum(np.linalg.norm(step, axis=1), 1e-12))[:, None]
        vertices = _move_where_allowed(vertices, tets, rim, step, floor_degrees)
    return vertices


def _move_where_allowed(vertices, tets, moved, step, floor_degrees) -> np.ndarray:
    """Vertices after the steps [M, 3] of `moved` [M], halved and at last dropped where tetrahedra would suffer."""
    before = np.minimum(min_dihedrals(vertices, tets), floor_degrees)
    scale = np.zeros(len(vertices))
    full = np.zeros_like(vertices)
    scale[moved], full[moved] = 1.0, step
    while True:
        after = vertices + scale[:, None] * full
        bad = tets[min_dihedrals(after, tets) < before - 1e-9]
        if not len(bad):
            return after
        blamed = np.unique(bad)
        scale[blamed] = np.where(scale[blamed] > 0.3, scale[blamed] / 2, 0.0)


def improve_worst(vertices: np.ndarray, tets: np.ndarray, field: Field, floor_degrees: float) -> np.ndarray:
    """Vertices of tetrahedra with an angle below the floor moved, one at a time, to where their worst is least bad.

    Boundary vertices stay near the zero level: each try is put back onto it by a Newton step.
    """
    vertices = vertices.copy()
    on_boundary = np.zeros(len(vertices), bool)
    on_boundary[boundary_faces(tets)[0]] = True
    order = np.argsort(tets.ravel(), kind="stable")
    starts = np.searchsorted(tets.ravel()[order], np.arange(len(vertices) + 1))
    signs = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    directions = signs[np.abs(signs).sum(1) > 0] / np.linalg.norm(
        signs[np.abs(signs).sum(1) > 0], axis=1, keepdims=True
    )
    for share in (0.2, 0.1, 0.05, 0.2, 0.1, 0.05):
        worst = np.flatnonzero(min_dihedrals(vertices, tets) < floor_degrees)
        for vertex in np.unique(tets[worst]):
            around = tets[order[starts[vertex] : starts[vertex + 1]] // 4]
            size = np.cbrt(np.abs(tet_volumes(vertices, around)).mean() * 12)
            tries = vertices[vertex] + share * size * np.vstack([np.zeros(3), directions])
            if on_boundary[vertex]:
                gradient = field_gradient(field, tries, 0.05 * size)
                squared = np.maximum((gradient**2).sum(1, keepdims=True), 1e-6)
                newton = -gradient * field(tries)[:, None] / squared
                tries[1:] += newton[1:] * np.minimum(
                    1, 0.2 * size / np.maximum(np.linalg.norm(newton[1:], axis=1, keepdims=True), 1e-12)
                )
            corners = np.where((around == vertex)[None, :, :, None], tries[:, None, None], vertices[around][None])
            flat = corners.reshape(-1, 3)
            angles = min_dihedrals(flat, np.arange(len(flat)).reshape(-1, 4)).reshape(len(tries), -1).min(1)
            vertices[vertex] = tries[angles.argmax()]
    return vertices

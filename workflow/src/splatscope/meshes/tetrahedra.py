"""Tetrahedral meshes, and how to fill the inside of a distance field with well-shaped tetrahedra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from splatscope.meshes.distance_fields import Field
from splatscope.meshes.lattice_stuffing import stuff_lattice
from splatscope.meshes.tet_quality import (
    OUTWARD,
    boundary_faces,
    fit_surface,
    improve_worst,
    min_dihedrals,
    tet_volumes,
)

MIN_DIHEDRAL = 14.0  # degrees: what `stuff` promises


@dataclass
class TetMesh:
    """Tetrahedra in mm. Raises ValueError when arrays are not of the stated shape or a tetrahedron is not positive."""

    vertices: np.ndarray  # float64 [V, 3] mm
    tets: np.ndarray  # int32 [T, 4]; det(x1 - x0, x2 - x0, x3 - x0) > 0

    def __post_init__(self):
        self.vertices = np.ascontiguousarray(self.vertices, np.float64)
        self.tets = np.ascontiguousarray(self.tets, np.int32)
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise ValueError(f"expected vertices [V, 3], got {list(self.vertices.shape)}")
        if self.tets.ndim != 2 or self.tets.shape[1] != 4 or not len(self.tets):
            raise ValueError(f"expected tetrahedra [T, 4], at least one, got {list(self.tets.shape)}")
        if not np.isfinite(self.vertices).all():
            raise ValueError(
                f"expected finite vertices, got {int((~np.isfinite(self.vertices)).any(1).sum())} that are not"
            )
        if self.tets.min() < 0 or self.tets.max() >= len(self.vertices):
            raise ValueError(
                f"expected tetrahedra of indices 0..{len(self.vertices) - 1}, got {self.tets.min()}..{self.tets.max()}"
            )
        flat = int((self.volumes() <= 0).sum())
        if flat:
            raise ValueError(f"expected tetrahedra of positive volume, got {flat} of {len(self.tets)} that are not")

    def volumes(self) -> np.ndarray:
        """float64 [T] mm^3."""
        return tet_volumes(self.vertices, self.tets)

    def boundary(self) -> tuple[np.ndarray, np.ndarray]:
        """Faces int32 [F, 3] counter-clockwise from outside, and the tetrahedron int32 [F] that each belongs to."""
        return boundary_faces(self.tets)

    def quality(self) -> Quality:
        """Figures of shape; see Quality."""
        angles, volumes = min_dihedrals(self.vertices, self.tets), self.volumes()
        return Quality(
            tets=len(self.tets),
            min_dihedral_deg=float(angles.min()),
            percentile_1_dihedral_deg=float(np.percentile(angles, 1)),
            volume_mm3=float(volumes.sum()),
            smallest_volume_mm3=float(volumes.min()),
            components=int(_components(self.tets).max() + 1),
            manifold=not len(pinched_vertices(self.tets)),
        )

    def largest_component(self) -> TetMesh:
        """The piece of most volume among those that hang together by faces; vertices that nothing uses are dropped."""
        labels = _components(self.tets)
        kept = np.bincount(labels, self.volumes()).argmax()
        return _compacted(self.vertices, self.tets[labels == kept])


@dataclass(frozen=True)
class Quality:
    """How fit a tetrahedral mesh is for simulation."""

    tets: int
    min_dihedral_deg: float
    percentile_1_dihedral_deg: float  # of the tetrahedra's smallest dihedral angles
    volume_mm3: float
    smallest_volume_mm3: float
    components: int  # pieces that hang together by faces
    manifold: bool  # whether the boundary is a closed surface without touching edges or points


@dataclass(frozen=True)
class Inversion:
    """Sphere inversion about a point outside the solid: it keeps angles, so a regular lattice in inverted space is a
    well-shaped lattice whose spacing grows with the square of the distance from `centre`, and is as stated at
    `distance_mm`."""

    centre: tuple[float, float, float]  # mm
    distance_mm: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] to inverted space or back: the map is its own inverse."""
        offset = points - np.asarray(self.centre, points.dtype)
        squared = np.maximum((offset**2).sum(-1, keepdims=True), 1e-9)
        return self.centre + self.distance_mm**2 * offset / squared

    def box(self, low, high) -> tuple[np.ndarray, np.ndarray]:
        """Bounds in inverted space of a box that does not hold the centre."""
        low, high, centre = (np.asarray(value, np.float64) for value in (low, high, self.centre))
        if ((centre > low) & (centre < high)).all():
            raise ValueError(f"expected an inversion centre outside the box {low} to {high}, got {centre}")
        axes = [np.linspace(a, b, 17) for a, b in zip(low, high)]
        images = self(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
        margin = 0.02 * (images.max(0) - images.min(0))
        return images.min(0) - margin, images.max(0) + margin


def stuff(field: Field, low, high, spacing: float, grading: Inversion | None = None) -> TetMesh:
    """Tetrahedra that fill the largest connected inside of `field` within the box low..high.

    Isosurface stuffing (Labelle & Shewchuk 2007) on a lattice of `spacing` mm (cube edge; a tetrahedron has about
    spacing^3 / 12), then the boundary is fitted to the zero level. With `grading` the spacing varies. The boundary is a
    closed manifold and no dihedral angle is below MIN_DIHEDRAL; features thinner than about `spacing` are lost.
    The field must be a distance, near enough: it may change by at most 2 mm per mm.
    Raises ValueError when the solid reaches the border of the box, when nothing is found, or when the angles cannot be
    kept.
    """
    if grading is None:
        vertices, tets = stuff_lattice(field, low, high, spacing)
    else:
        bounds = grading.box(low, high)
        vertices, tets = stuff_lattice(_inverted(field, grading, low, high), *bounds, spacing)
        vertices = grading(vertices)
    volumes = tet_volumes(vertices, tets)
    tets[volumes < 0] = tets[volumes < 0][:, [1, 0, 2, 3]]
    mesh = _without_pinches(vertices, tets)
    vertices = fit_surface(mesh.vertices, mesh.tets, field, MIN_DIHEDRAL + 2, rounds=4)
    vertices = improve_worst(vertices, mesh.tets, field, MIN_DIHEDRAL + 0.5)
    worst = min_dihedrals(vertices, mesh.tets).min()
    if worst < MIN_DIHEDRAL:
        raise ValueError(
            f"expected dihedral angles of at least {MIN_DIHEDRAL} degrees, got {worst:.1f}: change the spacing"
        )
    return TetMesh(vertices, mesh.tets)


def _inverted(field: Field, grading: Inversion, low, high) -> Field:
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)

    def inverted(points):
        back = grading(points)
        distance = field(back)
        beyond = np.maximum(low - back, back - high).max(-1)  # the inverted box is not a box: what juts out is outside
        scale = grading.distance_mm**2 / ((back - np.asarray(grading.centre, back.dtype)) ** 2).sum(-1)
        return scale * np.where(beyond > 0, np.maximum(distance, beyond), distance)

    return inverted


def pinched_vertices(tets: np.ndarray) -> np.ndarray:
    """Boundary vertices at which the boundary is not a surface: several fans of faces meet in the vertex or an edge."""
    faces, _ = boundary_faces(tets)
    edges = np.sort(faces[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1).astype(np.int64)
    keys = edges[:, 0] * (tets.max() + 1) + edges[:, 1]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    crowded = np.unique(edges[counts[inverse] != 2])
    # each corner of a face is a node; neighbouring faces join their corners at the two ends of the shared edge
    corner = np.arange(len(faces) * 3).reshape(-1, 3)
    order = np.argsort(inverse, kind="stable")
    order = order[counts[inverse[order]] == 2].reshape(-1, 2)
    links = []
    for end in (0, 1):
        pair = []
        for side in (0, 1):
            face, opposite = order[:, side] // 3, order[:, side] % 3
            ends = faces[face[:, None], (opposite[:, None] + [1, 2]) % 3]
            pick = (ends == edges[order[:, 0]][:, end : end + 1]).argmax(1)
            pair.append(corner[face, (opposite + 1 + pick) % 3])
        links.append(np.stack(pair, -1))
    links = np.vstack(links)
    graph = coo_matrix((np.ones(len(links), np.int8), links.T), shape=(corner.size, corner.size))
    fan = connected_components(graph, directed=False)[1]
    fans_of = np.unique(np.stack([faces.ravel(), fan], -1), axis=0)[:, 0]
    vertex, number = np.unique(fans_of, return_counts=True)
    return np.union1d(crowded, vertex[number > 1])


def _without_pinches(vertices: np.ndarray, tets: np.ndarray) -> TetMesh:
    """The largest component without the tetrahedra at points and edges where its boundary touches itself."""
    mesh = _compacted(vertices, tets).largest_component()
    while len(pinches := pinched_vertices(mesh.tets)):
        kept = mesh.tets[~np.isin(mesh.tets, pinches).any(1)]
        if not len(kept):
            raise ValueError("expected a solid thicker than the lattice spacing, found only touching tetrahedra")
        mesh = _compacted(mesh.vertices, kept).largest_component()
    return mesh


def _components(tets: np.ndarray) -> np.ndarray:
    """Label [T] of the piece, connected by faces, that each tetrahedron belongs to."""
    faces = np.sort(tets[:, OUTWARD].reshape(-1, 3), axis=1).astype(np.int64)
    base = np.int64(tets.max() + 1)
    keys = (faces[:, 0] * base + faces[:, 1]) * base + faces[:, 2]
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    ends = order[same] // 4, order[same + 1] // 4
    graph = coo_matrix((np.ones(len(same), np.int8), ends), shape=(len(tets), len(tets)))
    return connected_components(graph, directed=False)[1]


def _compacted(vertices: np.ndarray, tets: np.ndarray) -> TetMesh:
    used, renumbered = np.unique(tets, return_inverse=True)
    return TetMesh(vertices[used], renumbered.reshape(-1, 4))

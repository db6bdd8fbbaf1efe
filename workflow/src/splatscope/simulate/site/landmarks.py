"""Named points of the anatomy that follow the tissue: fixed weights on vertices, so only positions are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from splatscope.meshes.tetrahedra import TetMesh


@dataclass(frozen=True)
class Landmark:
    """A weighted mean of vertices, and a direction: of a line between two such means, or of the faces around it.

    Vertices are numbered through all bodies in their order; cutting adds vertices behind them.
    """

    vertices: np.ndarray  # int [K]
    weights: np.ndarray  # [K], sum 1
    ahead: Landmark | None = None  # tubes: points behind and ahead on the axis
    behind: Landmark | None = None
    faces: np.ndarray | None = None  # surfaces: int [F, 3], counter-clockwise from outside

    def point(self, positions: np.ndarray) -> np.ndarray:
        """Where it is [3] for vertex positions [V, 3]."""
        return self.weights @ positions[self.vertices].astype(np.float64)

    def direction(self, positions: np.ndarray) -> np.ndarray:
        """Unit vector [3]: along the tube, or out of the surface."""
        if self.faces is None:
            vector = self.ahead.point(positions) - self.behind.point(positions)
        else:
            a, b, c = np.moveaxis(positions[self.faces].astype(np.float64), 1, 0)
            vector = np.cross(b - a, c - a).sum(0)
        return vector / max(np.linalg.norm(vector), 1e-12)


class LandmarkFinder:
    """Makes landmarks of one body."""

    def __init__(self, mesh: TetMesh, first_vertex: int):
        self._mesh, self._first = mesh, first_vertex
        self._faces = mesh.boundary()[0]
        self._rim = np.unique(self._faces)
        self._rim_tree = cKDTree(mesh.vertices[self._rim])
        self._tets = cKDTree(mesh.vertices[mesh.tets].mean(1))

    def inside(self, point: np.ndarray) -> Landmark:
        """The point itself, by its barycentric coordinates in the tetrahedron that holds it or is nearest to."""
        near = self._mesh.tets[self._tets.query(point, k=min(24, len(self._mesh.tets)))[1]]
        corners = self._mesh.vertices[near]
        edges = np.moveaxis(corners[:, 1:] - corners[:, :1], 1, 2)
        shares = np.linalg.solve(edges, (point - corners[:, 0])[..., None])[..., 0]
        weights = np.column_stack([1 - shares.sum(1), shares])
        best = weights.min(1).argmax()
        held = np.maximum(weights[best], 0)
        return Landmark(self._first + near[best], held / held.sum())

    def along(self, path: np.ndarray, millimetres: float, half_span: float = 2.0) -> Landmark:
        """The point of a path [N, 3] at an arc length, with the path's direction."""
        lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])

        def at(distance: float) -> Landmark:
            return self.inside(np.array([np.interp(distance, lengths, path[:, axis]) for axis in range(3)]))

        middle = at(millimetres)
        return Landmark(
            middle.vertices, middle.weights, ahead=at(millimetres + half_span), behind=at(millimetres - half_span)
        )

    def surface(self, point: np.ndarray) -> Landmark:
        """The surface vertex nearest to a point, with the normal of the faces around it."""
        vertex = self._rim[self._rim_tree.query(point)[1]]
        around = self._faces[(self._faces == vertex).any(1)]
        return Landmark(np.array([self._first + vertex]), np.ones(1), faces=self._first + around)

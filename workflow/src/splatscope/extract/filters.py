"""Which points of a splat are the tool: geometric filters on plain arrays. Points float [N, 3] in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Plane:
    """Points p with `normal @ p == offset`; the unit normal [3] points to the cameras' side."""

    normal: np.ndarray
    offset: float

    def height(self, points: np.ndarray) -> np.ndarray:
        """Signed distance [N] in mm, positive on the cameras' side."""
        return points @ self.normal - self.offset


def common_view_point(world_from_camera: np.ndarray) -> np.ndarray | None:
    """The point [3] nearest to all optical axes of cameras [C, 4, 4], by reweighted least squares (Cauchy weights).

    None when the axes are so parallel that no such point is defined.
    """
    origins, directions = world_from_camera[:, :3, 3], world_from_camera[:, :3, 2]
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]  # projection perpendicular to each axis
    weights = np.ones(len(origins))
    point = np.zeros(3)
    for _ in range(20):
        normal_matrix = np.einsum("c,cij->ij", weights, across) / weights.sum()
        if np.linalg.eigvalsh(normal_matrix)[0] < 1e-3:  # mean squared sine of the angle between the axes
            return None
        point = np.linalg.solve(normal_matrix, np.einsum("c,cij,cj->i", weights, across, origins) / weights.sum())
        distance = np.linalg.norm(np.einsum("cij,cj->ci", across, point - origins), axis=1)
        scale = max(1.4826 * np.median(distance), 1e-9)
        weights = 1 / (1 + (distance / scale) ** 2)
    return point


def support_plane(
    points: np.ndarray,
    centre: np.ndarray,
    camera_positions: np.ndarray,
    tolerance: float,
    min_share: float,
    rng: np.random.Generator,
    trials: int = 1000,
) -> Plane | None:
    """The plane with most of the points [N, 3] within `tolerance` mm, of those with centre and cameras on one side.

    RANSAC (seeded by `rng`), then least squares on its inliers. None when it holds less than `min_share` of the points.
    """
    if len(points) < 3:
        return None
    # one point per cell: a plane counts by its extent, however densely a tool's small Gaussians lie
    cells = np.floor(points / tolerance).astype(np.int64)
    points = points[np.unique(cells, axis=0, return_index=True)[1]]
    sample = points if len(points) <= 4000 else points[rng.choice(len(points), 4000, replace=False)]
    corners = sample[rng.integers(len(sample), size=(trials, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    corners, normals = corners[lengths > 1e-9], normals[lengths > 1e-9] / lengths[lengths > 1e-9, None]
    offsets = (normals * corners[:, 0]).sum(1)
    side = np.sign(np.median(camera_positions @ normals.T - offsets, axis=0))
    normals, offsets = normals * side[:, None], offsets * side
    below = (normals @ centre - offsets > tolerance) & (
        (camera_positions @ normals.T - offsets > tolerance).mean(0) > 0.9
    )
    if not below.any():
        return None
    normals, offsets = normals[below], offsets[below]
    inliers = np.array(
        [(np.abs(sample @ normal - offset) < tolerance).sum() for normal, offset in zip(normals, offsets)]
    )
    best = int(inliers.argmax())
    plane = Plane(normals[best], float(offsets[best]))
    for _ in range(5):
        near = points[np.abs(plane.height(points)) < tolerance]
        if len(near) < max(3, min_share * len(points)):
            return None
        mean = near.mean(0)
        normal = np.linalg.svd(near - mean, full_matrices=False)[2][2]
        normal = normal * np.sign(normal @ plane.normal)
        plane = Plane(normal, float(normal @ mean))
    return plane


def isolation(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Mean distance [N] in mm of each point to its nearest neighbours."""
    count = min(neighbours, len(points) - 1)
    if count < 1:
        return np.zeros(len(points))
    distances = cKDTree(points).query(points, k=count + 1)[0]
    return distances[:, 1:].mean(1)


def central_cluster(
    points: np.ndarray, extents: np.ndarray, centre: np.ndarray, gap: float, min_share: float
) -> np.ndarray:
    """bool [N]: the connected cluster nearest to `centre`, among those holding at least `min_share` of all points.

    Two of the 16 nearest neighbours are connected when their distance less their extents [N] (mm) is below `gap` mm.
    """
    number = len(points)
    neighbours = min(16, number - 1)
    if neighbours < 1:
        return np.ones(number, bool)
    distances, indices = cKDTree(points).query(points, k=neighbours + 1)
    first = np.repeat(np.arange(number), neighbours)
    second = indices[:, 1:].ravel()
    connected = distances[:, 1:].ravel() - extents[first] - extents[second] < gap
    graph = coo_array((np.ones(connected.sum()), (first[connected], second[connected])), shape=(number, number))
    cluster = connected_components(graph, directed=False)[1]
    from_centre = np.linalg.norm(points - centre, axis=1)
    candidates = np.flatnonzero(np.bincount(cluster) >= max(1, min_share * number))
    if not len(candidates):
        return np.zeros(number, bool)
    # the near end of a cluster, not its nearest point: one stray point must not decide
    nearness = [np.percentile(from_centre[cluster == candidate], 5) for candidate in candidates]
    return cluster == candidates[int(np.argmin(nearness))]


def long_axis(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(point on the axis [3], unit direction [3], positions [N] along it in mm) by principal components."""
    middle = np.median(points, axis=0)
    direction = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][0]
    # the sign of a singular vector is arbitrary: fix it
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    return middle, direction, (points - middle) @ direction

"""Where a tool splat sits against the true tool: the best rigid fit of its Gaussians to the true mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from splatscope.geometry import apply, make_transform, rotation_angle_deg

SURFACE_SAMPLES = 150_000
ITERATIONS = 60
CONVERGED_MM = 1e-4
HUBER_MM = 0.3  # beyond this a point pulls with constant force


@dataclass(frozen=True)
class ToolFit:
    """The rigid motion that takes the splat onto the true surface; small when the splat is where it should be."""

    mesh_from_splat: np.ndarray  # [4, 4], mm; the identity for a perfect splat
    centroid: np.ndarray  # [3] mm, opacity-weighted mean of the Gaussians used
    residual_rms_mm: float  # distance to the surface after the fit, of the Gaussians used
    initial_rms_mm: float  # before the fit
    used: int  # Gaussians in the last iteration
    offered: int
    uncertainty_mm: float  # of the worst-determined direction at the centroid, one standard deviation
    uncertainty_deg: float  # of the worst-determined axis

    @property
    def rotation_deg(self) -> float:
        return float(rotation_angle_deg(self.mesh_from_splat))

    def displacement_mm(self, point: np.ndarray) -> float:
        """How far the fit moves a point [3] of the splat."""
        return float(np.linalg.norm(apply(self.mesh_from_splat, point[None])[0] - point))


def fit_tool_to_mesh(
    means: np.ndarray,
    opacities: np.ndarray,
    mesh: trimesh.Trimesh,
    *,
    trim: float,
    max_distance_mm: float,
    seed: int = 0,
) -> ToolFit:
    """Fit Gaussian means [N, 3] (mm, weights `opacities` [N] 0..1) to the surface of `mesh` in the same frame.

    Robust point-to-plane ICP (Chen and Medioni 1992) from the identity, that is from the true placement: each mean is
    paired with the nearest of many surface samples, pairs beyond `max_distance_mm` and then all but the nearest `trim`
    of them are left out, the rest weighted by opacity and Huber's function. A tool so far off that less than half of it
    is within reach is first brought nearer with ten times the reach. Gaussians lie a little inside or outside
    the surface; on a closed shape that cancels. The shaft alone determines neither the place along it nor the angle
    about it: the wrist and jaws do, and the stated uncertainty (from the normal equations and the residual) tells how
    well.

    Raises ValueError when fewer than 50 Gaussians lie within reach of the surface.
    """
    surface, triangles = trimesh.sample.sample_surface(mesh, SURFACE_SAMPLES, seed=seed)
    normals = np.asarray(mesh.face_normals)[triangles]
    tree = cKDTree(surface)
    transform = np.eye(4)
    initial = None
    far_off = np.mean(tree.query(means)[0] <= max_distance_mm) < 0.5
    for iteration in range(ITERATIONS):
        moved = apply(transform, means)
        reach = 10 * max_distance_mm if far_off and iteration < ITERATIONS // 2 else max_distance_mm
        distance, nearest = tree.query(moved, distance_upper_bound=reach)
        reached = np.flatnonzero(np.isfinite(distance))
        if len(reached) < 50:
            raise ValueError(
                f"{len(reached)} of {len(means)} Gaussians within {max_distance_mm} mm of the true surface"
            )
        kept = reached[np.argsort(distance[reached], kind="stable")[: max(50, round(trim * len(reached)))]]
        points, target, normal = moved[kept], surface[nearest[kept]], normals[nearest[kept]]
        offset = ((target - points) * normal).sum(1)
        weight = opacities[kept] / np.maximum(1, np.abs(offset) / HUBER_MM)
        centroid = np.average(points, axis=0, weights=opacities[kept])
        jacobian = np.hstack([np.cross(points - centroid, normal), normal])  # rotation about the centroid, translation
        normal_matrix = (jacobian * weight[:, None]).T @ jacobian
        step = np.linalg.solve(normal_matrix, (jacobian * weight[:, None]).T @ offset)
        rms = float(np.sqrt(np.average(offset**2, weights=opacities[kept])))
        initial = rms if initial is None else initial
        rotation = Rotation.from_rotvec(step[:3]).as_matrix()
        transform = make_transform(rotation, centroid - rotation @ centroid + step[3:]) @ transform
        radius = np.linalg.norm(points - centroid, axis=1).max()
        if np.linalg.norm(step[3:]) + np.linalg.norm(step[:3]) * radius < CONVERGED_MM and reach == max_distance_mm:
            break
    covariance = np.linalg.inv(normal_matrix) * np.average(offset**2, weights=weight)
    return ToolFit(
        mesh_from_splat=transform,
        centroid=np.average(means[kept], axis=0, weights=opacities[kept]),
        residual_rms_mm=rms,
        initial_rms_mm=initial,
        used=len(kept),
        offered=len(means),
        uncertainty_mm=float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1])),
        uncertainty_deg=float(np.degrees(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))),
    )

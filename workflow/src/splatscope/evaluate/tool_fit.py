"""Where a tool splat sits against the true tool: the best rigid fit of its Gaussians to the true mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from splatscope.geometry import apply, make_transform, rotation_angle_deg

SURFACE_SAMPLES = 300_000
REFINEMENT_SAMPLES = 60_000  # of these, for the direct search, which asks for neighbours thousands of times
ITERATIONS = 60
CONVERGED_MM = 1e-3
TUKEY_SCALES = 4.0  # residuals beyond this many robust standard deviations have no weight
LEAST_SCALE_MM = 0.05
LEAST_GAUSSIANS = 50
LEAST_ALIGNMENT = 0.9  # cosine between a Gaussian's shortest axis and the surface normal it is paired with
ALIGNMENT_RAMP = (0.7, 0.95)  # of that cosine: none of a Gaussian's say below, all of it above
CAPPED_AT_MM = 0.3  # larger distances cost no more in the final refinement
UNPAIRED_SHARE = 0.6  # of the cap is what a Gaussian costs that does not lie along the surface


@dataclass(frozen=True)
class ToolFit:
    """The rigid motion that takes the splat onto the true surface; small when the splat is where it should be."""

    mesh_from_splat: np.ndarray  # [4, 4], mm; the identity for a perfect splat
    centroid: np.ndarray  # [3] mm, weighted mean of the Gaussians used
    depth_mm: float  # how deep below the surface the Gaussians lie on average; negative: above
    residual_mm: float  # robust standard deviation of the distance to that depth, after the fit
    used: int  # Gaussians with a weight in the last iteration
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
    max_distance_mm: float,
    shortest_axes: np.ndarray | None = None,
    seed: int = 0,
) -> ToolFit:
    """Fit Gaussian means [N, 3] (mm, weights `opacities` [N] 0..1) to the surface of `mesh` in the same frame.

    Robust point-to-plane ICP (Chen and Medioni 1992) from the identity, that is from the true placement. Each mean is
    paired with the nearest of many surface samples not farther than `max_distance_mm`, and weighted by opacity and
    Tukey's biweight. Gaussians of a surface lie below it (their extent reaches up to it), so their mean depth is a
    seventh unknown: without it, the shaft being round, the fit turns the tool by two degrees about its axis and slides
    it by 0.1 mm. The shaft says nothing of either; wrist and jaws do, and the stated uncertainty tells how well. A tool
    so far off that less than half of it is within reach is first brought nearer with ten times the reach.

    With `shortest_axes` [N, 3] (unit) only Gaussians that lie along the surface are paired, as ICP with compatible
    normals does (Rusinkiewicz and Levoy 2001): what fills gaps and edges says nothing about where the surface is. The
    turn about the shaft is so weakly determined that pairs which come and go decide where ICP ends; so the capped
    distance to the surface is then minimised directly, from the start and from ICP's end, and the lower minimum taken.

    Raises ValueError when fewer than 50 Gaussians lie within reach of the surface.
    """
    surface, triangles = trimesh.sample.sample_surface(mesh, SURFACE_SAMPLES, seed=seed)
    normals = np.asarray(mesh.face_normals)[triangles]
    tree = cKDTree(surface)
    transform, depth = np.eye(4), 0.0
    far_off = np.mean(tree.query(means)[0] <= max_distance_mm) < 0.5
    for iteration in range(ITERATIONS):
        moved = apply(transform, means)
        reach = 10 * max_distance_mm if far_off and iteration < ITERATIONS // 2 else max_distance_mm
        distance, nearest = tree.query(moved, distance_upper_bound=reach)
        compatible = np.isfinite(distance)
        if shortest_axes is not None:
            along = shortest_axes[compatible] @ transform[:3, :3].T
            compatible[compatible] = np.abs((along * normals[nearest[compatible]]).sum(1)) > LEAST_ALIGNMENT
        paired = np.flatnonzero(compatible)
        if len(paired) < LEAST_GAUSSIANS:
            raise ValueError(f"{len(paired)} of {len(means)} Gaussians within {max_distance_mm} mm of the true surface")
        points, normal = moved[paired], normals[nearest[paired]]
        below = ((surface[nearest[paired]] - points) * normal).sum(1)
        residual = below - depth
        scale = max(LEAST_SCALE_MM, 1.4826 * float(np.median(np.abs(residual - np.median(residual)))))
        weight = opacities[paired] * np.maximum(0, 1 - (residual / (TUKEY_SCALES * scale)) ** 2) ** 2
        centroid = np.average(points, axis=0, weights=opacities[paired])
        # unknowns: rotation about the centroid, translation, depth
        jacobian = np.hstack([np.cross(points - centroid, normal), normal, np.ones((len(points), 1))])
        normal_matrix = (jacobian * weight[:, None]).T @ jacobian
        step = np.linalg.solve(normal_matrix, (jacobian * weight[:, None]).T @ below)
        rotation = Rotation.from_rotvec(step[:3]).as_matrix()
        transform = make_transform(rotation, centroid - rotation @ centroid + step[3:6]) @ transform
        depth = float(step[6])
        radius = np.linalg.norm(points - centroid, axis=1).max()
        change = np.linalg.norm(step[3:6]) + np.linalg.norm(step[:3]) * radius
        if change < CONVERGED_MM and reach == max_distance_mm:
            break
    if shortest_axes is not None:
        starts = [(np.eye(4), 0.0), (transform, depth)]
        samples = surface[:REFINEMENT_SAMPLES], normals[:REFINEMENT_SAMPLES]  # drawn independently, so these are, too
        transform, depth = _refine(means, opacities, shortest_axes, *samples, starts)
    covariance = np.linalg.inv(normal_matrix) * scale**2
    used = weight > 0
    return ToolFit(
        mesh_from_splat=transform,
        centroid=np.average(means[paired[used]], axis=0, weights=weight[used]),
        depth_mm=depth,
        residual_mm=scale,
        used=int(used.sum()),
        offered=len(means),
        uncertainty_mm=float(np.sqrt(np.linalg.eigvalsh(covariance[3:6, 3:6])[-1])),
        uncertainty_deg=float(np.degrees(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))),
    )


def _refine(
    means: np.ndarray,
    opacities: np.ndarray,
    shortest_axes: np.ndarray,
    surface: np.ndarray,
    normals: np.ndarray,
    starts: list[tuple[np.ndarray, float]],
) -> tuple[np.ndarray, float]:
    """The transform and depth of least mean capped distance, searched by Powell's method from each start."""

    tree = cKDTree(surface)
    centroid = np.average(means, axis=0, weights=opacities)
    lowest, highest = ALIGNMENT_RAMP

    def motion(unknowns: np.ndarray, start: np.ndarray) -> np.ndarray:
        rotation = Rotation.from_rotvec(np.radians(unknowns[:3])).as_matrix()
        return make_transform(rotation, centroid - rotation @ centroid + unknowns[3:6]) @ start

    def cost(unknowns: np.ndarray, start: np.ndarray) -> float:
        transform = motion(unknowns, start)
        moved, axes = apply(transform, means), shortest_axes @ transform[:3, :3].T
        nearest = tree.query(moved)[1]
        alignment = np.abs((axes * normals[nearest]).sum(1))
        paired = opacities * np.clip((alignment - lowest) / (highest - lowest), 0, 1)
        distance = np.abs(((surface[nearest] - moved) * normals[nearest]).sum(1) - unknowns[6])
        capped = np.minimum(distance, CAPPED_AT_MM)
        return float((paired * capped + (opacities - paired) * UNPAIRED_SHARE * CAPPED_AT_MM).sum() / opacities.sum())

    options = {"xtol": 1e-2, "ftol": 1e-6, "maxiter": 8}
    found = []
    for start, depth in starts:
        best = minimize(cost, np.append(np.zeros(6), depth), args=(start,), method="Powell", options=options)
        found.append((best.fun, motion(best.x, start), float(best.x[6])))
    _, transform, depth = min(found, key=lambda candidate: candidate[0])
    return transform, depth

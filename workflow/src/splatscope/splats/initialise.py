"""The Gaussians that training starts from: a point cloud's, or random ones where the cameras look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from splatscope import geometry
from splatscope.geometry import Camera
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.spherical_harmonics import BAND_0

NEIGHBOURS = 3  # a Gaussian is as large as the mean distance to so many others,
SIZE = 0.7  # times this; it gained 0.4 dB on photographs against 1 and cost nothing on the phantom


@dataclass(frozen=True)
class TrainingView:
    """One photograph to learn from."""

    image: np.ndarray  # uint8 or float32 (0..1) [H, W, 3] sRGB
    mask: np.ndarray | None  # bool [H, W]; False carries no loss. None: all of it counts
    world_from_camera: np.ndarray  # [4, 4]
    camera: Camera  # without distortion, of the image's size


@dataclass(frozen=True)
class PointCloud:
    positions: np.ndarray  # float [N, 3] in world units
    colors: np.ndarray  # float [N, 3] in 0..1


def look_distance(views: Sequence[TrainingView], points: PointCloud | None) -> float:
    """The scene's extent: how far before the cameras its content lies (median). All length scales derive from it."""
    if points is not None and len(points.positions):
        depths = []
        for view in views:
            in_camera = geometry.apply(geometry.invert(view.world_from_camera), points.positions)
            seen = _inside(view.camera, in_camera)
            if seen.any():
                depths.append(np.median(in_camera[seen, 2]))
        if depths:
            return float(np.median(depths))
    poses = np.stack([view.world_from_camera for view in views])
    centres = poses[:, :3, 3]
    focus = _nearest_to_axes(centres, poses[:, :3, 2])
    distances = ((focus - centres) * poses[:, :3, 2]).sum(1)
    spread = float(np.linalg.norm(centres - centres.mean(0), axis=1).max())
    # axes that hardly converge say nothing about distance: then the cameras' own spread has to do
    return max(float(np.median(distances)), spread, 1e-6)


def initial_gaussians(
    views: Sequence[TrainingView],
    points: PointCloud | None,
    extent: float,
    count: int,
    sh_degree: int,
    opacity: float,
    rng: np.random.Generator,
) -> Gaussians:
    """At most `count` Gaussians of one `opacity` at the points, or exactly `count` at random where many cameras look.

    Points that fewer than two views look at are left out: nothing would teach them, and they would stay as fog.
    """
    if points is not None:
        seen = _watchers(views, points.positions) >= 2
        points = PointCloud(points.positions[seen], points.colors[seen])
    if points is None or len(points.positions) < 10:
        points = _random_points(views, extent, count, rng)
    elif len(points.positions) > count:
        kept = np.sort(rng.choice(len(points.positions), count, replace=False))
        points = PointCloud(points.positions[kept], points.colors[kept])
    positions = points.positions
    neighbours = min(NEIGHBOURS, len(positions) - 1)
    distances, _ = cKDTree(positions).query(positions, k=neighbours + 1)
    sizes = np.clip(SIZE * distances[:, 1:].mean(1), 1e-4 * extent, 0.1 * extent)
    sh = np.zeros((len(positions), (sh_degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = (points.colors - 0.5) / BAND_0
    return Gaussians(
        means=torch.from_numpy(positions.astype(np.float32)),
        quaternions=torch.tensor([1.0, 0, 0, 0]).repeat(len(positions), 1),
        log_scales=torch.from_numpy(np.log(sizes).astype(np.float32))[:, None].repeat(1, 3),
        opacity_logits=torch.full((len(positions),), float(np.log(opacity / (1 - opacity)))),
        sh=torch.from_numpy(sh),
    )


def _random_points(views, extent: float, count: int, rng: np.random.Generator) -> PointCloud:
    """Random pixels at random depths; those that most views see are kept, with their pixel's colour."""
    candidates = 8 * count
    chosen = rng.integers(len(views), size=candidates)
    fraction = rng.uniform(size=(candidates, 2))
    depth = extent * rng.uniform(0.4, 1.8, size=candidates)
    positions, colors = np.empty((candidates, 3)), np.empty((candidates, 3))
    for index, view in enumerate(views):
        mine = chosen == index
        camera = view.camera
        pixels = fraction[mine] * [camera.width, camera.height]
        rays = np.concatenate(
            [(pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy], np.ones((len(pixels), 1))], 1
        )
        positions[mine] = geometry.apply(view.world_from_camera, rays * depth[mine, None])
        sampled = view.image[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
        colors[mine] = sampled / 255 if view.image.dtype == np.uint8 else sampled
    kept = np.sort(np.argsort(-_watchers(views, positions), kind="stable")[: 2 * count])
    kept = np.sort(rng.choice(kept, count, replace=False))
    return PointCloud(positions[kept], colors[kept])


def _watchers(views: Sequence[TrainingView], positions: np.ndarray) -> np.ndarray:
    """int [N]: how many views look at each point [N, 3]."""
    watchers = np.zeros(len(positions), int)
    for view in views:
        watchers += _inside(view.camera, geometry.apply(geometry.invert(view.world_from_camera), positions))
    return watchers


def _inside(camera: Camera, in_camera: np.ndarray) -> np.ndarray:
    """bool [N]: which points [N, 3] in camera axes project into the image."""
    inside = in_camera[:, 2] > 0
    pixels = camera.project(in_camera[inside])
    inside[inside] = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(1)
    return inside


def _nearest_to_axes(centres: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """The point [3] nearest to lines through `centres` [N, 3] along unit `axes` [N, 3], least squares."""
    projectors = np.eye(3) - axes[:, :, None] * axes[:, None]
    # a little pull to the cameras' middle keeps parallel axes solvable
    pull = 1e-6 * len(centres) * np.eye(3)
    return np.linalg.solve(
        projectors.sum(0) + pull, (projectors @ centres[..., None]).sum(0)[:, 0] + pull @ centres.mean(0)
    )

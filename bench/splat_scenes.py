"""What the splat benchmarks draw: a made-up piece of tissue of any size, and the views of real runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from splatscope.files import read_json
from splatscope.geometry import Camera, invert, look_at
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import PointCloud, TrainingView
from splatscope.splats.rasterizer import render
from splatscope.splats.stage import read_points, read_views

SCENE_DEPTH_MM = 80.0
FOCAL_PER_WIDTH = 0.9


def tissue(count: int, width: int, height: int, seed: int = 0) -> Gaussians:
    """A wavy surface that fills the view, three quarters of the Gaussians on it and one quarter floating about it."""
    rng = np.random.default_rng(seed)
    half = SCENE_DEPTH_MM / (2 * FOCAL_PER_WIDTH) * np.array([1, height / width]) * 1.15
    xy = rng.uniform(-1, 1, (count, 2)) * half
    phase = xy / 10
    depth = SCENE_DEPTH_MM + 7 * np.sin(1.05 * phase[:, 0]) * np.cos(0.85 * phase[:, 1])
    floating = rng.uniform(size=count) < 0.25
    depth[floating] = SCENE_DEPTH_MM + rng.uniform(-16, 16, floating.sum())
    spacing = math.sqrt(4 * half[0] * half[1] / count)
    scales = 0.8 * spacing * np.exp(rng.normal(size=(count, 3)) * 0.45) * [1, 1, 0.25]
    quaternions = rng.normal(size=(count, 4)) * 0.35 + [1, 0, 0, 0]
    sh = rng.normal(size=(count, 16, 3)) * 0.12
    sh[:, 0] += np.stack(
        [0.9 + 0.5 * np.sin(1.5 * phase[:, 0]), 0.1 + 0.6 * np.sin(2.5 * phase[:, 1]), 0.4 * np.cos(2 * phase[:, 0])], 1
    )
    values = np.column_stack([xy, depth]), quaternions, np.log(scales), rng.normal(size=count) * 1.6 - 0.2, sh
    return Gaussians(*(torch.from_numpy(value.astype(np.float32)) for value in values))


def tissue_camera(width: int, height: int) -> Camera:
    focal = FOCAL_PER_WIDTH * width
    return Camera(width, height, focal, focal, width / 2, height / 2)


def tissue_views(width: int, height: int, count: int) -> list[TrainingView]:
    """Views that circle above `tissue` of 50,000 Gaussians."""
    gaussians, camera = tissue(50_000, width, height), tissue_camera(width, height)
    views = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        eye = np.array([12 * np.cos(angle), 9 * np.sin(angle), 4 * np.sin(2 * angle)])
        pose = look_at(eye, np.array([0, 0, SCENE_DEPTH_MM]), np.array([0, -1.0, 0]))
        image = render(gaussians, *as_tensors(pose, camera), width, height).color[0].clamp(0, 1)
        views.append(TrainingView((image.numpy() * 255).round().astype(np.uint8), None, pose, camera))
    return views


def as_tensors(world_from_camera: np.ndarray, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """camera_from_world [1, 4, 4] and intrinsics [1, 3, 3]."""
    return torch.from_numpy(invert(world_from_camera)).float()[None], torch.from_numpy(camera.matrix).float()[None]


def views_of_run(results: Path, group: str, max_width: int) -> tuple[list[TrainingView], PointCloud | None]:
    """Views and points that the splat stage of a finished run trained on, at most `max_width` wide."""
    heldout = read_json(results / "splat" / group / "splat.json")["heldout_views"]
    views = []
    for name in sorted({view.split("/")[0] for view in heldout}):
        files = (
            results / "ingest" / name / "frames.tar",
            results / "poses" / f"{name}.parquet",
            results / "poses" / f"{name}.camera.json",
            results / "ingest" / name / "valid.png",
        )
        views += [view for _, view in read_views(*files, max_width)]
    return views, read_points(results / "poses" / f"{group}.points.ply")


def centred(view: TrainingView) -> TrainingView:
    """The largest even-sized crop around the principal point (to which the image is shifted below one pixel) that holds
    no masked pixel. OpenSplat knows no masks, and takes the principal point to be in the middle.
    """
    camera = view.camera
    half = np.array([min(camera.cx, camera.width - camera.cx), min(camera.cy, camera.height - camera.cy)])
    mask = np.ones(view.image.shape[:2], bool) if view.mask is None else view.mask
    for share in np.linspace(1, 0.3, 71):
        width, height = (2 * (share * half).astype(int)).tolist()
        shift = np.array([[1, 0, width / 2 - camera.cx], [0, 1, height / 2 - camera.cy]])
        inside = cv2.warpAffine(mask.astype(np.uint8), shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        if inside.all():
            break
    image = cv2.warpAffine(view.image, shift, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    crop = replace(camera, width=width, height=height, cx=width / 2, cy=height / 2)
    return TrainingView(image, None, view.world_from_camera, crop)


def sampled_points(views: list[TrainingView], count: int) -> PointCloud:
    """Points of `tissue`'s surface, coloured."""
    gaussians = tissue(50_000, views[0].camera.width, views[0].camera.height)
    chosen = np.random.default_rng(0).choice(len(gaussians), count, replace=False)
    colours = (gaussians.sh[chosen, 0].numpy() * 0.28209479 + 0.5).clip(0, 1)
    return PointCloud(gaussians.means[chosen].double().numpy(), colours.astype(np.float64))

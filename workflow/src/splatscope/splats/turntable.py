"""A short film around a model, by which one sees at once whether it is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from splatscope.geometry import invert, look_at
from splatscope.images import to_uint8
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import TrainingView
from splatscope.splats.rasterizer import render
from splatscope.video import open_video

FRAMES, FRAMES_PER_SECOND, CRF = 96, 24, 23


def turntable_poses(world_from_camera: np.ndarray, distance: float, frames: int = FRAMES) -> np.ndarray:
    """Once around where the cameras [C, 4, 4] stood: world_from_camera [frames, 4, 4].

    The path is the ellipse of the positions' two largest spreads; all look at one point, `distance` before the middle.
    """
    positions = world_from_camera[:, :3, 3]
    middle = positions.mean(0)
    forward, down = world_from_camera[:, :3, 2].mean(0), world_from_camera[:, :3, 1].mean(0)
    focus = middle + distance * forward / np.linalg.norm(forward)
    _, spreads, axes = np.linalg.svd((positions - middle) / np.sqrt(len(positions)), full_matrices=False)
    angles = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    # a point that runs around an ellipse has a root mean square of 1 / sqrt(2) of each half-axis
    around = np.sqrt(2) * (
        np.outer(np.cos(angles), spreads[0] * axes[0]) + np.outer(np.sin(angles), spreads[1] * axes[1])
    )
    return np.stack([look_at(middle + offset, focus, -down) for offset in around])


def write_turntable(
    path: str | Path, gaussians: Gaussians, views: Sequence[TrainingView], distance: float, threads: int | None = None
) -> None:
    """H.264 film of the model, in the first view's size; equal input gives equal bytes."""
    camera = views[0].camera
    camera = replace(camera, width=camera.width // 2 * 2, height=camera.height // 2 * 2)  # the format wants even sizes
    intrinsics = torch.from_numpy(camera.matrix).to(gaussians.means)[None]
    poses = turntable_poses(np.stack([view.world_from_camera for view in views]), distance)
    with open_video(path, camera.width, camera.height, FRAMES_PER_SECOND, CRF) as append, torch.no_grad():
        for pose in poses:
            camera_from_world = torch.from_numpy(invert(pose)).to(gaussians.means)[None]
            size = (camera.width, camera.height)
            drawn = render(gaussians, camera_from_world, intrinsics, *size, threads=threads)
            append(to_uint8(drawn.color[0].cpu().numpy()))

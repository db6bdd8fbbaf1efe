"""Site and tools in one image: colour, depth and the weight of every tool at every pixel, from one blending pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from splatscope.errors import InputError
from splatscope.geometry import Camera, invert
from splatscope.splats.gaussians import Gaussians, concatenate, read_ply
from splatscope.splats.rasterizer import Render, render


def read_splat(path: str | Path) -> Gaussians:
    """A splat that holds something to draw. Raises InputError when it has no Gaussians, or is no splat."""
    gaussians = read_ply(path)
    if not len(gaussians):
        raise InputError(path, found="no Gaussians", expected="a splat", remedy="run the stage that makes it again")
    return gaussians


@dataclass(frozen=True)
class Composite:
    """One image of a scene with T tools; float32 arrays."""

    color: np.ndarray  # [H, W, 3] 0.. (not clipped)
    alpha: np.ndarray  # [H, W] accumulated opacity
    depth: np.ndarray  # [H, W] mm, expected depth; 0 where alpha is 0
    weights: np.ndarray  # [H, W, T] share of each tool in the blending; their sum is at most alpha


def composite(site: Gaussians, tools: Sequence[Gaussians], camera: Camera, world_from_camera: np.ndarray) -> Composite:
    """Blend the site and T tools (all in world mm) before a black background.

    Which tool a Gaussian belongs to travels as a one-hot feature through the same alpha blending as the colour, so
    labels and colour agree about who hides whom.
    """
    scene = concatenate([site, *tools]) if tools else site
    features = None
    if tools:
        features = torch.zeros(len(scene), len(tools), device=scene.device)
        start = len(site)
        for column, tool in enumerate(tools):
            features[start : start + len(tool), column] = 1
            start += len(tool)
    image = _render(scene, camera, world_from_camera, features=features)
    weights = image.features[0] if tools else torch.zeros(camera.height, camera.width, 0)
    return Composite(*(value.cpu().numpy() for value in (image.color[0], image.alpha[0], image.depth[0], weights)))


def silhouette(tool: Gaussians, camera: Camera, world_from_camera: np.ndarray) -> np.ndarray:
    """Accumulated opacity float32 [H, W] of a tool alone: where it would be seen if nothing hid it."""
    return _render(tool, camera, world_from_camera, sh_degree=0).alpha[0].cpu().numpy()


def colour_alone(tool: Gaussians, camera: Camera, world_from_camera: np.ndarray) -> np.ndarray:
    """Colour float32 [H, W, 3] of a tool alone before black."""
    return _render(tool, camera, world_from_camera).color[0].cpu().numpy()


def instance_map(weights: np.ndarray, threshold: float) -> np.ndarray:
    """uint8 [H, W]: the number (1..T) of the tool with the greatest weight where that exceeds `threshold`, else 0."""
    winner = np.zeros(weights.shape[:2], np.uint8)
    strongest = np.full(weights.shape[:2], threshold, np.float32)
    for column in range(weights.shape[-1]):
        stronger = weights[..., column] > strongest
        winner[stronger] = column + 1
        strongest = np.maximum(strongest, weights[..., column])
    return winner


@torch.no_grad()
def _render(gaussians: Gaussians, camera: Camera, world_from_camera: np.ndarray, **options) -> Render:
    return render(
        gaussians,
        torch.tensor(invert(world_from_camera)[None], dtype=torch.float32, device=gaussians.device),
        torch.tensor(camera.matrix[None], dtype=torch.float32, device=gaussians.device),
        camera.width,
        camera.height,
        **options,
    )

"""Site and tools in one image: colour, depth and the weight of every tool at every pixel, from one blending pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from splatscope.geometry import Camera, invert
from splatscope.splats.gaussians import Gaussians, concatenate
from splatscope.splats.rasterizer import Render, render


@dataclass(frozen=True)
class Composite:
    """One image of a scene with T tools; float32 arrays."""

    color: np.ndarray  # [H, W, 3] 0.. (not clipped)
    alpha: np.ndarray  # [H, W] accumulated opacity
    depth: np.ndarray  # [H, W] mm, expected depth; 0 where alpha is 0
    weights: np.ndarray  # [H, W, T] share of each tool in the blending; their sum is at most alpha


def composite(
    site: Gaussians, tools: Sequence[Gaussians], camera: Camera, world_from_camera: np.ndarray, backend: str = "auto"
) -> Composite:
    """Blend the site and T tools (all in world mm) before a black background.

    Which tool a Gaussian belongs to travels as a one-hot feature through the same alpha blending as the colour, so
    labels and colour agree about who hides whom.
    """
    scene = concatenate([site, *tools]) if tools else site
    features = None
    if tools:
        features = torch.zeros(len(scene), len(tools))
        start = len(site)
        for column, tool in enumerate(tools):
            features[start : start + len(tool), column] = 1
            start += len(tool)
    image = _render(scene, camera, world_from_camera, backend, features=features)
    weights = image.features[0] if tools else torch.zeros(camera.height, camera.width, 0)
    return Composite(image.color[0].numpy(), image.alpha[0].numpy(), image.depth[0].numpy(), weights.numpy())


def silhouette(tool: Gaussians, camera: Camera, world_from_camera: np.ndarray, backend: str = "auto") -> np.ndarray:
    """Accumulated opacity float32 [H, W] of a tool alone: where it would be seen if nothing hid it."""
    return _render(tool, camera, world_from_camera, backend, sh_degree=0).alpha[0].numpy()


def colour_alone(tool: Gaussians, camera: Camera, world_from_camera: np.ndarray, backend: str = "auto") -> np.ndarray:
    """Colour float32 [H, W, 3] of a tool alone before black."""
    return _render(tool, camera, world_from_camera, backend).color[0].numpy()


def instance_map(weights: np.ndarray, threshold: float) -> np.ndarray:
    """uint8 [H, W]: the number (1..T) of the tool with the greatest weight where that exceeds `threshold`, else 0."""
    if weights.shape[-1] == 0:
        return np.zeros(weights.shape[:2], np.uint8)
    winner = weights.argmax(-1)
    strongest = np.take_along_axis(weights, winner[..., None], -1)[..., 0]
    return np.where(strongest > threshold, winner + 1, 0).astype(np.uint8)


@torch.no_grad()
def _render(gaussians: Gaussians, camera: Camera, world_from_camera: np.ndarray, backend: str, **options) -> Render:
    return render(
        gaussians,
        torch.tensor(invert(world_from_camera), dtype=torch.float32)[None],
        torch.tensor(camera.matrix, dtype=torch.float32)[None],
        camera.width,
        camera.height,
        backend=backend,
        **options,
    )

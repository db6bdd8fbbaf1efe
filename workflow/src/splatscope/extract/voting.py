"""Multi-view voting: which Gaussians make up the pixels inside known masks of the tool."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from splatscope.errors import InputError
from splatscope.geometry import Camera, invert
from splatscope.images import decode_image, undistort
from splatscope.shards import read_shard
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.rasterizer import render


def read_masks(path: str | Path, tool: str) -> dict[str, np.ndarray]:
    """Masks bool [H, W] by frame key, from a folder of `<key>.png` (tool non-zero) or a frame shard's instance maps."""
    path = Path(path)
    key = f"extract.masks[{tool!r}]"
    if path.is_dir():
        masks = {file.stem: decode_image(file.read_bytes(), str(file)) for file in sorted(path.glob("*.png"))}
        masks = {name: (mask if mask.ndim == 2 else mask.max(-1)) > 0 for name, mask in masks.items()}
    elif path.is_file():
        masks = {
            frame.key: frame.instance_map > 0
            for frame in read_shard(path, maps=("instance_map",))
            if frame.instance_map is not None
        }
    else:
        masks = {}
    if not masks:
        raise InputError(
            path,
            found="no masks" if path.exists() else "nothing there",
            expected="a folder of <frame key>.png, or a frame shard with instance maps",
            remedy=f"correct or remove {key} in the config",
        )
    return masks


def vote(
    gaussians: Gaussians,
    camera: Camera,
    views: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """How much each Gaussian contributes to the masks, and to the images as a whole: two float64 [N], in pixels.

    `views` are pairs of camera_from_world [4, 4] and mask bool [H, W] at the size of `camera`. What a Gaussian
    contributes to a pixel is its weight in the alpha blending, so hidden ones have no say. It is read off as the
    gradient of the blended image with respect to a feature that every Gaussian carries.
    """
    inside = np.zeros(len(gaussians))
    total = np.zeros(len(gaussians))
    intrinsics = torch.tensor(camera.matrix[None], dtype=torch.float32, device=gaussians.device)
    for camera_from_world, mask in views:
        features = torch.zeros(len(gaussians), 2, requires_grad=True, device=gaussians.device)
        image = render(
            gaussians,
            torch.tensor(camera_from_world[None], dtype=torch.float32, device=gaussians.device),
            intrinsics,
            camera.width,
            camera.height,
            features=features,
            sh_degree=0,
        ).features[0]
        (
            image[..., 0] * torch.tensor(mask, dtype=torch.float32, device=gaussians.device) + image[..., 1]
        ).sum().backward()
        inside += features.grad[:, 0].double().cpu().numpy()
        total += features.grad[:, 1].double().cpu().numpy()
    return inside, total


def voting_views(
    masks: dict[str, np.ndarray],
    keys: list[str],
    world_from_camera: np.ndarray,
    lens: Camera,
    width: int,
    limit: int,
    source: str | Path,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """At most `limit` pairs of camera_from_world and mask, undistorted and `width` wide, of frames that have both.

    `lens` has the distortion of the frames that the masks were drawn on.
    """
    usable = [index for index, key in enumerate(keys) if key in masks]
    if not usable:
        raise InputError(
            source,
            found=f"masks of frames {', '.join(sorted(masks)[:5])} ...",
            expected=f"masks of frames with a pose, such as {', '.join(keys[:5])}",
            remedy="name each mask by its frame's six-digit key",
        )
    chosen = [
        usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, min(limit, len(usable))).round().astype(int))
    ]
    views = []
    for index in chosen:
        mask = masks[keys[index]].astype(np.uint8)
        mask = undistort(mask, lens.scaled(mask.shape[1], mask.shape[0]), nearest=True)
        size = width, round(lens.height * width / lens.width)
        resized = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        views.append((invert(world_from_camera[index]), resized > 0))
    return views

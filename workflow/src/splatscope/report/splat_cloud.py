"""Gaussian models for the page's viewer: the most visible Gaussians, each in 17 bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from splatscope.config.report import ReportConfig
from splatscope.geometry import poses_from_columns
from splatscope.report.browser import typed
from splatscope.report.inputs import ReportInputs
from splatscope.splats.gaussians import Gaussians, read_ply
from splatscope.splats.spherical_harmonics import BAND_0

INNER = 0.99  # share of the Gaussians about the middle that must fit into the first view


def splat_clouds(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """Of each trained model and each extracted tool `name`, `shown` and `total` Gaussians, and `json` for the viewer.

    A model is first seen from where its recordings were filmed, a tool from its broad side. Raises InputError when a
    .ply cannot be read.
    """
    if not config.splat_gaussians:
        return []
    background = [row["name"] for row in inputs.recordings if row["role"] == "background"]
    sources = [
        (name, folder / "model.ply", _poses(inputs, background if name == "site" else [name]))
        for name, folder in inputs.splats.items()
    ]
    sources += [(f"{name}, extracted", folder / "tool.ply", None) for name, folder in inputs.extracts.items()]
    clouds = []
    for name, path, world_from_camera in sources:
        if path.is_file():
            gaussians = read_ply(path)
            kept = most_visible(gaussians, config.splat_gaussians)
            if len(kept):
                view = first_view(kept.means.double().numpy(), world_from_camera)
                document = {"name": name, "count": len(kept), **quantise(kept), **view}
                text = json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
                clouds.append({"name": name, "shown": len(kept), "total": len(gaussians), "json": text})
    return clouds


def most_visible(gaussians: Gaussians, count: int) -> Gaussians:
    """The `count` Gaussians with the most opacity times area of their two longer axes, in their old order."""
    longest = gaussians.log_scales.double().sort(dim=1).values[:, 1:].sum(1)
    importance = torch.nn.functional.logsigmoid(gaussians.opacity_logits.double()) + longest
    order = torch.argsort(importance, descending=True, stable=True)[:count]
    return gaussians.select(order.sort().values)


def quantise(gaussians: Gaussians) -> dict:
    """Means in 16 bits between bounds, logarithms of scales, rotations, colours and opacities in 8 bits each.

    Colours are those of the harmonics' constant term: what changes with the view, and the light at the camera, is left
    out.
    """
    means, low, high = _levels(gaussians.means.double().numpy(), np.uint16)
    log_scales = gaussians.log_scales.double().numpy()
    scales, scale_low, scale_high = _levels(log_scales.reshape(-1, 1), np.uint8)
    quaternions = gaussians.quaternions.double().numpy()
    quaternions = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    colours = gaussians.sh[:, 0].double().numpy() * BAND_0 + 0.5
    opacity = torch.sigmoid(gaussians.opacity_logits.double()).numpy()[:, None]
    rgba = np.rint(255 * np.concatenate([colours, opacity], 1).clip(0, 1)).astype(np.uint8)
    return {
        "means": typed(means),
        "means_low": low.tolist(),
        "means_high": high.tolist(),
        "log_scales": typed(scales.reshape(-1, 3)),
        "log_scales_low": float(scale_low[0]),
        "log_scales_high": float(scale_high[0]),
        "quaternions": typed(np.rint(127 * quaternions).astype(np.int8)),
        "rgba": typed(rgba),
    }


def first_view(means: np.ndarray, world_from_camera: np.ndarray | None) -> dict:
    """`eye`, `target` and `up` [3] of the viewer's first camera, and `radius`, all in the model's unit.

    With cameras [C, 4, 4] it stands in their middle and looks at what they looked at; without, it looks at the broad
    side of means [N, 3].
    """
    centre = np.median(means, axis=0)
    radius = float(np.quantile(np.linalg.norm(means - centre, axis=1), INNER)) or 1.0
    if world_from_camera is not None:
        eye = np.median(world_from_camera[:, :3, 3], axis=0)
        forward = _unit(world_from_camera[:, :3, 2].mean(0))
        distance = max(float((centre - eye) @ forward), 1e-3 * radius)
        target, up = eye + distance * forward, -_unit(world_from_camera[:, :3, 1].mean(0))
    else:
        axes = np.linalg.svd((means - centre)[:: max(1, len(means) // 20_000)], full_matrices=False)[2]
        axes *= np.sign(axes[np.arange(3), np.abs(axes).argmax(1)])[:, None]  # SVD leaves the sign open
        target, up = centre, axes[1]
        eye = centre + 1.7 * radius * axes[2]
    values = {"eye": eye, "target": target, "up": up}
    return {name: np.round(value, 4).tolist() for name, value in values.items()} | {"radius": round(radius, 4)}


def _poses(inputs: ReportInputs, recordings: Sequence[str]) -> np.ndarray | None:
    """Valid camera poses [C, 4, 4] of these recordings; None when there are none."""
    paths = [Path(inputs.poses) / f"{name}.parquet" for name in recordings] if inputs.poses is not None else []
    tables = [pd.read_parquet(path) for path in paths if path.is_file()]
    found = [
        poses_from_columns(table, "world_from_camera") for table in tables if "world_from_camera_qw" in table.columns
    ]
    poses = np.concatenate(found) if found else np.empty((0, 4, 4))
    poses = poses[np.isfinite(poses).all((1, 2))]
    return poses if len(poses) else None


def _levels(values: np.ndarray, kind: type) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of `values` as whole levels of the integer type between each column's least and greatest value."""
    low, high = values.min(0), values.max(0)
    span = np.where(high > low, high - low, 1)
    return np.rint((values - low) / span * np.iinfo(kind).max).astype(kind), low, high


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)

"""Models of recorded tools for BOP: the points that `extract` kept of a tool's splat, in its sensor's axes, mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from splatscope.exports.source import Dataset
from splatscope.exports.written import write_json

SH_CONSTANT = 0.28209479177387814  # of the first spherical harmonic
TOOL_SPLAT = "extract/{tool}/tool.ply"  # in the results that the dataset lies in


def write_models(dataset: Dataset, folder: Path, objects: dict[tuple[int, str], int]) -> list[int]:
    """Write obj_000001.ply and so on, and models_info.json, of recorded tools whose splat is at hand; their numbers."""
    from splatscope.splats.gaussians import read_ply  # torch, which no other export needs

    information = {}
    for (_, tool), number in objects.items():
        source = dataset.results / TOOL_SPLAT.format(tool=tool)
        if not tool or "/" in tool or not source.is_file():
            continue
        gaussians = read_ply(source)
        points = gaussians.means.numpy().astype(np.float64)
        colours = np.clip(gaussians.sh[:, 0].numpy() * SH_CONSTANT + 0.5, 0, 1)
        folder.mkdir(exist_ok=True)
        _write_cloud(folder / f"obj_{number:06d}.ply", points, (255 * colours).round().astype(np.uint8))
        information[str(number)] = model_info(points)
    if information:
        write_json(folder / "models_info.json", information, indent=2)
    return [int(number) for number in information]


def model_info(points: np.ndarray) -> dict:
    """Bounding box and diameter (largest distance between two points) of points [N, 3]."""
    low, high = points.min(0), points.max(0)
    corners = points[ConvexHull(points).vertices]
    info = {"diameter": float(pdist(corners).max())}
    for axis, name in enumerate("xyz"):
        info |= {f"min_{name}": float(low[axis]), f"size_{name}": float(high[axis] - low[axis])}
    return info


def _write_cloud(path: Path, points: np.ndarray, colours: np.ndarray) -> None:
    columns = [(name, "f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(points), columns)
    for axis, name in enumerate("xyz"):
        vertices[name] = points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colours[:, channel]
    PlyData([PlyElement.describe(vertices, "vertex")], text=True).write(str(path))

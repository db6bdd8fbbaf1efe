"""Where a recording's scene lies: what a field's coordinates are derived from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from splatscope.geometry import apply, invert
from splatscope.splats.initialise import PointCloud, TrainingView, look_distance

NEAREST_SHARE = 0.05  # of the points in a view may lie nearer than what counts as the nearest
WITHOUT_POINTS = 1.5  # extents from the centre to the box's sides where no point says where the scene is


@dataclass(frozen=True)
class Scene:
    """World mm."""

    centre: tuple[float, float, float]
    extent: float  # how far before the cameras the scene lies
    nearest: float  # how far before the nearest camera the nearest points lie
    lowest: tuple[float, float, float]  # corner of the cube that holds the scene
    side: float  # of that cube

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict) -> Scene:
        return cls(**{**content, "centre": tuple(content["centre"]), "lowest": tuple(content["lowest"])})


def find_scene(views: Sequence[TrainingView], points: PointCloud | None, quantile: float, margin: float) -> Scene:
    """The scene of training views and the coloured points that splats start from.

    The cube holds the points between `quantile` and its opposite along each axis and `margin` of the longest side on
    all sides. Without points the scene is taken to lie round where the cameras look, one extent before them.
    """
    extent = look_distance(views, points)
    if points is None or not len(points.positions):
        poses = np.stack([view.world_from_camera for view in views])
        centre = (poses[:, :3, 3] + extent * poses[:, :3, 2]).mean(0)
        half, nearest = WITHOUT_POINTS * extent, 0.2 * extent
        middle = centre
    else:
        low, high = np.quantile(points.positions, [quantile, 1 - quantile], axis=0)
        middle, half = (low + high) / 2, (high - low).max() * (0.5 + margin)
        centre = np.median(points.positions, axis=0)
        nearest = min(_nearest(view, points.positions, extent) for view in views)
    as_floats = tuple(float(value) for value in centre), tuple(float(value) for value in middle - half)
    return Scene(as_floats[0], float(extent), float(nearest), as_floats[1], float(2 * half))


def _nearest(view: TrainingView, positions: np.ndarray, otherwise: float) -> float:
    in_camera = apply(invert(view.world_from_camera), positions)
    before = in_camera[in_camera[:, 2] > 0]
    pixels = view.camera.project(before)
    inside = ((pixels >= 0) & (pixels < [view.camera.width, view.camera.height])).all(1)
    return float(np.quantile(before[inside, 2], NEAREST_SHARE)) if inside.any() else otherwise

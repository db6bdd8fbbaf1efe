"""Floaters: Gaussians in the free space before the cameras, where there is nothing to model.

They imitate what a camera's own light and lens do to its picture, cost the training views nothing, and hang as a veil
before everything that is later composed into the scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from splatscope import geometry
from splatscope.splats.initialise import PointCloud, TrainingView

NEAREST_SHARE = 0.05  # of the points in a view may lie nearer than its free space is deep
MARGIN = 0.3  # of the image's size: Gaussians this far outside it still reach into it


class FreeSpace:
    """The space before each training view that holds none of the scene's points."""

    def __init__(self, views: Sequence[TrainingView], points: PointCloud | None, share: float):
        """`share` (0..1) of the distance to the nearest points counts as free; without points nothing does."""
        projections, limits = [], []
        for view in views:
            camera_from_world = geometry.invert(view.world_from_camera)
            if points is None or not len(points.positions):
                limits.append(0.0)
            else:
                inside, depth = _seen(_projection(view, camera_from_world), points.positions, view, 0.0)
                limits.append(share * np.quantile(depth[inside], NEAREST_SHARE) if inside.any() else 0.0)
            projections.append(_projection(view, camera_from_world))
        self.views, self.projections, self.limits = views, projections, limits

    def floating(self, means: torch.Tensor) -> torch.Tensor:
        """bool [N] on their device: which means [N, 3] lie in the free space of a view, or where no view looks."""
        positions = means.detach().cpu().numpy().astype(np.float64)
        near, seen = np.zeros(len(positions), bool), np.zeros(len(positions), bool)
        for view, projection, limit in zip(self.views, self.projections, self.limits):
            inside, depth = _seen(projection, positions, view, MARGIN)
            near |= inside & (depth < limit)
            seen |= inside
        return torch.from_numpy(near | ~seen).to(means.device)


def _projection(view: TrainingView, camera_from_world: np.ndarray) -> np.ndarray:
    return view.camera.matrix @ camera_from_world[:3]


def _seen(
    projection: np.ndarray, positions: np.ndarray, view: TrainingView, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """bool [N], whether positions [N, 3] project into the image or `margin` of its size around it; depths [N]."""
    x, y, depth = projection[:, :3] @ positions.T + projection[:, 3:]
    width, height = view.camera.width, view.camera.height
    before = depth > 0
    across, down = np.divide(x, depth, where=before, out=x), np.divide(y, depth, where=before, out=y)
    inside = (across > -margin * width) & (across < (1 + margin) * width)
    return before & inside & (down > -margin * height) & (down < (1 + margin) * height), depth

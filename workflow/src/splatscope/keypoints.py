"""Keypoints of instruments in a picture: where they are, and whether they are seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from splatscope.geometry import Camera

SURFACE_MM = 0.5  # nothing that is less before a point hides it
OUTSIDE = [0.0, 0.0, 0]


@lru_cache(maxsize=8)
def field_of_view(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x, y [2] at depth 1 of what the camera sees: beyond, a lens model says nothing true."""
    across, down = np.linspace(0, camera.width, 65), np.linspace(0, camera.height, 65)
    border = [(x, y) for x in across for y in (0, camera.height)] + [(x, y) for y in down for x in (0, camera.width)]
    edge = camera.unproject(np.array(border))
    return edge.min(0), edge.max(0)


def locate_keypoint(
    point: np.ndarray,
    camera: Camera,
    inside: np.ndarray | None,
    own: np.ndarray,
    depth_mm: np.ndarray,
    within_mm: float,
) -> list:
    """Pixel x, y and COCO's visibility of a point [3] in camera axes: 0 outside the picture, 1 hidden, 2 seen.

    `inside` bool [H, W]: the round view (None: all); `own` bool [H, W]: the point's instrument, in which it may lie as
    deep as `within_mm`. A tip's pixel may show what is behind it, and open jaws have their tip between them: such a
    point is seen unless something lies before it.
    """
    low, high = field_of_view(camera)
    if point[2] <= 1 or (point[:2] < low * point[2]).any() or (point[:2] > high * point[2]).any():
        return OUTSIDE
    x, y = (float(value) for value in camera.image_points(point[None])[0])
    if not (0 <= x < camera.width and 0 <= y < camera.height):
        return OUTSIDE
    row, column = int(y), int(x)
    if inside is not None and not inside[row, column]:
        return OUTSIDE
    depth = depth_mm[row, column]
    seen = depth == 0 or depth > point[2] - (within_mm if own[row, column] else SURFACE_MM)
    return [round(x, 3), round(y, 3), 2 if seen else 1]

"""Pictures carried along exact flow, never across the border of what is seen.

A position is float32 [H, W, 2]: where in the source picture (x, y; the centre of the first pixel is (0.5, 0.5)) the
surface point of each pixel is seen, NaN where it is not. `surfaces` int [H, W] tells surfaces apart: a pixel is made of
source pixels of its own surface only.
"""

from __future__ import annotations

import numpy as np

from splatscope.shards import FLOW_STATES, Frame

SEEN_IN_BOTH = FLOW_STATES.index("seen in both")


def pixel_centres(height: int, width: int) -> np.ndarray:
    """float32 [H, W, 2]: each pixel's own position."""
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([across, down], -1) + np.float32(0.5)


def flow_positions(flow: np.ndarray) -> np.ndarray:
    """Positions of a flow map [H, W, 3] of a frame: where its pixels are in the other frame."""
    seen = flow[..., 2:] == SEEN_IN_BOTH
    return np.where(seen, pixel_centres(*flow.shape[:2]) + flow[..., :2], np.float32(np.nan))


def surfaces_of(frame: Frame) -> np.ndarray:
    """int32 [H, W]: one number for each object, class and instance, as far as the frame knows them."""
    surfaces = np.zeros(frame.rgb.shape[:2], np.int32)
    for values in (frame.surface_points[..., 0] if frame.surface_points is not None else None, frame.class_map):
        if values is not None:
            surfaces = surfaces << 8 | values.astype(np.int32)
    return surfaces << 8 | frame.instance_map if frame.instance_map is not None else surfaces


def carry_image(
    image: np.ndarray, positions: np.ndarray, source_surfaces: np.ndarray, surfaces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The image float32 [H, W, C] at the positions, by Catmull-Rom's bicubic kernel.

    Returns the picture and float32 [H, W]: how much of the kernel lies on the pixel's own surface, 0 to 1. Where that
    is little the picture is 0, and so is the share.
    """
    height, width, channels = image.shape
    rows, columns = np.nonzero(np.isfinite(positions).all(-1))
    x, y = (positions[rows, columns] - np.float32(0.5)).T
    own = surfaces[rows, columns]
    left, top = np.floor(x), np.floor(y)
    across, down = _catmull_rom(x - left), _catmull_rom(y - top)
    # a border of nobody's surface, so that the kernel may reach out of the picture
    values = np.pad(image, ((4, 4), (4, 4), (0, 0))).reshape(-1, channels)
    owners = np.pad(source_surfaces, 4, constant_values=-1).ravel()
    stride = width + 8
    corner = (np.clip(top, -2, height).astype(np.int64) + 3) * stride + np.clip(left, -2, width).astype(np.int64) + 3
    total = np.zeros((len(x), channels), np.float32)
    weights, share = np.zeros(len(x), np.float32), np.zeros(len(x), np.float32)
    for j in range(4):
        for i in range(4):
            place = corner + (j * stride + i)
            weight = down[j] * across[i] * (owners[place] == own)
            total += weight[:, None] * values[place]
            weights += weight
            share += np.abs(weight)
    whole = sum(np.abs(weight) for weight in across) * sum(np.abs(weight) for weight in down)
    good = weights > 0.25  # where little is left of the kernel its negative lobes would be blown up
    result, covered = np.zeros_like(image), np.zeros((height, width), np.float32)
    rows, columns = rows[good], columns[good]
    result[rows, columns] = total[good] / weights[good, None]
    covered[rows, columns] = (share / whole)[good]
    return result, covered


def _catmull_rom(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the pixels at -1, 0, 1 and 2 for a place t in 0..1 (Keys 1981, a = -1/2)."""
    return (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )

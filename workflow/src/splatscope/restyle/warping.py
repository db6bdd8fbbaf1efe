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
    """The image float32 [H, W, C] at the positions (Catmull-Rom bicubic, held within the range of what it draws on).

    Returns the picture and float32 [H, W]: how much of the bicubic kernel lies on the pixel's own surface, 0 to 1 (at
    0 the picture is 0).
    """
    return _resample(image, positions, source_surfaces, surfaces, _catmull_rom, 4)


def carry_positions(
    positions_of_source: np.ndarray, positions: np.ndarray, source_surfaces: np.ndarray, surfaces: np.ndarray
) -> np.ndarray:
    """Positions in a third picture: those of the source [H, W, 2], found through the positions in the source."""
    displacement = positions_of_source - pixel_centres(*positions_of_source.shape[:2])
    carried, share = _resample(displacement, positions, source_surfaces, surfaces, _linear, 2)
    return np.where(share[..., None] >= 0.25, positions + carried, np.float32(np.nan))


def _resample(image, positions, source_surfaces, surfaces, kernel, taps):
    height, width = image.shape[:2]
    seen = np.isfinite(positions).all(-1)
    rows, columns = np.nonzero(seen)
    x, y = (positions[rows, columns] - np.float32(0.5)).T
    own = surfaces[rows, columns]
    left, top = np.floor(x), np.floor(y)
    across, down = kernel(x - left), kernel(y - top)
    left, top = left.astype(np.int64) - (taps // 2 - 1), top.astype(np.int64) - (taps // 2 - 1)
    usable = np.isfinite(image).all(-1)
    clean = np.where(usable[..., None], image, 0).reshape(height * width, -1)
    fits = np.where(usable, source_surfaces, -1).ravel()
    total = np.zeros((len(x), clean.shape[1]), np.float32)
    weights, share = np.zeros(len(x), np.float32), np.zeros(len(x), np.float32)
    low, high = np.full_like(total, np.inf), np.full_like(total, -np.inf)
    for j in range(taps):
        row = np.clip(top + j, 0, height - 1) * width
        for i in range(taps):
            place = row + np.clip(left + i, 0, width - 1)
            inside = fits[place] == own
            weight = down[j] * across[i] * inside
            values = clean[place]
            total += weight[:, None] * values
            weights += weight
            share += np.abs(weight)
            low = np.where(inside[:, None], np.minimum(low, values), low)
            high = np.where(inside[:, None], np.maximum(high, values), high)
    whole = sum(np.abs(weight) for weight in across) * sum(np.abs(weight) for weight in down)
    good = weights > 0.25  # where little is left of the kernel its negative lobes would be blown up
    result = np.zeros((height, width, clean.shape[1]), np.float32)
    covered = np.zeros((height, width), np.float32)
    rows, columns = rows[good], columns[good]
    result[rows, columns] = np.clip(total[good] / weights[good, None], low[good], high[good])
    covered[rows, columns] = (share / whole)[good]
    return result, covered


def _linear(t: np.ndarray) -> tuple[np.ndarray, ...]:
    return 1 - t, t


def _catmull_rom(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the pixels at -1, 0, 1 and 2 for a place t in 0..1 (Keys 1981, a = -1/2)."""
    return (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )

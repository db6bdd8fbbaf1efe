"""Gaussian noise that lies on the surfaces of a scene, for diffusion models that draw one frame after the other.

White noise is spread over every surface once, as a number per texel (a small cube of the object at rest). A latent cell
takes the noise of the surface that it covers: the sum over its texels, divided by the root of the summed squares of
their weights (the integral noise of Chang et al., "How I Warped Your Noise", ICLR 2024). Each texel belongs to one cell
only, the one that its centre falls in. So within a frame the cells are exactly independent and exactly N(0, 1), however
surfaces stretch, turn or come nearer, and between frames a cell keeps what surface it keeps.

A texel's number is a hash of seed, scene, object and place: no state, any frame can be made alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from splatscope.shards import Frame

TEXELS_PER_CELL = 4.0  # along a side, at the reference distance
REFERENCE_MM = 90.0  # a working distance; at half of it a cell still covers four texels
SAMPLES_PER_PIXEL = 2  # along a side; far and slanting texels are smaller than a pixel
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class LatentGrid:
    """Which latent cell a pixel of the frame falls in, for the picture that goes into the model.

    The frame's pixel coordinates (x, y) lie in cell ((x + left) / pixels_per_cell, (y + top) / pixels_per_cell).
    """

    height: int
    width: int
    pixels_per_cell: float = 8.0  # less when the frame is enlarged before it goes in
    left: float = 0.0  # border added on the left and at the top, in the frame's pixels
    top: float = 0.0

    def cells_of(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """int64: row-major number of the cell of each point, -1 outside the grid."""
        column = np.floor((x + self.left) / self.pixels_per_cell).astype(np.int64)
        row = np.floor((y + self.top) / self.pixels_per_cell).astype(np.int64)
        inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        return np.where(inside, row * self.width + column, -1)


def fresh_noise(
    frame: Frame, grid: LatentGrid, channels: int, *, seed: int, scene: str, attempt: int = 0
) -> np.ndarray:
    """float32 [C, h, w]: N(0, 1), of this frame alone: by seed, scene, the frame's key and the attempt."""
    keys = _cell_keys(grid, seed, scene, f"frame {frame.key} {attempt}")
    return _gaussians(keys, channels).astype(np.float32).reshape(channels, grid.height, grid.width)


def surface_noise(
    frame: Frame, grid: LatentGrid, channels: int, *, seed: int, scene: str, attempt: int = 0
) -> np.ndarray:
    """float32 [C, h, w]: N(0, 1), white within the frame, the same on the same surface in all frames of a scene.

    Where nothing is (object 0) the noise stands still on the screen. A frame without surface points, or without a
    camera that says how large a texel has to be, gets noise of its own (`fresh_noise`).
    """
    if frame.surface_points is None or "camera" not in frame.meta:
        return fresh_noise(frame, grid, channels, seed=seed, scene=scene, attempt=attempt)
    base = _base_key(seed, scene, f"surface {attempt}")
    texel_mm = grid.pixels_per_cell / TEXELS_PER_CELL * REFERENCE_MM / frame.meta["camera"]["fx"]
    names, x, y = _samples(frame.surface_points, texel_mm, grid.pixels_per_cell / TEXELS_PER_CELL)
    names, texel_of_sample = np.unique(names, return_inverse=True)
    weight = np.bincount(texel_of_sample).astype(np.float64)  # area on the screen
    centre_x = np.bincount(texel_of_sample, x) / weight
    centre_y = np.bincount(texel_of_sample, y) / weight
    cell = grid.cells_of(centre_x, centre_y)
    owned = cell >= 0
    texels, weight, cell = _mix(base ^ names[owned]), weight[owned], cell[owned]
    count = grid.height * grid.width
    norm = np.sqrt(np.bincount(cell, weight**2, count))
    bare = norm == 0  # the model's padding, or a cell between the centres of large texels
    sums = [np.bincount(cell, weight * numbers, count) for numbers in _gaussians(texels, channels)]
    noise = np.stack(sums) / np.where(bare, 1, norm)
    noise[:, bare] = _gaussians(_cell_keys(grid, seed, scene, f"bare {attempt}")[bare], channels)
    return noise.astype(np.float32).reshape(channels, grid.height, grid.width)


def _samples(points: np.ndarray, texel_mm: float, texel_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texel names uint64 [N] and pixel coordinates x, y [N] of several samples a pixel of surface points [H, W, 4].

    A name is object and place in 16 bits each: shards hold places within 655 mm, and no texel is smaller than 0.02 mm.
    """
    height, width = points.shape[:2]
    objects = points[..., 0].astype(np.uint64) << np.uint64(48)
    along_x, along_y = _slope(points, 1) / texel_mm, _slope(points, 0) / texel_mm
    column, row = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    nothing = objects == 0
    centre = points[..., 1:] / texel_mm
    centre[nothing] = np.dstack([column, row, np.zeros_like(row)])[nothing] / texel_px
    names, xs, ys = [], [], []
    offsets = (np.arange(SAMPLES_PER_PIXEL, dtype=np.float32) + 0.5) / SAMPLES_PER_PIXEL - 0.5
    for down in offsets:
        for right in offsets:
            place = (
                np.floor(centre + along_x * right + along_y * down).astype(np.int16).view(np.uint16).astype(np.uint64)
            )
            names.append(objects | place[..., 0] << np.uint64(32) | place[..., 1] << np.uint64(16) | place[..., 2])
            xs.append(column + right)
            ys.append(row + down)
    return np.concatenate(names, axis=None), np.concatenate(xs, axis=None), np.concatenate(ys, axis=None)


def _slope(points: np.ndarray, axis: int) -> np.ndarray:
    """float32 [H, W, 3]: change of the point per pixel along an axis, on the gentler side; 0 at an object's rim."""
    step = np.diff(points, axis=axis)
    length = np.where(step[..., 0] == 0, np.linalg.norm(step[..., 1:], axis=-1), np.inf)
    rim = np.full_like(np.take(length, [0], axis), np.inf)
    still = np.zeros_like(np.take(step[..., 1:], [0], axis))
    length_before, length_after = np.concatenate([rim, length], axis), np.concatenate([length, rim], axis)
    step_before, step_after = np.concatenate([still, step[..., 1:]], axis), np.concatenate([step[..., 1:], still], axis)
    slope = np.where((length_before < length_after)[..., None], step_before, step_after)
    return np.where(np.isinf(np.minimum(length_before, length_after))[..., None], 0, slope)


def _cell_keys(grid: LatentGrid, seed: int, scene: str, purpose: str) -> np.ndarray:
    return _mix(_base_key(seed, scene, purpose) ^ np.arange(grid.height * grid.width, dtype=np.uint64))


def _base_key(seed: int, scene: str, purpose: str) -> np.uint64:
    texts = np.uint64(zlib.crc32(scene.encode()) << 32 | zlib.crc32(purpose.encode()))
    return _mix(_mix(np.full(1, seed & 0xFFFFFFFFFFFFFFFF, np.uint64)) ^ texts)[0]


def _gaussians(keys: np.ndarray, channels: int) -> np.ndarray:
    """float64 [C, N]: independent N(0, 1) numbers of each key."""
    counters = np.arange(1, channels + 1, dtype=np.uint64)[:, None] * np.uint64(_GOLDEN)
    uniform = ((_mix(keys[None] + counters) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return ndtri(uniform)


def _mix(keys: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64 (Steele et al. 2014): every bit of uint64 keys depends on every other."""
    keys = keys + np.uint64(_GOLDEN)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))

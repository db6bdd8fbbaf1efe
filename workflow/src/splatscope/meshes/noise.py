"""Seeded noise that repeats without a seam: fields in space for shapes, square tiles for textures."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft
from scipy.spatial import cKDTree

from splatscope.meshes.field_kernels import interpolate


def band_noise(rng: np.random.Generator, shape: tuple[int, ...], wavelength: float) -> np.ndarray:
    """float32 periodic noise of unit variance around one wavelength (in cells), about an octave wide."""
    axes = [np.fft.fftfreq(size).astype(np.float32) for size in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    squared = sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
    gain = np.exp(-(((np.sqrt(squared) * wavelength - 1) / 0.45) ** 2)).astype(np.float32)
    gain.flat[0] = 0
    white = rng.standard_normal(shape, dtype=np.float32)
    field = scipy.fft.irfftn(scipy.fft.rfftn(white) * gain, s=shape)
    return field / field.std()


class VolumeNoise:
    """Smooth noise in space, unit variance, repeating every eight wavelengths."""

    CELLS, CELLS_PER_WAVE = 64, 8

    def __init__(self, seed: int):
        self._field = band_noise(np.random.default_rng(seed), (self.CELLS,) * 3, self.CELLS_PER_WAVE)

    def __call__(self, points: np.ndarray, wavelength_mm: float) -> np.ndarray:
        """float32 [...] at points [..., 3] mm."""
        return interpolate(self._field, points * (self.CELLS_PER_WAVE / wavelength_mm), periodic=True)


def cell_distances(rng: np.random.Generator, size: int, cells: int, compute_size: int = 512) -> np.ndarray:
    """float32 [2, size, size]: distance to the nearest and second nearest of cells x cells jittered points on a
    periodic square, in units of the mean cell width (Worley noise)."""
    grid = np.stack(np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij"), -1).reshape(-1, 2)
    seeds = (grid + rng.uniform(0.05, 0.95, grid.shape)) % cells
    axis = (np.arange(compute_size) + 0.5) * (cells / compute_size)
    pixels = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    distance = cKDTree(seeds, boxsize=cells).query(pixels.reshape(-1, 2), k=2)[0].astype(np.float32)
    maps = distance.reshape(compute_size, compute_size, 2)
    if size != compute_size:
        pad = 4 * size // compute_size  # the resize filter must see across the seam
        wrapped = np.pad(maps, ((4, 4), (4, 4), (0, 0)), mode="wrap")
        full = cv2.resize(wrapped, (size + 2 * pad, size + 2 * pad), interpolation=cv2.INTER_LINEAR)
        maps = full[pad:-pad, pad:-pad]
    return np.ascontiguousarray(np.moveaxis(maps, -1, 0))


def vessel_map(
    rng: np.random.Generator,
    size: int,
    trees: int,
    root_radius: float,
    thinnest: float = 0.55,
    wander: float = 0.16,
    stride: float = 2.0,
) -> np.ndarray:
    """float32 [size, size] in 0..1: branching vessels on a periodic tile; radii and stride (along a path) in pixels."""
    canvas = np.zeros((size, size), np.float32)
    for _ in range(trees):
        start = (rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), root_radius * rng.uniform(0.6, 1.0))
        stack = [start]
        while stack:
            position, heading, radius = stack.pop()
            steps = int(rng.uniform(18, 46) * (0.5 + radius / root_radius))
            turns = np.cumsum(rng.normal(0, wander, steps)) * 0.8 + rng.normal(0, wander, steps)
            headings = heading + turns
            step = stride + radius
            path = position + np.cumsum(step * np.stack([np.cos(headings), np.sin(headings)], -1), axis=0)
            _draw_periodic(canvas, np.vstack([position, path]), radius)
            for side in (-1, 1):
                child = radius * rng.uniform(0.6, 0.92)
                if child >= thinnest:
                    stack.append((path[-1], headings[-1] + side * rng.uniform(0.25, 0.9), child))
    return np.minimum(cv2.GaussianBlur(canvas, (0, 0), 0.6, borderType=cv2.BORDER_REPLICATE), 1)


def _draw_periodic(canvas: np.ndarray, path: np.ndarray, radius: float) -> None:
    size = len(canvas)
    path = path - size * np.floor(path.mean(0) / size)
    low, high = path.min(0) - radius - 2, path.max(0) + radius + 2
    shifts = [
        [shift for shift in (-size, 0, size) if high[axis] + shift > 0 and low[axis] + shift < size] for axis in (0, 1)
    ]
    thickness = max(1, round(2 * radius))
    strength = float(min(1.0, 2 * radius / thickness))
    for x in shifts[0]:
        for y in shifts[1]:
            points = np.round((path + np.array([x, y])) * 16).astype(np.int32)
            cv2.polylines(canvas, [points], False, strength, thickness, cv2.LINE_AA, shift=4)

"""Distance fields and noise at many points, on the CPU: a field is asked at millions of points to make one anatomy."""

from __future__ import annotations

import numpy as np
import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False})


@wp.func
def cone(point: wp.vec3, start: wp.vec3, end: wp.vec3, start_radius: float, end_radius: float) -> float:
    axis = end - start
    share = wp.clamp(wp.dot(point - start, axis) / wp.dot(axis, axis), 0.0, 1.0)
    return wp.length(point - start - axis * share) - wp.lerp(start_radius, end_radius, share)


@wp.kernel
def measure_chain(
    points: wp.array(dtype=wp.vec3),
    path: wp.array(dtype=wp.vec3),
    radii: wp.array(dtype=float),
    blend: float,  # mm
    distance: wp.array(dtype=float),
):
    index = wp.tid()
    point = points[index]
    nearest = cone(point, path[0], path[1], radii[0], radii[1])
    for first in range(1, path.shape[0] - 1):
        part = cone(point, path[first], path[first + 1], radii[first], radii[first + 1])
        share = wp.clamp(0.5 + 0.5 * (part - nearest) / blend, 0.0, 1.0)
        nearest = part + (nearest - part) * share - blend * share * (1.0 - share)
    distance[index] = nearest


@wp.func
def trilinear(grid: wp.array3d(dtype=float), low: wp.vec3i, high: wp.vec3i, share: wp.vec3) -> float:
    near = wp.lerp(
        wp.lerp(grid[low[0], low[1], low[2]], grid[low[0], low[1], high[2]], share[2]),
        wp.lerp(grid[low[0], high[1], low[2]], grid[low[0], high[1], high[2]], share[2]),
        share[1],
    )
    far = wp.lerp(
        wp.lerp(grid[high[0], low[1], low[2]], grid[high[0], low[1], high[2]], share[2]),
        wp.lerp(grid[high[0], high[1], low[2]], grid[high[0], high[1], high[2]], share[2]),
        share[1],
    )
    return wp.lerp(near, far, share[0])


@wp.kernel
def interpolate_clamped(grid: wp.array3d(dtype=float), cells: wp.array(dtype=wp.vec3), values: wp.array(dtype=float)):
    index = wp.tid()
    low = wp.vec3i(0)
    high = wp.vec3i(0)
    share = wp.vec3(0.0)
    for axis in range(3):
        cell = wp.clamp(cells[index][axis], 0.0, float(grid.shape[axis] - 1))
        low[axis] = int(cell)
        high[axis] = wp.min(low[axis] + 1, grid.shape[axis] - 1)
        share[axis] = cell - float(low[axis])
    values[index] = trilinear(grid, low, high, share)


@wp.kernel
def interpolate_periodic(grid: wp.array3d(dtype=float), cells: wp.array(dtype=wp.vec3), values: wp.array(dtype=float)):
    index = wp.tid()
    low = wp.vec3i(0)
    high = wp.vec3i(0)
    share = wp.vec3(0.0)
    for axis in range(3):
        cell = cells[index][axis]
        floor = int(wp.floor(cell))
        size = grid.shape[axis]
        low[axis] = ((floor % size) + size) % size
        high[axis] = (low[axis] + 1) % size
        share[axis] = cell - float(floor)
    values[index] = trilinear(grid, low, high, share)


def chain_distance(points: np.ndarray, path: np.ndarray, radii: np.ndarray, blend_mm: float) -> np.ndarray:
    """float32 [...]: distance in mm from points [..., 3] to a chain of cones along a path [N, 3] with radii [N]."""
    return _at_points(measure_chain, points, [_array(path, wp.vec3), _array(radii, float), float(blend_mm)])


def interpolate(grid: np.ndarray, cells: np.ndarray, *, periodic: bool = False) -> np.ndarray:
    """float32 [...]: trilinear values of a grid [X, Y, Z] at `cells` [..., 3] in units of its cells.

    Beyond the grid come the values of its border, or those of the next copy if it is periodic.
    """
    kernel = interpolate_periodic if periodic else interpolate_clamped
    return _at_points(kernel, cells, [], before=[_array(grid, float)])


def _at_points(kernel: wp.Kernel, points: np.ndarray, after: list, before: list | None = None) -> np.ndarray:
    points = np.asarray(points)
    values = np.empty(points.shape[:-1], np.float32)
    flat = _array(points.reshape(-1, 3), wp.vec3)
    out = wp.array(values.reshape(-1), dtype=float, device="cpu", copy=False)
    wp.launch(kernel, dim=values.size, inputs=[*(before or []), flat, *after], outputs=[out], device="cpu")
    return values


def _array(values: np.ndarray, dtype: type) -> wp.array:
    return wp.array(np.ascontiguousarray(values, np.float32), dtype=dtype, device="cpu", copy=False)

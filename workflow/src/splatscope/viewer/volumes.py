"""The recipe's sampling volumes as surfaces: where cameras may stand, and where a tool's tip may be."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from splatscope.compose import recipe as draw
from splatscope.compose.recipe import Rejected
from splatscope.compositing import Composite
from splatscope.config.compose import RecipeConfig
from splatscope.geometry import Camera

CELLS = 64  # at most, along the longest side of the camera volume's grid
TIP_STEPS = (25, 21)  # points across and down of the tip volume's sheets

Surface = tuple[np.ndarray, np.ndarray]  # vertices float64 [V, 3] in mm, faces int64 [F, 3]


def camera_volume(known: np.ndarray, recipe: RecipeConfig) -> Surface:
    """Where a freely drawn camera may stand: within `camera_limit_mm` of a known one [C, 4, 4]; world mm.

    Empty where the limit is too small a part of the whole for CELLS to show.
    """
    centres, limit = known[:, :3, 3], recipe.camera_limit_mm
    low, high = centres.min(0) - 1.3 * limit, centres.max(0) + 1.3 * limit
    step = max((high - low).max() / CELLS, limit / 4)
    axes = [np.arange(start, end + step, step) for start, end in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    distance = cKDTree(centres).query(grid.reshape(-1, 3), distance_upper_bound=3 * step + limit)[0]
    distance = np.minimum(distance, 3 * step + limit).reshape(grid.shape[:3])
    if distance.min() >= limit:
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    vertices, faces, _, _ = marching_cubes(distance, limit, spacing=(step,) * 3)
    return low + vertices, faces.astype(np.int64)


def tip_volume(camera: Camera, site: Composite, recipe: RecipeConfig) -> Surface:
    """Where a freely drawn tip may be before `camera`: from the tissue to `max_standoff_mm` before it, in the range of
    depths and within the margins; camera axes, mm. `site` is the site alone in this camera. Empty where nothing is."""
    columns = np.linspace(recipe.tip_margin, 1 - recipe.tip_margin, TIP_STEPS[0]) * (camera.width - 1)
    rows = np.linspace(recipe.tip_margin, 1 - recipe.tip_margin, TIP_STEPS[1]) * (camera.height - 1)
    u, v = np.meshgrid(columns, rows)
    depth = site.depth[v.astype(int), u.astype(int)].astype(np.float64)
    rays = np.stack([(u + 0.5 - camera.cx) / camera.fx, (v + 0.5 - camera.cy) / camera.fy, np.ones_like(u)], -1)
    tissue = rays * depth[..., None]
    nearest = depth * (1 - recipe.max_standoff_mm / np.maximum(np.linalg.norm(tissue, axis=-1), 1e-6))
    far = np.minimum(depth, recipe.max_depth_mm)
    near = np.maximum(nearest, recipe.min_depth_mm)
    inside = (site.alpha[v.astype(int), u.astype(int)] >= draw.OPAQUE_TISSUE) & (near <= far)
    return _slab(rays * near[..., None], rays * far[..., None], inside)


def drawn_cameras(known: np.ndarray, recipe: RecipeConfig, count: int) -> np.ndarray:
    """Positions [N, 3] of freely drawn cameras, at most `count`: some draws break the recipe's limits."""
    rng, positions = np.random.default_rng(0), []
    for _ in range(count):
        try:
            positions.append(draw.draw_camera(rng, known, recipe)[:3, 3])
        except Rejected:
            continue
    return np.array(positions).reshape(-1, 3)


def drawn_tips(camera: Camera, site: Composite, recipe: RecipeConfig, count: int) -> np.ndarray:
    """Freely drawn tips [N, 3] before the camera, in its axes, at most `count`."""
    rng, tips = np.random.default_rng(0), []
    for _ in range(count):
        try:
            tips.append(draw.draw_tip(rng, camera, site.depth, site.alpha, recipe))
        except Rejected:
            continue
    return np.array(tips).reshape(-1, 3)


def _slab(near: np.ndarray, far: np.ndarray, inside: np.ndarray) -> Surface:
    """The closed surface between two sheets [R, C, 3], over the cells whose four corners are `inside` [R, C]."""
    rows, columns = inside.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    cells = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    quads = np.stack([corner[cells] for corner in corners], -1)  # [Q, 4] round each cell
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2)
    _, first, counts = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    border = edges[first[counts == 1]]  # edges of one cell only
    behind = rows * columns
    walls = np.column_stack([border, border[:, ::-1] + behind])
    quads = np.concatenate([quads[:, ::-1], quads + behind, walls])
    faces = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    vertices = np.concatenate([near.reshape(-1, 3), far.reshape(-1, 3)])
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3)

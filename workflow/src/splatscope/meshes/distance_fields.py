"""Signed distance fields (negative inside, mm) and the closed surfaces extracted from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from skimage.measure import marching_cubes

from splatscope.meshes.field_kernels import chain_distance, interpolate
from splatscope.meshes.mesh import Mesh

Field = Callable[[np.ndarray], np.ndarray]  # points [..., 3] mm -> distance [...] mm


def smooth_union(first: np.ndarray, second: np.ndarray, blend_mm: float) -> np.ndarray:
    """Polynomial smooth minimum: the two shapes melt together over about `blend_mm`."""
    share = np.clip(0.5 + 0.5 * (second - first) / blend_mm, 0, 1)
    return second + (first - second) * share - blend_mm * share * (1 - share)


def smooth_subtract(solid: np.ndarray, hole: np.ndarray, blend_mm: float) -> np.ndarray:
    return -smooth_union(-solid, hole, blend_mm)


def ellipsoid(points: np.ndarray, centre, radii) -> np.ndarray:
    """Distance to an ellipsoid, first order: exact at the surface, too small far away."""
    offset = (points - np.asarray(centre, np.float32)) / np.asarray(radii, np.float32)
    length = np.linalg.norm(offset, axis=-1)
    gradient = np.linalg.norm(offset / np.asarray(radii, np.float32), axis=-1)
    return length * (length - 1) / np.maximum(gradient, 1e-6)


def cone(points: np.ndarray, start, end, start_radius: float, end_radius: float) -> np.ndarray:
    """Round-ended segment whose radius goes linearly from start to end."""
    start, axis = np.asarray(start, np.float32), np.asarray(end, np.float32) - np.asarray(start, np.float32)
    offset = points - start
    share = np.clip(offset @ (axis / (axis @ axis)), 0, 1)
    offset -= share[..., None] * axis
    return np.sqrt(np.einsum("...i,...i", offset, offset)) - (start_radius + (end_radius - start_radius) * share)


def tube(points: np.ndarray, path: np.ndarray, radii, blend_mm: float) -> np.ndarray:
    """Chain of cones along a path [N, 3] with one radius per point."""
    return chain_distance(points, path, np.broadcast_to(radii, len(path)), blend_mm)


def box(points: np.ndarray, centre, half_sizes, rounding: float = 0.0) -> np.ndarray:
    """Axis-aligned box with rounded edges; the rounding lies within the half sizes."""
    outside = np.abs(points - np.asarray(centre, np.float32)) - (np.asarray(half_sizes, np.float32) - rounding)
    return np.linalg.norm(np.maximum(outside, 0), axis=-1) + np.minimum(outside.max(-1), 0) - rounding


def cylinder(points: np.ndarray, axis: int, centre, radius: float, half_length: float) -> np.ndarray:
    """Cylinder along a coordinate axis (0, 1 or 2)."""
    offset = points - np.asarray(centre, np.float32)
    across = np.delete(offset, axis, axis=-1)
    sides = np.stack([np.linalg.norm(across, axis=-1) - radius, np.abs(offset[..., axis]) - half_length], -1)
    return np.linalg.norm(np.maximum(sides, 0), axis=-1) + np.minimum(sides.max(-1), 0)


def curve(control: np.ndarray, per_segment: int = 6) -> np.ndarray:
    """Catmull-Rom points through the control points [N, 3]."""
    control = np.asarray(control, np.float64)
    padded = np.vstack([2 * control[0] - control[1], control, 2 * control[-1] - control[-2]])
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:]):
        cubic = (-a + 3 * b - 3 * c + d) * t**3 + (2 * a - 5 * b + 4 * c - d) * t**2
        parts.append(0.5 * (2 * b + (c - a) * t + cubic))
    return np.vstack([*parts, control[-1:]]).astype(np.float32)


BLOCK = 4  # samples a side that are left out together
MAX_SLOPE = 2.0  # greatest change of a field, mm per mm, that `sample_where_near` can rely on
CHUNK = 1 << 18  # points evaluated at a time: bounded memory


def sample_where_near(field: Field, low, counts, spacing: float) -> np.ndarray:
    """float32 [X, Y, Z]: a field that changes by at most MAX_SLOPE mm per mm, on a grid of `counts` samples from `low`.

    Blocks that the surface cannot reach get values interpolated between blocks, of the right sign: a thin organ in a
    large box costs a fraction of sampling it all.
    """
    low, counts = np.asarray(low, np.float64), np.asarray(counts)
    blocks = -(-counts // BLOCK)
    index = np.stack(np.unravel_index(np.arange(blocks.prod()), blocks), -1)
    middles = low + spacing * (BLOCK * index + (BLOCK - 1) / 2)
    coarse = field(middles.astype(np.float32)).astype(np.float32)
    axes = [(np.arange(size * BLOCK) - (BLOCK - 1) / 2) / BLOCK for size in blocks]
    values = interpolate(coarse.reshape(blocks), np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    values = values.reshape(blocks[0], BLOCK, blocks[1], BLOCK, blocks[2], BLOCK)
    near = np.flatnonzero(np.abs(coarse) <= MAX_SLOPE * np.sqrt(3) / 2 * BLOCK * spacing)
    within = np.stack(np.meshgrid(*[np.arange(BLOCK)] * 3, indexing="ij"), -1) - (BLOCK - 1) / 2
    for some in np.array_split(near, len(near) * BLOCK**3 // CHUNK + 1):
        x, y, z = index[some].T
        points = middles[some, None, None, None] + spacing * within
        values[x, :, y, :, z, :] = field(points.astype(np.float32))
    return np.ascontiguousarray(values.reshape(blocks * BLOCK)[: counts[0], : counts[1], : counts[2]])


@dataclass
class SampledField:
    """A distance field on a regular grid: quick to ask again, and the source of a surface."""

    values: np.ndarray  # float32 [X, Y, Z] mm
    origin: np.ndarray  # [3] mm, of the first sample
    spacing: float  # mm

    @classmethod
    def sample(cls, field: Field, low, high, spacing: float) -> SampledField:
        """Evaluate `field` over the box low..high; the border is set outside, so that every surface closes."""
        axes = [np.arange(a, b + spacing, spacing, dtype=np.float32) for a, b in zip(low, high)]
        values = np.empty([len(axis) for axis in axes], np.float32)
        for index, x in enumerate(axes[0]):  # slab by slab: bounded memory
            plane = np.stack(np.meshgrid(axes[1], axes[2], indexing="ij"), -1)
            values[index] = field(np.concatenate([np.full((*plane.shape[:2], 1), x, np.float32), plane], -1))
        return cls(_closed(values, spacing), np.array([axis[0] for axis in axes], np.float64), spacing)

    @classmethod
    def sample_where_near(cls, field: Field, low, high, spacing: float) -> SampledField:
        """The same, coarse far from the surface: see the function of this name."""
        counts = np.ceil((np.asarray(high) - low) / spacing).astype(int) + 1
        return cls(_closed(sample_where_near(field, low, counts, spacing), spacing), np.array(low, np.float64), spacing)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Distance at points [..., 3]; beyond the grid that of its border, which is positive."""
        return interpolate(self.values, (points - self.origin) / self.spacing)

    def surface(self) -> Mesh:
        """The closed surface at distance 0, faces counter-clockwise seen from outside."""
        vertices, faces, _, _ = marching_cubes(self.values, 0.0, gradient_direction="descent")
        steps = 0.6 * np.eye(3)
        ahead, behind = (interpolate(self.values, vertices[:, None] + step) for step in (steps, -steps))
        gradient = ahead - behind
        normals = gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-9)
        return Mesh(vertices * self.spacing + self.origin, faces, normals)


def _closed(values: np.ndarray, spacing: float) -> np.ndarray:
    """The samples with their border set outside."""
    for axis in range(3):
        for end in (0, -1):
            border = values.swapaxes(0, axis)[end]
            np.maximum(border, spacing * 0.5, out=border)
    return values


def ambient_occlusion(fields: list[Field], mesh: Mesh, reach_mm: float = 12.0) -> np.ndarray:
    """Share [V] in 0..1 of open space before each vertex: distances along the normal compared with free space."""
    blocked = np.zeros(len(mesh.vertices))
    total = 0.0
    for share in (0.08, 0.18, 0.36, 0.65, 1.0):
        probe = mesh.vertices + mesh.normals * (reach_mm * share)
        nearest = np.min([field(probe) for field in fields], axis=0)
        weight = 1 / share**0.5
        blocked += weight * np.clip(1 - nearest / (reach_mm * share), 0, 1)
        total += weight
    return np.clip(1 - blocked / total, 0, 1)

"""A camera's lens as the renderer's kernels take it."""

from __future__ import annotations

import numpy as np
import warp as wp

from splatscope.geometry import Camera
from splatscope.meshes.lanes import PADDING
from splatscope.meshes.lens_kernels import Distortion

GRID = 33  # points along each side of the field at which the lens's bending is measured
ALLOWANCE = 2.0  # factor on what the grid says, which may miss the extremes


class Lens:
    """Where pixels look, and where the lens puts what they see. The plane at depth 1 is undistorted."""

    def __init__(self, camera: Camera, samples: int, device: str):
        """`samples` per pixel along each side, whose rays are wanted as well."""
        coefficients = np.zeros(8)
        coefficients[: len(camera.distortion)] = camera.distortion
        self.distortion, self.distorted = Distortion(*coefficients), int(bool(camera.distortion))
        self.intrinsics = wp.vec4(camera.fx, camera.fy, camera.cx, camera.cy)
        rays = camera.pixel_rays().reshape(-1, 2)
        self.rays = _upload(rays, device)  # vec2 [H * W + PADDING] at depth 1, of pixel centres
        fine = camera.scaled(camera.width * samples, camera.height * samples)
        self.sample_rays = self.rays if samples == 1 else _upload(fine.pixel_rays().reshape(-1, 2), device)
        self.field = np.stack([rays.min(0), rays.max(0)])  # [2, 2]: wider than the focal length says behind a barrel
        self.bounds = wp.vec4(*self.field.ravel())
        low, high = self.field
        self.wide_bounds = wp.vec4(*(1.3 * low - 0.3 * high), *(1.3 * high - 0.3 * low))
        self.bend = self._bend(camera) if camera.distortion else 0.0

    def _bend(self, camera: Camera) -> float:
        """How far, at most, a triangle reaches beyond the box of its distorted corners: pixels per squared diameter of
        the triangle on the plane at depth 1.

        A map whose second derivatives are at most M departs from the linear map through the corners of a triangle of
        diameter d by at most M d^2 / 6.
        """
        (left, top), (right, bottom) = self.field
        x, y = np.meshgrid(np.linspace(left, right, GRID), np.linspace(top, bottom, GRID))
        plane = np.stack([x, y, np.ones_like(x)], -1)
        pixels = camera.image_points(plane.reshape(-1, 3)).reshape(GRID, GRID, 2)
        steps = (bottom - top) / (GRID - 1), (right - left) / (GRID - 1)
        down, across = np.gradient(pixels, *steps, axis=(0, 1))
        second = [np.gradient(slope, *steps, axis=(0, 1)) for slope in (down, across)]
        curvature = sum(np.linalg.norm(part, axis=-1) for pair in second for part in pair).max()
        return float(ALLOWANCE * curvature / 6)


def _upload(rays: np.ndarray, device: str) -> wp.array:
    padded = np.pad(rays.astype(np.float32), ((0, PADDING), (0, 0)))
    return wp.array(padded, dtype=wp.vec2, device=device)

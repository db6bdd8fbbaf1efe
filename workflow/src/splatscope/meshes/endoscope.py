"""From linear radiance to what comes out of an endoscope: lens, vignette, sensor."""

from __future__ import annotations

import cv2
import numpy as np
import warp as wp

from splatscope.geometry import Camera
from splatscope.images import resize_area
from splatscope.meshes import sensor_kernels
from splatscope.meshes.sensor_kernels import FULL_SCALE, LEVELS

SPARE = 64  # pixels by which the field of noise is larger than the picture


def display_table() -> np.ndarray:
    """uint8 [LEVELS + 1]: sRGB of linear 0..FULL_SCALE, with a soft shoulder instead of a hard clip."""
    linear = np.linspace(0, FULL_SCALE, LEVELS + 1)
    knee = 0.6
    soft = np.where(linear < knee, linear, knee + (1 - knee) * (1 - np.exp(-(linear - knee) / (1 - knee))))
    srgb = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-9) ** (1 / 2.4) - 0.055)
    return np.round(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


class Endoscope:
    """Turns pictures of `fine`, a finer camera behind the same lens, into video frames."""

    def __init__(
        self, camera: Camera, supersampling: float, noise: float, seed: int, coverage: np.ndarray | None = None
    ):
        """`supersampling`: pixels of `fine` for each of the video, along each side; smooths edges.

        `coverage` [H, W]: share of each pixel of the video that light comes to; all of it when absent.
        """
        self._size = camera.width, camera.height
        self.fine = camera.scaled(round(camera.width * supersampling), round(camera.height * supersampling))
        across, down = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        radius = (
            np.hypot(across - camera.width / 2, down - camera.height / 2) / np.hypot(camera.width, camera.height) * 2
        )
        vignette = 1 - 0.28 * radius**2.4
        gain = vignette * (LEVELS / FULL_SCALE) * (1 if coverage is None else coverage)
        self._gain = _rows(np.repeat(gain[..., None], 3, -1))
        self._table = wp.array(display_table(), dtype=wp.uint8, device="cpu")
        self._rng = np.random.default_rng([seed, 601])
        field = np.random.default_rng([seed, 602]).standard_normal((camera.height + SPARE, camera.width + SPARE, 3))
        field = cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.55)  # as demosaicking leaves it
        field = field / field.std() * np.float32([1.1, 0.85, 1.3]) * np.float32(0.0042 * noise)
        self._noise = [_rows(field), _rows(field[:, ::-1])]

    def expose(self, radiance: np.ndarray, balance: np.ndarray | None = None) -> np.ndarray:
        """uint8 [H, W, 3] sRGB from linear radiance [h, w, 3] of the fine camera; `balance` [3]: a factor of it."""
        width, height = self._size
        image = _rows(resize_area(radiance, width, height))
        factor = np.tile(np.ones(3) if balance is None else balance, width).astype(np.float32)
        row, column = (int(at) for at in self._rng.integers(0, SPARE + 1, 2))
        turned = int(self._rng.integers(2))
        developed = np.empty((height, width, 3), np.uint8)
        wp.launch(
            sensor_kernels.expose,
            dim=height,
            inputs=[
                image,
                wp.array(factor, device="cpu"),
                self._gain,
                self._noise[turned],
                row,
                3 * (SPARE - column if turned else column),
                self._table,
            ],
            outputs=[wp.array(developed.reshape(height, -1), dtype=wp.uint8, copy=False, device="cpu")],
            device="cpu",
        )
        return developed


def _rows(image: np.ndarray) -> wp.array:
    """float32 [H, W * 3] of an image [H, W, 3]."""
    values = np.ascontiguousarray(image, np.float32).reshape(len(image), -1)
    return wp.array(values, dtype=wp.float32, copy=False, device="cpu")

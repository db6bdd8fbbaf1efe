"""From linear radiance to what comes out of an endoscope: lens, vignette, sensor."""

from __future__ import annotations

import cv2
import numpy as np

from splatscope.geometry import Camera
from splatscope.images import resize_area

LEVELS = 4096  # steps of the linear sensor
FULL_SCALE = 1.25  # radiance at the last step


def display_table() -> np.ndarray:
    """uint8 [LEVELS + 1]: sRGB of linear 0..FULL_SCALE, with a soft shoulder instead of a hard clip."""
    linear = np.linspace(0, FULL_SCALE, LEVELS + 1)
    knee = 0.6
    soft = np.where(linear < knee, linear, knee + (1 - knee) * (1 - np.exp(-(linear - knee) / (1 - knee))))
    srgb = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-9) ** (1 / 2.4) - 0.055)
    return np.round(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


class Endoscope:
    """Turns pictures of `fine`, a finer camera behind the same lens, into video frames."""

    def __init__(self, camera: Camera, supersampling: float, noise: float, seed: int):
        """`supersampling`: pixels of `fine` for each of the video, along each side; smooths edges."""
        self._size = camera.width, camera.height
        self.fine = camera.scaled(round(camera.width * supersampling), round(camera.height * supersampling))
        across, down = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        radius = (
            np.hypot(across - camera.width / 2, down - camera.height / 2) / np.hypot(camera.width, camera.height) * 2
        )
        vignette = (1 - 0.28 * radius**2.4)[..., None] * np.ones(3)
        self._gain = (vignette * (LEVELS / FULL_SCALE)).astype(np.float32)
        self._table = display_table()
        self._rng = np.random.default_rng([seed, 601])
        field = np.random.default_rng([seed, 602]).standard_normal((camera.height + 64, camera.width + 64, 3))
        field = cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.55)  # as demosaicking leaves it
        self._noise = field / field.std() * np.float32([1.1, 0.85, 1.3]) * np.float32(0.0042 * noise)

    def expose(self, radiance: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] sRGB from linear radiance [h, w, 3] of the fine camera."""
        image = resize_area(radiance, *self._size) * self._gain
        row, column = self._rng.integers(0, 65, 2)
        height, width = image.shape[:2]
        noise = self._noise[row : row + height, column : column + width]
        if self._rng.integers(2):
            noise = noise[:, ::-1]
        # photon noise grows with the root of the light, read noise does not
        deviation = cv2.sqrt(image * (4 * LEVELS / FULL_SCALE) + np.float32(0.12 * (LEVELS / FULL_SCALE) ** 2))
        deviation *= noise
        image += deviation
        np.clip(image, 0, LEVELS, out=image)
        return np.take(self._table, image.astype(np.uint16))

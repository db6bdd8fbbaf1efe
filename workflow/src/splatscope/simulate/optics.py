"""The endoscope of an episode: lens, round view, light, exposure, mist on the lens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.config.simulate import SimulateConfig
from splatscope.geometry import Camera
from splatscope.meshes.endoscope import Endoscope
from splatscope.meshes.renderer import Light

TARGET_LEVEL = 0.20  # mean linear radiance that the automatic exposure aims at
EXPOSURE_RANGE = (0.45, 2.4)
EXPOSURE_LAG_S = 0.6


@dataclass(frozen=True)
class Circle:
    """The round view: centre and radius in pixels."""

    x: float
    y: float
    radius: float

    def coverage(self, width: int, height: int) -> np.ndarray:
        """float32 [H, W]: share of each pixel within the circle."""
        across, down = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        return np.clip(self.radius - np.hypot(across - self.x, down - self.y) + 0.5, 0, 1).astype(np.float32)


class Optics:
    """One endoscope; `develop` keeps the state of its exposure, so call it in the order of time."""

    def __init__(self, config: SimulateConfig, rng: np.random.Generator):
        width, height = config.width, config.height
        focal = width / 2 / np.tan(np.radians(rng.uniform(*config.field_of_view_deg)) / 2)
        centre = np.array([width, height]) * (0.5 + rng.uniform(-0.02, 0.02, 2))
        k1 = rng.uniform(*config.distortion)
        tangential = rng.uniform(-0.001, 0.001, 2) * bool(k1)
        distortion = (float(k1), float(0.25 * k1**2), *map(float, tangential)) if k1 else ()
        self.camera = Camera(width, height, float(focal), float(focal), float(centre[0]), float(centre[1]), distortion)
        self.light = Light(
            reference_mm=rng.uniform(62, 78), ambient=rng.uniform(0.04, 0.09), cone=rng.uniform(0.8, 2.0)
        )
        self.circle = None
        if rng.uniform() < config.round_view_probability:
            radius = rng.uniform(0.50, 0.60) * max(width, 1.15 * height)
            self.circle = Circle(*(np.array([width, height]) * (0.5 + rng.uniform(-0.02, 0.02, 2))), radius)
        self._white = np.float32([rng.uniform(0.96, 1.10), 1.0, rng.uniform(0.90, 1.04)])
        self._coverage = None if self.circle is None else self.circle.coverage(width, height)
        self._endoscope = Endoscope(self.camera, 1, config.image_noise, int(rng.integers(2**31)), self._coverage)
        self._mist = self._mist_episode(rng) if rng.uniform() < config.fog_probability else None
        self._gain: float | None = None
        self._time_s = 0.0

    @property
    def inside(self) -> np.ndarray | None:
        """bool [H, W]: pixels that show the site; None: all."""
        return None if self._coverage is None else self._coverage > 0.5

    def develop(self, radiance: np.ndarray, time_s: float) -> np.ndarray:
        """uint8 [H, W, 3] sRGB from the radiance [H, W, 3] that reaches the lens."""
        wanted = float(np.clip(TARGET_LEVEL / max(radiance.mean(), 1e-6), *EXPOSURE_RANGE))
        follow = 1 if self._gain is None else 1 - np.exp(-(time_s - self._time_s) / EXPOSURE_LAG_S)
        self._gain = wanted if self._gain is None else self._gain + follow * (wanted - self._gain)
        self._time_s = time_s
        mist, balance = self.mist(time_s), self._white * np.float32(self._gain)
        if mist > 0:
            wide = cv2.GaussianBlur(radiance, (0, 0), 0.012 * self.camera.width * mist + 0.5)
            haze = wide.mean((0, 1)) * np.float32([1, 1.05, 1.08])
            radiance = wide * (1 - 0.35 * mist) + np.float32(0.35 * mist) * haze
        return self._endoscope.expose(radiance, balance)

    def mist(self, time_s: float) -> float:
        """How misted the lens is, 0..1: it comes quickly and clears slowly."""
        if self._mist is None:
            return 0.0
        start, strength, clearing_s = self._mist
        if time_s < start:
            return 0.0
        return float(strength * min((time_s - start) / 0.4, 1) * np.exp(-max(time_s - start - 0.4, 0) / clearing_s))

    @staticmethod
    def _mist_episode(rng: np.random.Generator) -> tuple[float, float, float]:
        """When it comes, how thick, how long it takes to clear; s, 0..1, s."""
        return rng.uniform(0, 20), rng.uniform(0.3, 1.0), rng.uniform(0.6, 2.0)

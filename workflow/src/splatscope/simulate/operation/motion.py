"""How a hand moves: minimum-jerk submovements that add up, timed by Fitts' law, and tremor. Millimetres, seconds."""

from __future__ import annotations

import numpy as np

PEAK_SPEED = 15 / 8  # of a minimum-jerk movement, in distance / duration
PEAK_ACCELERATION = 10 / np.sqrt(3)  # in distance / duration^2

FITTS_START_S = 0.08
FITTS_S_PER_BIT = 0.13  # 7.7 bit/s: below the 10 bit/s of a hand-held stylus (Fitts 1954), for a long instrument


def minimum_jerk(share: np.ndarray | float) -> np.ndarray | float:
    """Share of the way covered at `share` of the time: 0 before 0, 1 after 1 (Flash & Hogan 1985, appendix A)."""
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)


def fitts_duration(distance_mm: float, width_mm: float) -> float:
    """Seconds that a reach over `distance_mm` to a target of `width_mm` takes (Fitts 1954): a + b log2(2 D / W)."""
    return FITTS_START_S + FITTS_S_PER_BIT * float(np.log2(max(2 * distance_mm / width_mm, 2.0)))


class Submovements:
    """A value [N] steered by minimum-jerk submovements that superpose (Flash & Henis 1991).

    A new goal before the old one is reached adds a submovement: position, speed and acceleration stay continuous, and
    the path bends as a hand's does when it changes its mind.
    """

    def __init__(self, start: np.ndarray):
        self._settled = np.array(start, np.float64)
        self._active: list[tuple[float, float, np.ndarray]] = []  # start_s, duration_s, displacement [N]

    @property
    def goal(self) -> np.ndarray:
        """Where the value comes to rest [N]."""
        return self._settled + sum(displacement for _, _, displacement in self._active)

    def move_to(self, goal: np.ndarray, start_s: float, duration_s: float) -> None:
        """From now on come to rest at `goal` [N], by a submovement that begins at `start_s`."""
        self._active.append((start_s, max(duration_s, 1e-3), np.asarray(goal, np.float64) - self.goal))

    def __call__(self, time_s: float) -> np.ndarray:
        """The value [N] at `time_s`, which must not go back."""
        ended = [entry for entry in self._active if entry[0] + entry[1] <= time_s]
        if ended:
            self._settled = self._settled + sum(displacement for _, _, displacement in ended)
            self._active = [entry for entry in self._active if entry[0] + entry[1] > time_s]
        value = self._settled.copy()
        for start, duration, displacement in self._active:
            value += displacement * minimum_jerk((time_s - start) / duration)
        return value


class BandNoise:
    """Random wandering [axes] about zero within a band of frequencies: tremor, drift, sway. A function of time."""

    TONES = 8

    def __init__(self, rng: np.random.Generator, rms: float, band_hz: tuple[float, float], axes: int = 3):
        edges = np.linspace(*band_hz, self.TONES + 1)[:, None]  # one tone in each part of the band
        self._omega = 2 * np.pi * rng.uniform(edges[:-1], edges[1:], (self.TONES, axes))
        self._phase = rng.uniform(0, 2 * np.pi, (self.TONES, axes))
        weight = rng.uniform(0.5, 1.0, (self.TONES, axes))
        self._amplitude = weight * rms * np.sqrt(2 / np.sum(weight**2, axis=0))

    def __call__(self, time_s: float) -> np.ndarray:
        return np.sum(self._amplitude * np.sin(self._omega * time_s + self._phase), axis=0)


def tremor(rng: np.random.Generator, rms_mm: float = 0.1) -> BandNoise:
    """Physiological tremor of a hand at the instrument's tip: 6 to 12 Hz, `rms_mm` per axis."""
    return BandNoise(rng, rms_mm, (6.0, 12.0))

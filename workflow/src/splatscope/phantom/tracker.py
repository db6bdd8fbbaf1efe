"""A made-up electromagnetic tracker and its log in the layout of NDI's ToolBox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.config.phantom import PhantomConfig
from splatscope.files import write_text
from splatscope.geometry import make_transform, matrix_to_quaternion
from splatscope.phantom.rig import WORKING_VOLUME_MM

MISSING_VALUE = "-3.697314E28"
OUTAGE_S = 0.3


class FieldDistortion:
    """Smooth errors of position and rotation over the working volume, as metal near the field causes them.

    A few long waves (250 to 600 mm); each of the two vector fields is scaled to its RMS norm over the volume.
    """

    def __init__(self, seed: int, position_rms_mm: float, rotation_rms_deg: float):
        rng = np.random.default_rng([seed, 501])
        direction = rng.standard_normal((6, 3))
        wavelength = rng.uniform(250, 600, 6)
        self._waves = 2 * np.pi * direction / np.linalg.norm(direction, axis=1, keepdims=True) / wavelength[:, None]
        self._phases = rng.uniform(0, 2 * np.pi, 6)
        self._gains = rng.standard_normal((6, 6))  # wave -> three of position, three of rotation
        axes = [np.linspace(low, high, 9) for low, high in WORKING_VOLUME_MM.T]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        values = self._raw(grid)
        position, rotation = (np.sqrt((part**2).sum(1).mean()) for part in (values[:, :3], values[:, 3:]))
        self._gains[:, :3] *= position_rms_mm / position
        self._gains[:, 3:] *= np.radians(rotation_rms_deg) / rotation

    def _raw(self, points: np.ndarray) -> np.ndarray:
        return np.cos(points @ self._waves.T + self._phases) @ self._gains

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position error [N, 3] mm and rotation vector [N, 3] radians at points [N, 3] mm."""
        values = self._raw(points)
        return values[:, :3], values[:, 3:]


def measure(poses: np.ndarray, config: PhantomConfig, field: FieldDistortion, rng: np.random.Generator) -> np.ndarray:
    """What the tracker reads for true sensor poses [N, 4, 4]: field distortion, then jitter."""
    jitter = rng.standard_normal((len(poses), 6)) / np.sqrt(3)  # drawn also when unused: the gaps stay the same
    if not config.tracker_noise:
        return poses
    shift, turn = field(poses[:, :3, 3])
    turn = turn + jitter[:, 3:] * np.radians(config.jitter_deg)
    rotation = Rotation.from_rotvec(turn).as_matrix() @ poses[:, :3, :3]
    return make_transform(rotation, poses[:, :3, 3] + shift + jitter[:, :3] * config.jitter_mm)


def missing_rows(count: int, config: PhantomConfig, rng: np.random.Generator) -> np.ndarray:
    """bool [count]: single misses and now and then an outage of about 0.3 s."""
    missing = rng.uniform(size=count) < config.missing_fraction
    at = rng.exponential(config.outage_every_s)
    while at < count / config.tracker_rate_hz:
        first = int(at * config.tracker_rate_hz)
        missing[first : first + round(OUTAGE_S * rng.uniform(0.7, 1.3) * config.tracker_rate_hz)] = True
        at += OUTAGE_S + rng.exponential(config.outage_every_s)
    return missing


def write_log(path: str | Path, rate_hz: float, readings: dict[str, np.ndarray], seed: int) -> None:
    """Write readings {sensor name: [N, 4, 4]; NaN where missing} as comma-separated ToolBox rows."""
    rng = np.random.default_rng([seed, 502])
    header = ["Tools"]
    first_frame = int(rng.integers(1000, 90000))
    for port, name in enumerate(readings, start=1):
        header += [f"Port 0x{port:02X}: {name} s/n:{int(rng.integers(0x30000000, 0x3FFFFFFF)):08X}"]
        header += ["Frame", "Time [sec]", "Face", "State", "Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz", "Error", "Markers"]
    lines = [",".join(header)]
    errors = {name: np.abs(rng.normal(0.12, 0.04, len(poses))) for name, poses in readings.items()}
    for row in range(len(next(iter(readings.values())))):
        cells = [str(len(readings))]
        for port, (name, poses) in enumerate(readings.items(), start=1):
            cells += [f"{port:02X}", str(first_frame + row), f"{row / rate_hz:.4f}", "0"]
            if np.isfinite(poses[row]).all():
                quaternion = matrix_to_quaternion(poses[row, :3, :3])
                cells += [
                    "OK",
                    *(f"{value:.6f}" for value in quaternion),
                    *(f"{value:.4f}" for value in poses[row, :3, 3]),
                ]
                cells += [f"{errors[name][row]:.4f}", "0"]
            else:
                cells += ["Too Few Markers", *[MISSING_VALUE] * 8, "0"]
        lines.append(",".join(cells))
    write_text(path, "\n".join(lines) + "\n")

"""Tracker readings at the times of the kept frames, as well as they can be known."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.geometry import make_transform, poses_from_columns
from splatscope.poses.hand_eye_start import robust_mean_rotation
from splatscope.poses.recording_files import IngestedRecording

CLOSE_READINGS_S = 0.5  # a velocity is taken between readings no further apart


def readings_at(recording: IngestedRecording, sensor: str, shift_s: float = 0.0) -> np.ndarray:
    """`tracker_from_<sensor>_sensor` [kept frames, 4, 4], NaN where invalid, moved on by `shift_s` seconds."""
    readings = poses_from_columns(recording.kept, f"tracker_from_{sensor}_sensor")
    if shift_s == 0:
        return readings
    velocity, turn = velocities(recording, sensor)
    moved = np.full_like(readings, np.nan)
    valid = np.isfinite(readings).all((1, 2))
    moved[valid] = make_transform(
        Rotation.from_rotvec(turn[valid] * shift_s).as_matrix() @ readings[valid, :3, :3],
        readings[valid, :3, 3] + velocity[valid] * shift_s,
    )
    return moved


def velocities(recording: IngestedRecording, sensor: str) -> tuple[np.ndarray, np.ndarray]:
    """Velocity mm/s and angular velocity rad/s of a sensor, [kept frames, 3] each, in the tracker's frame."""
    table = recording.all_frames
    return differentiate_poses(
        table["time_s"].to_numpy(),
        poses_from_columns(table, f"tracker_from_{sensor}_sensor"),
        recording.kept["time_s"].to_numpy(),
    )


def differentiate_poses(times: np.ndarray, poses: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Velocity [M, 3] mm/s and angular velocity [M, 3] rad/s at `query` [M] seconds, in the poses' target frame.

    Central differences over five of the poses [N, 4, 4] at `times` [N], NaN where invalid; 0 where these lie more than
    half a second apart.
    """
    valid = np.isfinite(poses).all((1, 2))
    times, poses = times[valid], poses[valid]
    if len(times) < 3:
        return np.zeros((len(query), 3)), np.zeros((len(query), 3))
    middle = np.searchsorted(times, query).clip(0, len(times) - 1)
    before, after = (middle - 2).clip(0), (middle + 2).clip(None, len(times) - 1)
    interval = times[after] - times[before]
    usable = (interval > 0) & (interval <= CLOSE_READINGS_S)
    per_second = np.where(usable, 1 / np.where(usable, interval, 1), 0)[:, None]
    relative = poses[after, :3, :3] @ np.swapaxes(poses[before, :3, :3], -1, -2)
    turn = Rotation.from_matrix(relative).as_rotvec()
    return (poses[after, :3, 3] - poses[before, :3, 3]) * per_second, turn * per_second


def resting_pose(recording: IngestedRecording, tool: str, max_spread_mm: float) -> np.ndarray:
    """Robust mean [4, 4] of the readings of a tool's sensor that does not move during its recording.

    Raises InputError without readings, or when their median distance from the mean exceeds `max_spread_mm`.
    """
    readings = poses_from_columns(recording.all_frames, f"tracker_from_{tool}_sensor")
    readings = readings[np.isfinite(readings).all((1, 2))]
    if not len(readings):
        raise InputError(
            recording.table,
            found=f"no valid reading of the sensor on {tool}",
            expected="readings of the tool at rest",
            remedy="check this sensor's Status column in the tracker log, and the sensor names in the config",
        )
    position = np.median(readings[:, :3, 3], axis=0)
    spread = float(np.median(np.linalg.norm(readings[:, :3, 3] - position, axis=1)))
    if spread > max_spread_mm:
        raise InputError(
            recording.table,
            f"sensor on {tool}",
            found=f"readings {spread:.1f} mm (median) from their mean",
            expected=f"a tool at rest, within {max_spread_mm:g} mm (poses.max_static_spread_mm)",
            remedy="record the tool lying still while the camera circles it, or correct this recording's role",
        )
    return make_transform(robust_mean_rotation(readings[:, :3, :3]), position)

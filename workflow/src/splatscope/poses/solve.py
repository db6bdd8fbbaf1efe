"""Camera and tool poses of every kept frame in one world, from sparse models and tracker readings.

World: the tracker's frame in millimetres for every group that has a tracker; else the frame of the group's sparse
model, scaled so that the camera is NOMINAL_DISTANCE_MM from the points, and marked as not metric.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.poses import PosesConfig
from splatscope.errors import InputError
from splatscope.files import write_json, write_table
from splatscope.geometry import invert, pose_columns, pose_difference
from splatscope.poses.group_state import GroupState, ReconstructedGroup
from splatscope.poses.hand_eye import HandEye, Observations, solve_hand_eye
from splatscope.poses.point_cloud import write_points
from splatscope.poses.readings import readings_at, resting_pose, velocities
from splatscope.poses.recording_files import IngestedRecording, known_hand_eye
from splatscope.poses.residuals_plot import plot_residuals
from splatscope.recordings import Role

NOMINAL_DISTANCE_MM = 75.0
DEFAULT_CLOCK_SIGMA_S = 0.01


def solve_poses(groups: list[ReconstructedGroup], config: PosesConfig, seed: int, output_folder: str | Path) -> dict:
    """Write the poses of all recordings; returns the content of poses.json.

    In `output_folder`: `<recording>.parquet`, `<recording>.camera.json`, `<group>.points.ply`, poses.json and
    residuals.png. Raises InputError when tracker and images cannot be brought together.
    """
    output_folder = Path(output_folder)
    states = [GroupState(group, config.use_tracker) for group in sorted(groups, key=lambda group: group.name)]
    solution, clock_shift_s = _align(states, config, seed)
    hand_eye = solution.sensor_from_camera if solution else _calibrated_hand_eye(states, config)
    tables: dict[str, pd.DataFrame] = {}
    for state in states:
        for recording in state.recordings:
            shift_s = clock_shift_s.get(recording.name, 0.0)
            columns = _camera_columns(state, recording, hand_eye, shift_s, solution)
            if config.use_tracker:
                columns |= _tool_columns(recording, shift_s, solution, config)
            tables[recording.name] = pd.DataFrame(columns)
            write_table(output_folder / f"{recording.name}.parquet", tables[recording.name])
            camera = state.camera_of(recording).to_dict()
            write_json(output_folder / f"{recording.name}.camera.json", {"camera": camera})
        write_points(output_folder / f"{state.name}.points.ply", *state.world_points())
    summary = _summary(states, tables, solution, hand_eye, clock_shift_s, config)
    write_json(output_folder / "poses.json", summary)
    plot_residuals(output_folder / "residuals.png", tables, _title(summary))
    return summary


def _calibrated_hand_eye(states: list[GroupState], config: PosesConfig) -> np.ndarray | None:
    """The hand-eye transform that needs no solving: from the config, else from a checkerboard calibration."""
    return known_hand_eye(config, [recording for state in states for recording in state.recordings])


def _align(states: list[GroupState], config: PosesConfig, seed: int) -> tuple[HandEye | None, dict[str, float]]:
    """Place every group in the world; returns the hand-eye solution, and the clock shift in seconds by recording."""
    for state in states:
        if state.sfm["source"] == "tracker" or not state.registered:
            state.place(1.0, np.eye(4), metric=True)  # the model, if any, stands in the tracker's frame already
        elif not state.solvable:
            state.place(NOMINAL_DISTANCE_MM / state.typical_distance(), np.eye(4), metric=False)
    solvable = [state for state in states if state.solvable]
    if not solvable:
        if _calibrated_hand_eye(states, config) is None and any(state.has_tracker for state in states):
            raise InputError(
                "config",
                "poses.camera_sensor_from_camera",
                found="null, and no recordings with both a tracker and a usable sparse model to solve it from",
                expected="the hand-eye transform of the sensor on the camera (4 x 4, mm)",
                remedy="calibrate with a checkerboard and write it there, or make recordings that COLMAP can register",
            )
        return None, {}
    observations, names = _observe(solvable, config)
    solution = solve_hand_eye(
        observations,
        [state.name for state in solvable],
        seed=seed,
        known=known_hand_eye(config, []),
        field_correction=config.field_correction,
        max_sigma_mm=config.max_hand_eye_sigma_mm,
    )
    for index, state in enumerate(solvable):
        state.place(solution.scale[index], solution.tracker_from_sfm[index], metric=True)
    if solution.field is not None:
        largest = np.max([state.model_error() for state in solvable], axis=0)
        solution = replace(solution, field=solution.field.with_model_errors(*largest))
    return solution, dict(zip(names, solution.clock_shift_s.tolist()))


def _observe(states: list[GroupState], config: PosesConfig) -> tuple[Observations, list[str]]:
    """The frames with both poses, and the recordings' names in the order of their index."""
    parts, names, clock_sigma_s = [], [], []
    for group_index, state in enumerate(states):
        for recording in state.recordings:
            readings, poses = state.readings[recording.name], state.sfm_from_camera[recording.name]
            if readings is None:
                continue
            both = np.isfinite(readings).all((1, 2)) & np.isfinite(poses).all((1, 2))
            velocity, turn = velocities(recording, "camera")
            group, index = np.full(both.sum(), group_index), np.full(both.sum(), len(names))
            parts.append((readings[both], poses[both], group, index, velocity[both], turn[both]))
            sigma = recording.clock_sigma_s
            sigma = DEFAULT_CLOCK_SIGMA_S if sigma is None else sigma
            clock_sigma_s.append(sigma if config.clock_refinement else 0.0)
            names.append(recording.name)
    return Observations(*(np.concatenate(column) for column in zip(*parts)), np.array(clock_sigma_s)), names


def _camera_columns(
    state: GroupState,
    recording: IngestedRecording,
    hand_eye: np.ndarray | None,
    shift_s: float,
    solution: HandEye | None,
) -> dict[str, np.ndarray]:
    """Camera pose of each kept frame: from the model, else from the tracker; and by how much the two differ."""
    kept = recording.kept
    poses = state.world_from_camera(recording.name)
    from_model = np.isfinite(poses).all((1, 2))
    source = np.where(from_model, state.sfm["source"], "").astype(object)
    residual_mm, residual_deg = np.full((2, len(kept)), np.nan)
    if state.readings[recording.name] is not None and hand_eye is not None:
        readings = readings_at(recording, "camera", shift_s)
        read = np.isfinite(readings).all((1, 2))
        both = from_model & read
        residual_mm[both], residual_deg[both] = pose_difference(poses[both] @ invert(hand_eye), readings[both])
        if state.solvable and solution.field is not None:
            poses[from_model] = solution.field.correct_model(poses[from_model] @ invert(hand_eye)) @ hand_eye
        instead = ~from_model & read
        poses[instead] = (_undistorted(readings, solution) @ hand_eye)[instead]
        source[instead] = "tracker"
    return {
        "frame": kept["frame"].to_numpy(),
        "time_s": kept["time_s"].to_numpy(),
        **pose_columns("world_from_camera", poses),
        "valid": np.isfinite(poses).all((1, 2)),
        "source": source.astype(str),
        "residual_mm": residual_mm,
        "residual_deg": residual_deg,
    }


def _tool_columns(
    recording: IngestedRecording, shift_s: float, solution: HandEye | None, config: PosesConfig
) -> dict[str, np.ndarray]:
    columns = {}
    for tool in recording.tools:
        if recording.role == Role.TOOL and tool == recording.name:
            rest = resting_pose(recording, tool, config.max_static_spread_mm)
            readings = np.broadcast_to(rest, (len(recording.kept), 4, 4))
        else:
            readings = readings_at(recording, tool, shift_s)
        columns |= pose_columns(f"world_from_{tool}_sensor", _undistorted(readings, solution))
    return columns


def _undistorted(readings: np.ndarray, solution: HandEye | None) -> np.ndarray:
    return readings if solution is None or solution.field is None else solution.field.correct_readings(readings)


def _summary(states, tables, solution: HandEye | None, hand_eye, clock_shift_s, config: PosesConfig) -> dict:
    everything = pd.concat(tables.values())
    return {
        "mode": _mode(states, solution),
        "metric": all(state.metric for state in states),
        "camera_sensor_from_camera": None if hand_eye is None else hand_eye.tolist(),
        "hand_eye": {
            "given": config.camera_sensor_from_camera is not None,
            "translation_sigma_mm": solution.translation_sigma_mm.tolist() if solution else None,
            "rotation_sigma_deg": solution.rotation_sigma_deg.tolist() if solution else None,
            "frames": len(solution.inlier) if solution else 0,
            "outliers": int((~solution.inlier).sum()) if solution else 0,
        },
        "field": _field_summary(solution),
        "groups": {
            state.name: {
                "scale": state.scale,
                "world_from_sfm": state.world_from_sfm.tolist(),
                "metric": state.metric,
                "source": state.sfm["source"] if state.registered else "tracker",
                "registered": state.sfm["registered"],
                "frames": state.sfm["frames"],
                "points": len(state.world_points()[0]),
            }
            for state in states
        },
        "recordings": {
            name: {
                "frames": len(table),
                "valid": int(table["valid"].sum()),
                "sources": {key: int(count) for key, count in sorted(table["source"].value_counts().items()) if key},
                "clock_shift_s": clock_shift_s.get(name, 0.0),
                **_statistics(table),
            }
            for name, table in tables.items()
        },
        **_statistics(everything),
    }


def _mode(states: list[GroupState], solution: HandEye | None) -> str:
    if solution is not None:
        return "both"
    if any(state.metric for state in states):
        return "tracker"
    return "given" if all(state.sfm["source"] == "given" for state in states) else "colmap"


def _statistics(table: pd.DataFrame) -> dict:
    """Median, mean and 95th percentile of the residuals; null without any."""
    statistics = {}
    for column in ("residual_mm", "residual_deg"):
        values = table[column].dropna()
        found = (
            {"median": values.median(), "mean": values.mean(), "p95": values.quantile(0.95)} if len(values) else None
        )
        statistics[column] = found and {key: float(value) for key, value in found.items()}
    return statistics


def _field_summary(solution: HandEye | None) -> dict | None:
    if solution is None or solution.field is None:
        return None
    translation, rotation = solution.field.translation_covariance, solution.field.rotation_covariance
    return {
        "model_share": dict(zip(("translation", "rotation"), solution.field.model_share)),
        "translation": {
            "length_mm": translation.length_mm,
            "amplitude_mm": translation.amplitude,
            "noise_mm": translation.noise,
        },
        "rotation": {
            "length_mm": rotation.length_mm,
            "amplitude_deg": float(np.degrees(rotation.amplitude)),
            "noise_deg": float(np.degrees(rotation.noise)),
        },
    }


def _title(summary: dict) -> str:
    if summary["residual_mm"] is None:
        return "No frame has a pose from both the tracker and the images"
    return (
        "Tracker against structure from motion, at the camera's sensor: "
        f"median {summary['residual_mm']['median']:.2f} mm, {summary['residual_deg']['median']:.2f} degrees"
    )

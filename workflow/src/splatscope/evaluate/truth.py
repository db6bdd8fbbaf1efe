"""How far the estimated transforms, poses, clocks and tool placements are from the phantom's truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import trimesh
from scipy.spatial.transform import Rotation

from splatscope.config.evaluate import EvaluateConfig
from splatscope.evaluate.tool_fit import fit_tool_to_mesh
from splatscope.files import read_json, write_json
from splatscope.geometry import (
    fit_similarity,
    invert,
    make_transform,
    pose_difference,
    poses_from_columns,
    quaternion_to_matrix,
)
from splatscope.splats.gaussians import Gaussians, read_ply


@dataclass(frozen=True)
class TruthFiles:
    """The phantom's hidden truth."""

    truth_json: Path
    pose_tables: Mapping[str, Path]  # by recording
    tool_meshes: Mapping[str, Path]  # by tool, in the tool mesh frame, mm


@dataclass(frozen=True)
class EstimatedFiles:
    """What the chain made of the phantom's recordings."""

    poses_json: Path
    pose_tables: Mapping[str, Path]  # by recording
    ingest_jsons: Mapping[str, Path]  # by recording
    tool_splats: Mapping[str, Path]  # by tool, in the frame of the tool's sensor
    extract_jsons: Mapping[str, Path]  # by tool; names the tip


def evaluate_truth(
    estimated: EstimatedFiles, truth: TruthFiles, config: EvaluateConfig, out: str | Path, seed: int = 0
) -> dict:
    """Errors of everything the phantom knows the truth of; written to `out` (JSON) and returned. mm, deg.

    - hand_eye: `camera_sensor_from_camera`, distance of the origins and angle between the rotations; null without one.
    - clock: estimated minus true `clock_offset_s` by recording and the largest absolute one in ms, as ingest estimated
      it and as poses refined it (plus `clock_shift_s`).
    - cameras: by recording, RMS of the position error (ATE) and mean rotation error of the valid frames. Metric poses
      share the truth's world (the tracker's frame) and are compared as they are; poses of free scale are first brought
      onto the truth by the best similarity, and that is said ("aligned").
    - tools: the best rigid fit of the extracted splat to the true mesh, both in the tool sensor's frame (tool_fit.py).
      The error is what this fit has to correct: its rotation angle, and how far it moves the centroid of the fitted
      Gaussians. The centroid lies where the tool was seen, near its working end; at the sensor's origin, far away, a
      rotation error would count twice. The displacement of the tip is stated beside it, and what the poses alone
      misplace ("placement", exact: no fit, whatever the splat's shape): where the true tool comes to lie in the
      estimated sensor's frame when it is carried there by the cameras of its own recording.
    """
    known = read_json(truth.truth_json)
    poses = read_json(estimated.poses_json)
    metric = bool(poses.get("metric", True))
    report = {
        "hand_eye": _hand_eye(poses, known),
        "clock": _clock(estimated, poses, known),
        "cameras": {
            name: _camera_errors(path, truth.pose_tables[name], metric)
            for name, path in sorted(estimated.pose_tables.items())
            if name in truth.pose_tables
        },
        "tools": {
            name: _tool_error(name, path, estimated.extract_jsons.get(name), truth, known, config, seed)
            | {"placement": _placement(name, estimated, truth, known) if metric else None}
            for name, path in sorted(estimated.tool_splats.items())
            if name in truth.tool_meshes
        },
    }
    write_json(out, report)
    return report


def _hand_eye(poses: dict, known: dict) -> dict | None:
    if poses.get("camera_sensor_from_camera") is None:
        return None
    estimated = np.array(poses["camera_sensor_from_camera"], np.float64)
    distance, angle = pose_difference(estimated, np.array(known["camera_sensor_from_camera"], np.float64))
    return {"translation_error_mm": _rounded(distance), "rotation_error_deg": _rounded(angle)}


def _clock(estimated: EstimatedFiles, poses: dict, known: dict) -> dict:
    errors, refined = {}, {}
    for name, path in sorted(estimated.ingest_jsons.items()):
        offset = read_json(path).get("clock_offset_s")
        if offset is not None and name in known["clock_offset_s"]:
            shift = poses.get("recordings", {}).get(name, {}).get("clock_shift_s", 0.0)
            errors[name] = _rounded(1000 * (offset - known["clock_offset_s"][name]))
            refined[name] = _rounded(errors[name] + 1000 * shift)
    return {
        "error_ms": errors,
        "max_abs_error_ms": max(map(abs, errors.values()), default=None),
        "refined_error_ms": refined,
        "max_abs_refined_error_ms": max(map(abs, refined.values()), default=None),
    }


def _camera_errors(path: Path, truth_path: Path, metric: bool) -> dict:
    estimated, true, _ = _matched(path, truth_path)
    if len(estimated) < 3:
        return {"frames": len(estimated), "ate_mm": None, "rotation_error_deg": None, "aligned": not metric}
    if not metric:
        scale, true_from_world = fit_similarity(estimated[:, :3, 3], true[:, :3, 3])
        rotation = true_from_world[:3, :3]
        position = scale * estimated[:, :3, 3] @ rotation.T + true_from_world[:3, 3]
        estimated = make_transform(rotation @ estimated[:, :3, :3], position)
    distance, angle = pose_difference(estimated, true)
    return {
        "frames": len(estimated),
        "ate_mm": _rounded(np.sqrt(np.mean(distance**2))),
        "rotation_error_deg": _rounded(angle.mean()),
        "aligned": not metric,
    }


def _matched(path: Path, truth_path: Path) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """world_from_camera [C, 4, 4] as estimated and as it was in the valid frames, and their rows of the truth."""
    table, true_table = pd.read_parquet(path), pd.read_parquet(truth_path).set_index("frame")
    table = table[table["valid"].to_numpy(bool) & table["frame"].isin(true_table.index).to_numpy()]
    true_table = true_table.loc[table["frame"]]
    estimated, true = (poses_from_columns(rows, "world_from_camera") for rows in (table, true_table))
    finite = np.isfinite(estimated).all((1, 2)) & np.isfinite(true).all((1, 2))
    return estimated[finite], true[finite], true_table[finite]


def _placement(name: str, estimated: EstimatedFiles, truth: TruthFiles, known: dict) -> dict | None:
    """Over the frames of the tool's own recording: the angle of the mean rotation, and the mean way of the tip."""
    files = [files.get(name) for files in (estimated.pose_tables, truth.pose_tables, estimated.extract_jsons)]
    if None in files:
        return None
    cameras, true_cameras, rows = _matched(*files[:2])
    extracted = read_json(files[2])
    if not len(rows) or extracted.get("tip_mm") is None or f"world_from_{name}_qw" not in rows:
        return None
    sensor_from_tool = np.array(known["tool_sensor_from_tool"][name], np.float64)
    true_sensors = poses_from_columns(rows, f"world_from_{name}") @ invert(sensor_from_tool)
    wrong = invert(np.array(extracted["world_from_sensor"])) @ cameras @ invert(true_cameras) @ true_sensors
    tip = np.array(extracted["tip_mm"], np.float64)
    turned = Rotation.from_matrix(wrong[:, :3, :3]).mean().magnitude()
    return {
        "frames": len(wrong),
        "rotation_error_deg": _rounded(np.degrees(turned)),
        "tip_displacement_mm": _rounded(np.linalg.norm(wrong[:, :3, :3] @ tip + wrong[:, :3, 3] - tip, axis=1).mean()),
    }


def _tool_error(
    name: str, splat: Path, extract_json: Path | None, truth: TruthFiles, known: dict, config: EvaluateConfig, seed: int
) -> dict:
    gaussians = read_ply(splat)
    mesh = trimesh.load_mesh(truth.tool_meshes[name], process=False)
    mesh.apply_transform(np.array(known["tool_sensor_from_tool"][name], np.float64))
    try:
        fit = fit_tool_to_mesh(
            gaussians.means.double().numpy(),
            gaussians.opacity_logits.double().sigmoid().numpy(),
            mesh,
            max_distance_mm=config.tool_fit_max_distance_mm,
            shortest_axes=_shortest_axes(gaussians),
            seed=seed,
        )
    except ValueError as error:  # so far off that there is nothing to fit: said, and no number
        return {"translation_error_mm": None, "rotation_error_deg": None, "not_available": str(error)}
    tip = read_json(extract_json).get("tip_mm") if extract_json is not None else None
    return {
        "translation_error_mm": _rounded(fit.displacement_mm(fit.centroid)),
        "rotation_error_deg": _rounded(fit.rotation_deg),
        "tip_displacement_mm": None if tip is None else _rounded(fit.displacement_mm(np.array(tip, np.float64))),
        "measured_at_mm": np.round(fit.centroid, 4).tolist(),
        "depth_mm": _rounded(fit.depth_mm),
        "fit_residual_mm": _rounded(fit.residual_mm),
        "translation_uncertainty_mm": _rounded(fit.uncertainty_mm),
        "rotation_uncertainty_deg": _rounded(fit.uncertainty_deg),
        "gaussians_used": fit.used,
        "gaussians": fit.offered,
        "true_from_estimated": np.round(fit.mesh_from_splat, 9).tolist(),
    }


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _shortest_axes(gaussians: Gaussians) -> np.ndarray:
    """Unit vectors [N, 3] along each Gaussian's smallest extent: the normals of what it covers."""
    axes = quaternion_to_matrix(gaussians.quaternions.numpy())
    return np.take_along_axis(axes, gaussians.log_scales.numpy().argmin(1)[:, None, None], axis=2)[..., 0]

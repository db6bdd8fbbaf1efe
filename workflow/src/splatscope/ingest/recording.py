"""The ingest job: one recording in, its frames, pose table, camera and record out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.ingest import IngestConfig
from splatscope.errors import InputError
from splatscope.files import write_bytes, write_json, write_table
from splatscope.geometry import Camera, pose_columns
from splatscope.images import contact_sheet, encode_jpeg, encode_png, undistort, undistortion_valid
from splatscope.ingest.calibration import Calibration, fit_to_video, is_calibration_file, read_calibration
from splatscope.ingest.checkerboard import HandEye, calibrate_checkerboard, calibrate_hand_eye_from_checkerboard
from splatscope.ingest.clock import ClockOffset, estimate_clock_offset
from splatscope.ingest.frames import Survey, choose_frames, count_reasons, survey_frames
from splatscope.ingest.static_mask import find_border, read_mask
from splatscope.ingest.tracker_log import TrackerLog
from splatscope.ingest.trackers import read_tracker_log
from splatscope.ingest.video import list_images, read_frames
from splatscope.recordings import Recording, Role
from splatscope.shards import Frame, write_shard

THUMBNAILS, THUMBNAIL_COLUMNS = 24, 6


@dataclass(frozen=True)
class IngestOutputs:
    """Where the results of one recording go."""

    frames: Path  # frames.tar; its manifest lies beside it
    table: Path  # frames.parquet
    camera: Path  # camera.json
    valid: Path  # valid.png
    record: Path  # ingest.json
    thumbnails: Path  # thumbnails.jpg


def ingest_recording(
    recording: Recording, config: IngestConfig, outputs: IngestOutputs, *, seed: int = 0, provenance: dict | None = None
) -> dict:
    """Turn a recording into kept frames (undistorted when calibrated), a table of all frames, and a record.

    Returns the record that is also written to `outputs.record`. Raises InputError for anything that cannot be used.
    """
    log = require_log(recording, config)
    fixed_offset = config.clock_offset_s.get(recording.name)
    survey = survey_frames(
        read_frames(recording.video, config.folder_fps),
        config.duplicate_difference,
        with_motion=log is not None and fixed_offset is None,
    )
    calibration, hand_eye = _calibrate(recording, config, survey.size, seed)
    camera = calibration.camera if calibration else None
    clock = _clock(recording, config, survey, log, camera, seed) if log else None
    columns, has_pose, tools = _poses(recording, config, survey.time_s, log, clock)
    reason = choose_frames(
        survey,
        has_pose,
        config.max_frames[recording.role],
        config.min_sharpness_ratio,
        config.sharpness_window_s,
    )
    counts = count_reasons(reason)
    if counts["kept"] < 2:
        raise _too_few(recording, counts, survey, log, clock)
    usable = _usable_pixels(config, survey)
    thumbnails: list[np.ndarray] = []
    write_shard(outputs.frames, _kept_frames(recording, config, survey, reason, camera, thumbnails), provenance)
    kept = reason == ""
    files = [path.name for path in list_images(recording.video)] if recording.video.is_dir() else [""] * len(kept)
    table = {"frame": np.arange(len(kept)), "file": files, "time_s": survey.time_s, "kept": kept}
    table["reason"] = reason.astype(str)
    write_table(outputs.table, pd.DataFrame(table | {"sharpness": survey.sharpness} | columns))
    write_json(outputs.camera, {"camera": camera.undistorted().to_dict() if camera else None})
    valid = usable if camera is None else (undistort(_mask_image(usable), camera) == 255) & undistortion_valid(camera)
    write_bytes(outputs.valid, encode_png(_mask_image(valid)))
    write_bytes(outputs.thumbnails, encode_jpeg(contact_sheet(thumbnails, THUMBNAIL_COLUMNS)))
    record = {
        "recording": recording.name,
        "role": recording.role.value,
        "video": {
            "width": survey.size[0],
            "height": survey.size[1],
            "duration_s": round(float(survey.time_s[-1] - survey.time_s[0]), 6),
            "fps": round(float(1 / np.median(np.diff(survey.time_s))), 3),
        },
        "frames": counts,
        "clock_offset_s": clock.offset_s if clock else None,
        "clock_offset_uncertainty_s": clock.uncertainty_s if clock else None,
        "clock_offset_reliable": clock.reliable if clock else None,
        "clock_offset_source": None if clock is None else "estimated" if fixed_offset is None else "config",
        "clock_r_squared": clock.r_squared if clock and fixed_offset is None else None,
        "tracker": log.statistics() if log else None,
        "tools": tools,
        "calibration": _calibration_record(calibration),
        "hand_eye": {"checkerboard": _hand_eye_record(hand_eye), "epipolar": _epipolar_record(clock)},
        "static_mask": {"mode": _mask_mode(config), "usable_share": round(float(valid.mean()), 6)},
        "warnings": _warnings(recording, config, log, clock, tools),
    }
    write_json(outputs.record, record)
    return record


def read_log(file: str | Path, config: IngestConfig) -> TrackerLog:
    """The tracker log in the config's unit and rate."""
    return read_tracker_log(file, unit=config.tracker_unit, rate_hz=config.tracker_rate_hz)


def require_log(recording: Recording, config: IngestConfig) -> TrackerLog | None:
    """The tracker log with every sensor that this recording needs, or None when it has no log."""
    if recording.tracker is None:
        return None
    log = read_log(recording.tracker, config)
    log.require(config.camera_sensor, "ingest.camera_sensor")
    if recording.role is Role.TOOL:
        key = f"ingest.tool_sensors.{recording.name}"
        if recording.name not in config.tool_sensors:
            raise InputError(
                log.file,
                key,
                found=f"no sensor named for the tool recording {recording.name!r}",
                expected=f"the sensor on the tool, one of {', '.join(map(repr, log.tracker_from_sensor))}",
                remedy=f"add {key} to the config, or rename the recording to its tool",
            )
        log.require(config.tool_sensors[recording.name], key)
    return log


def _calibrate(
    recording: Recording, config: IngestConfig, size: tuple[int, int], seed: int
) -> tuple[Calibration | None, HandEye | None]:
    source = recording.calibration
    if source is None:
        return None, None
    if is_calibration_file(source):
        return fit_to_video(read_calibration(source), *size, source, recording.video), None
    corners, square_mm = config.checkerboard_corners, config.checkerboard_square_mm
    board = calibrate_checkerboard(source, corners, square_mm, config.folder_fps)
    calibration = fit_to_video(board.calibration(), *size, source, recording.video)
    if not config.checkerboard_tracker:
        return calibration, None
    log = read_log(config.checkerboard_tracker, config)
    name = Path(source).stem
    offset = config.clock_offset_s.get(name)
    if offset is None:
        offset = estimate_clock_offset(
            board.motion,
            log,
            config.camera_sensor,
            camera=board.camera,
            search_s=config.clock_search_s,
            min_r_squared=config.clock_min_r_squared,
            video=str(source),
            recording=name,
            seed=seed,
        ).offset_s
    hand_eye = calibrate_hand_eye_from_checkerboard(board, log, config.camera_sensor, offset, config.max_gap_s, source)
    return calibration, hand_eye


def _clock(
    recording: Recording, config: IngestConfig, survey: Survey, log: TrackerLog, camera: Camera | None, seed: int
) -> ClockOffset:
    fixed = config.clock_offset_s.get(recording.name)
    if fixed is not None:
        return ClockOffset(fixed, 0.0, 1.0, True)
    return estimate_clock_offset(
        survey.motion,
        log,
        config.camera_sensor,
        camera=camera,
        search_s=config.clock_search_s,
        min_r_squared=config.clock_min_r_squared,
        video=str(recording.video),
        recording=recording.name,
        seed=seed,
    )


def _poses(
    recording: Recording, config: IngestConfig, time_s: np.ndarray, log: TrackerLog | None, clock: ClockOffset | None
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Pose columns of the camera sensor and the tools at the video's times, which frames have a pose, the tools."""
    if log is None:
        return {}, np.ones(len(time_s), bool), []
    tools = _tools_of(recording, config, log)
    sensors = {"tracker_from_camera_sensor": config.camera_sensor}
    sensors |= {f"tracker_from_{tool}_sensor": config.tool_sensors[tool] for tool in tools}
    columns: dict[str, np.ndarray] = {}
    has_pose = None
    for name, sensor in sensors.items():
        poses = log.poses_at(sensor, time_s + clock.offset_s, config.max_gap_s)
        columns |= pose_columns(name, poses)
        if has_pose is None:
            has_pose = np.isfinite(poses).all((1, 2))
    return columns, has_pose, tools


def _tools_of(recording: Recording, config: IngestConfig, log: TrackerLog) -> list[str]:
    """Tools whose sensor this log saw: its own for a tool recording, every configured one in a scene."""
    if recording.role is Role.TOOL:
        return [recording.name]
    if recording.role is Role.BACKGROUND:
        return []
    seen = [name for name in log.tracker_from_sensor if log.valid(name).sum() >= 2]
    return sorted(tool for tool, sensor in config.tool_sensors.items() if sensor in seen)


def _usable_pixels(config: IngestConfig, survey: Survey) -> np.ndarray:
    """bool [H, W] in the video as it was recorded."""
    mode = _mask_mode(config)
    if mode == "none":
        return np.ones(survey.brightest.shape, bool)
    if mode == "auto":
        return find_border(survey.brightest)
    return read_mask(config.static_mask, *survey.size)


def _kept_frames(
    recording: Recording,
    config: IngestConfig,
    survey: Survey,
    reason: np.ndarray,
    camera: Camera | None,
    thumbnails: list[np.ndarray],
) -> Iterator[Frame]:
    """The kept frames, decoded a second time; fills `thumbnails` on the way."""
    kept = np.flatnonzero(reason == "")
    shown = set(kept[np.linspace(0, len(kept) - 1, min(THUMBNAILS, len(kept))).astype(int)])
    last = kept[-1]
    for frame in read_frames(recording.video, config.folder_fps):
        if frame.index > last:
            break
        if reason[frame.index] != "":
            continue
        rgb = undistort(frame.rgb, camera) if camera else frame.rgb
        if frame.index in shown:
            thumbnails.append(rgb)
        yield Frame(f"{frame.index:06d}", rgb, {"frame": frame.index, "time_s": float(survey.time_s[frame.index])})


def _too_few(recording: Recording, counts: dict, survey: Survey, log, clock) -> InputError:
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count and reason != "total")
    found = f"{counts['kept']} of {counts['total']} frames usable ({left_out or 'none'})"
    if log is not None and counts["no_pose"]:
        found += (
            f"; video {survey.time_s[0] + clock.offset_s:.2f} to {survey.time_s[-1] + clock.offset_s:.2f} s and "
            f"log {log.time_s[0]:.2f} to {log.time_s[-1]:.2f} s of the tracker's clock"
        )
    return InputError(
        recording.video,
        found=found,
        expected="at least 2 usable frames",
        remedy="give the tracker log of this video, set ingest.clock_offset_s, or raise ingest.max_gap_s "
        "when poses lack; else record again with the camera moving",
    )


def _warnings(recording: Recording, config: IngestConfig, log, clock, tools: list[str]) -> list[str]:
    warnings = []
    if clock is not None and not clock.reliable:
        warnings.append(
            f"the clock offset is uncertain (+-{1000 * clock.uncertainty_s:.0f} ms, "
            f"{100 * clock.r_squared:.0f} % of the image motion explained): move the camera more, or set "
            f"ingest.clock_offset_s.{recording.name}"
        )
    if log is not None and recording.role in (Role.SCENE, Role.TEST):
        lacking = sorted(set(config.tool_sensors) - set(tools))
        if lacking:
            warnings.append(f"the tracker log has no valid pose of the tools {', '.join(lacking)}")
    if log is not None and log.cut_rows:
        warnings.append("the tracker log's last row is cut off and was left out")
    return warnings


def _calibration_record(calibration: Calibration | None) -> dict | None:
    if calibration is None:
        return None
    return {
        "source": calibration.source,
        "reprojection_error_px": calibration.reprojection_error_px,
        "scaled_from": list(calibration.scaled_from) if calibration.scaled_from else None,
    }


def _hand_eye_record(hand_eye: HandEye | None) -> dict | None:
    if hand_eye is None:
        return None
    return {
        "camera_sensor_from_camera": hand_eye.camera_sensor_from_camera.tolist(),
        "residual_mm": hand_eye.residual_mm,
        "residual_deg": hand_eye.residual_deg,
        "views": hand_eye.views,
    }


def _epipolar_record(clock: ClockOffset | None) -> dict | None:
    if clock is None or clock.refined is None:
        return None
    return {
        "camera_sensor_from_camera": clock.refined.camera_sensor_from_camera.tolist(),
        "inlier_share": clock.refined.inlier_share,
        "residual_px": clock.refined.residual_px,
        "distinctness": clock.refined.distinctness,
    }


def _mask_mode(config: IngestConfig) -> str:
    return config.static_mask if config.static_mask in ("none", "auto") else "file"


def _mask_image(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255

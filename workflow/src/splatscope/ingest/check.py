"""Cheap checks of a recording's files, to be made before any job starts."""

from __future__ import annotations

from splatscope.config.ingest import IngestConfig
from splatscope.errors import InputError
from splatscope.ingest.calibration import fit_to_video, is_calibration_file, read_calibration
from splatscope.ingest.recording import read_log, require_log
from splatscope.ingest.static_mask import read_mask
from splatscope.ingest.video import first_frame
from splatscope.recordings import Recording


def validate_recording(recording: Recording, config: IngestConfig) -> None:
    """Raise InputError unless the video opens, the whole tracker log reads and names the sensors, and the calibration
    fits the video. The video is not decoded to its end: that a file is cut short is found by `ingest_recording`.
    """
    height, width = first_frame(recording.video, config.folder_fps).rgb.shape[:2]
    require_log(recording, config)
    source = recording.calibration
    if source is not None and is_calibration_file(source):
        fit_to_video(read_calibration(source), width, height, source, recording.video)
    elif source is not None:
        first_frame(source, config.folder_fps)
        if config.checkerboard_tracker:
            log = read_log(config.checkerboard_tracker, config)
            log.require(config.camera_sensor, "ingest.camera_sensor")
    if config.static_mask not in ("none", "auto"):
        read_mask(config.static_mask, width, height)
    if recording.poses is not None and not recording.poses.exists():
        raise InputError(
            recording.poses, found="no such file or folder", expected="known camera poses", remedy="correct the path"
        )

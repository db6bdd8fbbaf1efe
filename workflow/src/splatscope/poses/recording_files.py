"""What the poses stage reads of an ingested recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.poses import PosesConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera, poses_from_columns
from splatscope.recordings import Recording, Role


@dataclass(frozen=True)
class IngestedRecording:
    """The files that ingest made of one recording, and the poses the user brought for it."""

    name: str
    role: Role
    frames: Path  # frames.tar
    table: Path  # frames.parquet, every video frame
    camera: Path  # camera.json
    valid_mask: Path  # valid.png
    summary: Path  # ingest.json
    given_poses: Path | None = None  # a COLMAP model folder or a nerfstudio transforms.json

    @classmethod
    def in_folder(cls, recording: Recording, folder: Path) -> IngestedRecording:
        """What ingest wrote of `recording` into `folder`."""
        files = ("frames.tar", "frames.parquet", "camera.json", "valid.png", "ingest.json")
        return cls(recording.name, recording.role, *(folder / file for file in files), recording.poses)

    @cached_property
    def all_frames(self) -> pd.DataFrame:
        """Every video frame, in order."""
        table = pd.read_parquet(self.table)
        missing = {"frame", "time_s", "kept"} - set(table.columns)
        if missing:
            raise InputError(
                self.table,
                found=f"no column {', '.join(sorted(missing))}",
                expected="the frame table that ingest writes",
                remedy="delete it and run the same command again",
            )
        return table

    @cached_property
    def kept(self) -> pd.DataFrame:
        """The kept frames, in order."""
        table = self.all_frames
        return table[table["kept"]].reset_index(drop=True)

    @property
    def keys(self) -> list[str]:
        """Shard keys of the kept frames."""
        return [f"{frame:06d}" for frame in self.kept["frame"]]

    @property
    def image_names(self) -> list[str]:
        """Names of the kept frames in a COLMAP model."""
        return [f"{self.name}/{key}.png" for key in self.keys]

    @cached_property
    def calibration(self) -> Camera | None:
        """The calibrated, undistorted camera; None when the recording has no calibration."""
        content = read_json(self.camera)["camera"]
        return None if content is None else Camera.from_dict(content)

    @property
    def clock_sigma_s(self) -> float | None:
        """Standard deviation of the clock offset that ingest estimated, in seconds; None when it states none."""
        return read_json(self.summary).get("clock_offset_uncertainty_s")

    @property
    def checkerboard_hand_eye(self) -> np.ndarray | None:
        """`camera_sensor_from_camera` [4, 4] that ingest found with a tracked checkerboard."""
        found = read_json(self.summary)["hand_eye"]["checkerboard"]
        return None if found is None else np.array(found["camera_sensor_from_camera"])

    @property
    def tools(self) -> list[str]:
        """Tools whose sensors the tracker log has, by name."""
        prefix, suffix = "tracker_from_", "_sensor_qw"
        names = [column[len(prefix) : -len(suffix)] for column in self.all_frames if column.endswith(suffix)]
        return [name for name in names if name != "camera"]

    def tracker_from_camera_sensor(self) -> np.ndarray | None:
        """Readings [kept frames, 4, 4] of the sensor on the camera, NaN where invalid; None without a tracker."""
        if "tracker_from_camera_sensor_qw" not in self.kept:
            return None
        readings = poses_from_columns(self.kept, "tracker_from_camera_sensor")
        return readings if np.isfinite(readings).any() else None


def known_hand_eye(config: PosesConfig, recordings: list[IngestedRecording]) -> np.ndarray | None:
    """`camera_sensor_from_camera` [4, 4] from the config, else from the first recording that has a checkerboard's."""
    if config.camera_sensor_from_camera is not None:
        return np.array(config.camera_sensor_from_camera)
    found = (recording.checkerboard_hand_eye for recording in recordings)
    return next((transform for transform in found if transform is not None), None)

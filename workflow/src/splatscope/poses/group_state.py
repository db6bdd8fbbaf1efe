"""A group of recordings on its way from its sparse model into the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera, apply, invert
from splatscope.poses.colmap_import import SparseModel, read_colmap
from splatscope.poses.recording_files import IngestedRecording


@dataclass(frozen=True)
class ReconstructedGroup:
    """A group of recordings and the folder with its sparse model and sfm.json."""

    name: str
    recordings: list[IngestedRecording]
    model: Path


class GroupState:
    """The sparse model of a group, its tracker readings, and where its model stands in the world."""

    def __init__(self, group: ReconstructedGroup, use_tracker: bool):
        self.name, self.recordings = group.name, sorted(group.recordings, key=lambda recording: recording.name)
        self.sfm = read_json(group.model / "sfm.json")
        self.model: SparseModel = read_colmap(group.model)
        self.registered = dict.fromkeys(self.model.image_names) if self.sfm["usable"] else {}
        sfm_from_camera = dict(zip(self.registered, invert(self.model.camera_from_world)))
        unknown = np.full((4, 4), np.nan)
        # by recording, [kept frames, 4, 4], NaN where the model lacks the frame
        self.sfm_from_camera = {
            recording.name: np.stack([sfm_from_camera.get(name, unknown) for name in recording.image_names])
            for recording in self.recordings
        }
        # by recording, [kept frames, 4, 4] or None without a tracker
        self.readings = {
            recording.name: recording.tracker_from_camera_sensor() if use_tracker else None
            for recording in self.recordings
        }
        self.scale, self.world_from_sfm, self.metric = 1.0, np.eye(4), False
        if not self.registered and not self.has_tracker:
            raise InputError(
                group.model / "sfm.json",
                f"group {group.name}",
                found=f"{self.sfm['registered']} of {self.sfm['frames']} frames with a pose, and no tracker",
                expected="a usable sparse model",
                remedy="set poses.use_tracker to true if there is a tracker log, or record with more overlap",
            )

    @property
    def has_tracker(self) -> bool:
        return any(readings is not None for readings in self.readings.values())

    @property
    def solvable(self) -> bool:
        """Whether tracker and a model of another origin meet here, so that they can be aligned."""
        return self.has_tracker and bool(self.registered) and self.sfm["source"] != "tracker"

    def place(self, scale: float, world_from_sfm: np.ndarray, metric: bool) -> None:
        """Say where the model stands: world = world_from_sfm @ (scale * model)."""
        self.scale, self.world_from_sfm, self.metric = float(scale), world_from_sfm, metric

    def world_from_camera(self, recording: str) -> np.ndarray:
        """[kept frames, 4, 4] from the sparse model, NaN where it has none."""
        poses = self.sfm_from_camera[recording].copy()
        poses[:, :3, 3] *= self.scale
        return self.world_from_sfm @ poses

    def world_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, 3] in the world and colours uint8 [N, 3]."""
        if not self.registered:
            return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
        return apply(self.world_from_sfm, self.model.points * self.scale), self.model.colors

    def typical_distance(self) -> float:
        """Median distance from camera centres to the middle of the points, in units of the model."""
        centres = np.concatenate(list(self.sfm_from_camera.values()))[:, :3, 3]
        centres = centres[np.isfinite(centres).all(1)]
        middle = np.median(self.model.points, axis=0) if len(self.model.points) else centres.mean(0)
        return float(np.median(np.linalg.norm(centres - middle, axis=1))) or 1.0

    def model_error(self) -> tuple[float, float]:
        """How far camera poses of the model may be off, mm (once placed) and radians: 0 where nothing tells.

        Errors of the model that change slowly along the path look like a field distortion. What bounds them is the
        reprojection error, seen as an angle, and that angle at the scene's distance.
        """
        pixels = self.sfm.get("mean_reprojection_error_px")
        if not pixels:
            return 0.0, 0.0
        angle = pixels / next(iter(self.model.cameras.values())).fx
        return angle * self.typical_distance() * self.scale, angle

    def camera_of(self, recording: IngestedRecording) -> Camera:
        """The recording's camera: as structure from motion left it, else as calibrated."""
        for image, camera in zip(self.model.image_names, self.model.image_cameras):
            if image.startswith(f"{recording.name}/"):
                return self.model.cameras[camera]
        if recording.calibration is None:
            raise InputError(
                recording.camera,
                found="no calibration, and no frame of this recording in the sparse model to estimate it from",
                expected="either",
                remedy=f"give recording {recording.name} a calibration in recordings.tsv",
            )
        return recording.calibration

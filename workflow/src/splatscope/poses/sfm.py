"""Structure from motion over a group of recordings, by COLMAP, or from poses that are known already.

The sparse model of a group holds all its registered frames under the names `<recording>/<key>.png`.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from splatscope.config.poses import SfmConfig
from splatscope.errors import InputError
from splatscope.files import atomic_path, write_json
from splatscope.geometry import Camera, invert
from splatscope.poses.known_views import KnownViews, load_known_views, match_frames, shared_camera
from splatscope.poses.pairs import pairs_by_pose
from splatscope.poses.recording_files import IngestedRecording
from splatscope.recordings import Role

MODEL_FILES = ("cameras.bin", "images.bin", "points3D.bin")


def reconstruct_group(
    recordings: list[IngestedRecording],
    config: SfmConfig,
    seed: int,
    output_folder: str | Path,
    *,
    camera_sensor_from_camera: np.ndarray | None = None,
) -> dict:
    """Make the sparse model of all kept frames of `recordings`; returns the content of sfm.json.

    Background and tool recordings build the model; scene and test recordings, in which tools move, are placed in it
    frame by frame (all build it when there is no background recording, or another camera took it).

    Writes cameras.bin, images.bin, points3D.bin and sfm.json into `output_folder`. World of the model: COLMAP's own
    (no unit), that of the given poses, or the tracker's (mm) when `config.source` is "tracker"; that one needs
    `camera_sensor_from_camera` [4, 4], mm, or a recording whose camera ingest calibrated with a tracked checkerboard.

    Raises InputError when too few frames get a pose and there is no tracker that could stand in.
    """
    recordings = sorted(recordings, key=lambda recording: recording.name)
    known, source = _known_poses(recordings, config, camera_sensor_from_camera)
    with tempfile.TemporaryDirectory(prefix="splatscope_sfm_") as temporary:
        folder = Path(temporary)
        job = _describe_job(recordings, config, seed, folder, known)
        if source != "colmap":
            _check_registered(recordings, config, source, job["poses"])
        statistics = _run_colmap(job, folder)
        registered = statistics.pop("registered_images")
        counts = {
            recording.name: {
                "frames": len(recording.keys),
                "registered": len(set(recording.image_names) & set(registered)),
            }
            for recording in recordings
        }
        usable = _check_registered(recordings, config, source, registered)
        for name in MODEL_FILES:
            with atomic_path(Path(output_folder) / name) as target:
                if registered:
                    shutil.copyfile(folder / "output" / name, target)
                else:
                    target.write_bytes(struct.pack("<Q", 0))
    summary = {
        "source": source,
        "usable": usable,
        "recordings": counts,
        "frames": sum(count["frames"] for count in counts.values()),
        "registered": len(registered),
        "given_files": _given_counts(recordings, source),
        **statistics,
    }
    write_json(Path(output_folder) / "sfm.json", summary)
    return summary


def _known_poses(recordings, config, camera_sensor_from_camera) -> tuple[dict[str, np.ndarray] | None, str]:
    """`world_from_camera` by image name where poses are known without COLMAP, and where they are from."""
    given = [recording for recording in recordings if recording.given_poses is not None]
    if config.source == "tracker":
        calibrated = (recording.checkerboard_hand_eye for recording in recordings)
        if camera_sensor_from_camera is None:
            camera_sensor_from_camera = next((transform for transform in calibrated if transform is not None), None)
        if camera_sensor_from_camera is None:
            raise InputError(
                "config",
                "poses.camera_sensor_from_camera",
                found="null",
                expected="the hand-eye transform (4 x 4, mm), because sfm.source is 'tracker'",
                remedy="write it there (from a checkerboard calibration), or set sfm.source to 'auto'",
            )
        poses = {}
        for recording in recordings:
            readings = recording.tracker_from_camera_sensor()
            if readings is None:
                raise InputError(
                    recording.table,
                    found="no reading of a sensor on the camera",
                    expected="tracker poses for every frame, because sfm.source is 'tracker'",
                    remedy="give this recording a tracker log, or set sfm.source to 'auto'",
                )
            valid = np.isfinite(readings).all((1, 2))
            names = recording.image_names
            poses |= {names[i]: readings[i] @ np.asarray(camera_sensor_from_camera) for i in np.flatnonzero(valid)}
        return poses, "tracker"
    if config.source == "colmap" or not given:
        return None, "colmap"
    if len(given) < len(recordings) or len({recording.given_poses for recording in given}) > 1:
        without = [recording.name for recording in recordings if recording.given_poses is None]
        raise InputError(
            given[0].given_poses,
            f"recordings {', '.join(recording.name for recording in recordings)}",
            found=f"no poses for {', '.join(without)}" if without else "several poses files",
            expected="one poses file for all recordings of the site, because they must share one world",
            remedy="give the same file for all of them in recordings.tsv, or write '-' for all",
        )
    views = load_known_views(given[0].given_poses)
    poses = {}
    for recording in recordings:
        poses |= {f"{recording.name}/{key}.png": pose for key, pose in match_frames(views, recording).items()}
    return poses, "given"


def _given_counts(recordings: list[IngestedRecording], source: str) -> dict | None:
    if source != "given":
        return None
    views = load_known_views(recordings[0].given_poses)
    matched = sum(len(match_frames(views, recording)) for recording in recordings)
    return {"listed": len(views.views), "matched": matched, "without_frame": len(views.views) - matched}


def _describe_job(recordings, config: SfmConfig, seed: int, folder: Path, known) -> dict:
    """Lay out the images and return what colmap_process needs to know."""
    images, output = folder / "images", folder / "output"
    output.mkdir()
    given = recordings[0].given_poses is not None and config.source != "colmap"
    views = load_known_views(recordings[0].given_poses) if given and known is not None else None
    described = []
    for recording in recordings:
        size = _extract_images(recording, images / recording.name)
        camera, model = _camera_of(recording, config, views, *size)
        described.append(
            {
                "image_names": recording.image_names,
                "mask": str(recording.valid_mask) if recording.valid_mask.exists() else "",
                "camera_model": model,
                "camera_params": _camera_params(camera, model) if camera else [],
                "camera_identity": repr(camera) if camera else f"unknown {size}",
            }
        )
    builds = _builders(recordings, [recording["camera_identity"] for recording in described], known)
    for recording, building in zip(described, builds):
        recording["builds"] = building
    unknown = any(not recording["camera_params"] for recording in described)
    return {
        "folder": str(folder),
        "images": str(images),
        "output": str(output),
        "seed": seed,
        "recordings": described,
        "poses": None if known is None else {name: invert(pose)[:3].tolist() for name, pose in sorted(known.items())},
        "pairs": _pairs(recordings, builds, config, known),
        "neighbours": config.neighbours,
        "exhaustive_limit": config.exhaustive_limit,
        "max_features": config.max_features,
        "first_octave": config.first_octave,
        "peak_threshold": config.peak_threshold,
        "refine_intrinsics": config.refine_intrinsics or unknown,
    }


def _extract_images(recording: IngestedRecording, folder: Path) -> tuple[int, int]:
    """Copy the PNG members of the recording's shard into `folder`, undecoded; returns width and height."""
    folder.mkdir(parents=True)
    wanted = set(recording.keys)
    size = None
    with tarfile.open(recording.frames) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            if suffix == "rgb.png" and key in wanted:
                content = tar.extractfile(member).read()
                size = size or struct.unpack(">II", content[16:24])  # the IHDR chunk comes first
                (folder / f"{key}.png").write_bytes(content)
                wanted.remove(key)
    if wanted or size is None:
        raise InputError(
            recording.frames,
            found=f"no image of frame {min(wanted, default='?')}",
            expected="the kept frames of frames.parquet",
            remedy="delete both and run the same command again",
        )
    return size


def _camera_of(
    recording: IngestedRecording, config: SfmConfig, views: KnownViews | None, width: int, height: int
) -> tuple[Camera | None, str]:
    """The known camera and its COLMAP model; (None, model to estimate) when it is unknown."""
    if recording.calibration is not None:
        return recording.calibration.scaled(width, height), "PINHOLE"
    if views is not None:
        camera = shared_camera(views, width, height)
        if camera is None:
            raise InputError(
                views.file,
                found="no intrinsics",
                expected="fl_x, fl_y, cx, cy, w, h, because the recording has no calibration",
                remedy="add them, or give the recording a calibration",
            )
        return camera, "PINHOLE" if not camera.distortion else "OPENCV" if len(
            camera.distortion
        ) == 4 else "FULL_OPENCV"
    if config.source == "tracker":
        raise InputError(
            recording.camera,
            found="no calibration",
            expected="a calibrated camera, because sfm.source is 'tracker'",
            remedy="give the recording a calibration, or set sfm.source to 'auto'",
        )
    return None, config.camera_model


def _camera_params(camera: Camera, model: str) -> list[float]:
    distortion = list(camera.distortion)
    length = {"PINHOLE": 0, "OPENCV": 4, "FULL_OPENCV": 8}[model]
    return [camera.fx, camera.fy, camera.cx, camera.cy, *distortion, *[0.0] * (length - len(distortion))]


def _builders(recordings: list[IngestedRecording], cameras: list[str], known) -> list[bool]:
    """Which recordings build the model; the others, in which tools move, are only placed in it.

    A moving tool bends a model that is built with it: on the phantom by millimetres.
    """
    still = [recording.role in (Role.BACKGROUND, Role.TOOL) for recording in recordings]
    built_cameras = {camera for camera, builds in zip(cameras, still) if builds}
    if known is not None or not set(cameras) <= built_cameras:
        return [True] * len(recordings)
    return still


def _pairs(recordings, builds: list[bool], config: SfmConfig, known) -> list | None:
    """Image pairs to match, from the poses where there are any; None leaves the choice to the images' appearance."""
    names = [name for recording in recordings for name in recording.image_names]
    if len(names) <= config.exhaustive_limit:
        return None
    if known is not None:
        poses = np.stack([known.get(name, np.full((4, 4), np.nan)) for name in names])
    else:
        readings = [recording.tracker_from_camera_sensor() for recording in recordings]
        if any(reading is None for reading in readings):
            return None
        poses = np.concatenate(readings)
    builds = np.repeat(builds, [len(recording.keys) for recording in recordings])
    return pairs_by_pose(poses, builds, config.neighbours).tolist()


def _run_colmap(job: dict, folder: Path) -> dict:
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(job))
    command = [sys.executable, "-m", "splatscope.poses.colmap_process", str(job_file)]
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    run = subprocess.run(command, check=False, env=os.environ | one_thread)
    result = folder / "output" / "statistics.json"
    if run.returncode != 0 or not result.exists():
        raise RuntimeError(f"COLMAP ended with exit status {run.returncode}; its messages stand above")
    return json.loads(result.read_text())


def _check_registered(recordings, config: SfmConfig, source: str, registered) -> bool:
    """Whether enough frames have a pose. Raises InputError when not, unless every recording has a tracker."""
    total = sum(len(recording.keys) for recording in recordings)
    needed = max(config.min_registered_frames, int(np.ceil(config.min_registered_fraction * total)))
    lost = [recording.name for recording in recordings if len(set(recording.image_names) & set(registered)) < 3]
    if len(registered) >= needed and not lost:
        return True
    tracked = all(recording.tracker_from_camera_sensor() is not None for recording in recordings)
    if source == "colmap" and tracked:
        return len(registered) >= needed
    names = ", ".join(recording.name for recording in recordings)
    which = f", fewer than 3 of {', '.join(lost)}" if len(registered) >= needed else ""
    raise InputError(
        recordings[0].given_poses if source == "given" else recordings[0].frames,
        f"recordings {names}",
        found=f"{len(registered)} of {total} frames with a pose ({_WHERE_FROM[source]}){which}",
        expected=f"at least {needed} (sfm.min_registered_frames, sfm.min_registered_fraction)",
        remedy=_REMEDY[source],
    )


_WHERE_FROM = {"colmap": "COLMAP", "given": "the given poses", "tracker": "the tracker"}
_REMEDY = {
    "colmap": "record slower, nearer and with more overlap; or try sfm.first_octave -1, a lower sfm.peak_threshold and "
    "more sfm.max_features; or give a tracker log, or known poses in the column `poses`",
    "given": "give a poses file that has more of these frames, or write '-' in the column `poses` to run COLMAP",
    "tracker": "check the tracker log: most of its readings are missing or invalid",
}

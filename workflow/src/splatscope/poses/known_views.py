"""Camera poses that the user brings: what the two import formats have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from splatscope.errors import InputError
from splatscope.geometry import Camera
from splatscope.poses.recording_files import IngestedRecording

ORTHONORMAL_TOLERANCE = 1e-3


@dataclass(frozen=True)
class KnownView:
    """One image of a poses file."""

    name: str  # image file, as the poses file names it
    world_from_camera: np.ndarray  # [4, 4], OpenCV camera axes, unit of the poses file
    camera: Camera | None  # None where the file states no intrinsics


@dataclass(frozen=True)
class KnownViews:
    """A poses file."""

    file: Path
    views: list[KnownView]


def load_known_views(path: str | Path) -> KnownViews:
    """Read a COLMAP model folder or a nerfstudio transforms.json. Raises InputError."""
    from splatscope.poses.colmap_import import import_colmap
    from splatscope.poses.transforms_import import import_transforms

    path = Path(path)
    if not path.exists():
        raise InputError(
            path,
            found="no such file or folder",
            expected="a COLMAP model folder or a nerfstudio transforms.json",
            remedy="correct the column `poses` of recordings.tsv, or write '-' there",
        )
    return import_colmap(path) if path.is_dir() else import_transforms(path)


def match_frames(known: KnownViews, recording: IngestedRecording) -> dict[str, np.ndarray]:
    """`world_from_camera` [4, 4] by frame key, for the kept frames whose image file the poses file names.

    Images are matched by file name without folder; frames of a video by the six-digit frame index as file stem
    (`000012.png`). Raises InputError when a name occurs twice or no frame matches.
    """
    poses: dict[str, np.ndarray] = {}
    for view in known.views:
        name = PurePosixPath(view.name.replace("\\", "/")).name
        if name in poses:
            raise InputError(
                known.file,
                f"image {view.name}",
                found=f"the file name {name} twice",
                expected="file names that differ without their folders",
                remedy="keep one recording per poses file",
            )
        poses[name] = view.world_from_camera
    files = recording.kept["file"] if "file" in recording.kept else [""] * len(recording.kept)
    if not any(files):
        stems = {PurePosixPath(name).stem: pose for name, pose in poses.items()}
        matched = {key: stems[key] for key in recording.keys if key in stems}
    else:
        matched = {key: poses[file] for key, file in zip(recording.keys, files) if file in poses}
    if not matched:
        example = next((file for file in files if file), f"{recording.keys[0]}.png" if recording.keys else "none")
        raise InputError(
            known.file,
            found=f"{len(poses)} images such as {next(iter(poses))}, none of them in recording {recording.name}",
            expected=f"images of this recording, such as {example}",
            remedy="give the poses of these images, or rename them alike (frames of a video: 000000.png, ..)",
        )
    return matched


def shared_camera(known: KnownViews, width: int, height: int) -> Camera | None:
    """The one camera of all views, scaled to images of `width` x `height` pixels; None when the file has no intrinsics.

    Raises InputError when views differ by more than 1 % in focal length or have another aspect ratio than the images.
    """
    cameras = [view.camera for view in known.views if view.camera is not None]
    if not cameras:
        return None
    scaled = []
    for camera in cameras:
        if abs(camera.width / camera.height - width / height) > 0.01 * width / height:
            raise InputError(
                known.file,
                found=f"a camera of {camera.width} x {camera.height} pixels",
                expected=f"the aspect ratio of the images, {width} x {height} pixels",
                remedy="correct w and h, or give the images that the poses were made from",
            )
        scaled.append(camera.scaled(width, height))
    focal = np.array([(camera.fx, camera.fy) for camera in scaled])
    if np.ptp(focal, axis=0).max() > 0.01 * focal.mean():
        raise InputError(
            known.file,
            found=f"focal lengths from {focal.min():.1f} to {focal.max():.1f} px",
            expected="one camera for the whole recording",
            remedy="calibrate with a single shared camera, or split the recording where the zoom changes",
        )
    values = np.median([[camera.fx, camera.fy, camera.cx, camera.cy] for camera in scaled], axis=0).tolist()
    return replace(scaled[0], fx=values[0], fy=values[1], cx=values[2], cy=values[3])


def check_rotation(rotation: np.ndarray, file: Path, where: str) -> None:
    """Raise InputError unless `rotation` [3, 3] is one."""
    error = np.abs(rotation @ rotation.T - np.eye(3)).max() if np.isfinite(rotation).all() else np.inf
    orthonormal = error <= ORTHONORMAL_TOLERANCE  # False where the product overflowed to NaN
    if not orthonormal or np.linalg.det(rotation) < 0:
        found = f"columns off orthonormal by {error:.3g}" if not orthonormal else "a reflection (det -1)"
        raise InputError(
            file,
            where,
            found=found,
            expected="a rotation in the upper left 3 x 3 numbers",
            remedy="export the poses again, without scale or shear in the matrix",
        )

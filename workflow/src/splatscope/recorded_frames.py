"""A recording's frames and its mask as its undistorted camera sees them.

`ingest` undistorts the frames of a calibrated recording. Without a calibration the lens is known only after structure
from motion: the frames are stored as filmed, and the camera file of `poses` has the distortion that is to be taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera
from splatscope.images import decode_image, resize_area, undistort, undistortion_valid
from splatscope.shards import Frame, read_shard


def read_camera(camera_json: str | Path) -> Camera:
    """The camera of poses' <recording>.camera.json, with what distortion the stored frames still have.

    Raises InputError when there is none.
    """
    content = read_json(camera_json)
    if not isinstance(content, dict) or not content.get("camera"):
        raise InputError(
            camera_json,
            found="no camera",
            expected="intrinsics from the calibration or from COLMAP",
            remedy="give the recording a calibration, or let the poses stage run COLMAP",
        )
    return Camera.from_dict(content["camera"])


def read_recorded(frames_tar: str | Path, camera: Camera, keys: Set[str] | None = None) -> Iterator[Frame]:
    """The pictures of ingest's frames.tar (those of `keys`, or all) as `camera.undistorted()` would have taken them.

    Raises InputError for frames of another size than the camera's.
    """
    for frame in read_shard(frames_tar, maps=(), keys=keys):
        if frame.rgb.shape[:2] != (camera.height, camera.width):
            raise InputError(
                frames_tar,
                f"frame {frame.key}",
                found=f"{frame.rgb.shape[1]} x {frame.rgb.shape[0]} pixels",
                expected=f"{camera.width} x {camera.height}, the size of the recording's camera",
                remedy="use the calibration that was made at the video's size",
            )
        yield replace(frame, rgb=undistort(frame.rgb, camera), stored={})


def read_usable(valid_png: str | Path, camera: Camera, width: int, height: int) -> np.ndarray | None:
    """bool [height, width]: pixels that lie wholly in the usable part of the undistorted image; None where all do.

    Raises InputError for a mask of another size than the camera's.
    """
    mask = decode_image(Path(valid_png).read_bytes(), str(valid_png))
    if mask.shape != (camera.height, camera.width):
        raise InputError(
            valid_png,
            found=f"a mask {list(mask.shape)}",
            expected=f"[{camera.height}, {camera.width}], the size of the video",
            remedy="make the static mask at the video's size",
        )
    usable = np.where((undistort(mask, camera) == 255) & undistortion_valid(camera), 255, 0).astype(np.uint8)
    usable = resize_area(usable, width, height) == 255
    return None if usable.all() else usable

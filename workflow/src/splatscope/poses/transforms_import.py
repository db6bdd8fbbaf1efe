"""nerfstudio / instant-ngp `transforms.json`: camera-to-world poses, OpenGL camera axes (x right, y up, z back)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import MAX_SIDE_PX, Camera
from splatscope.poses.known_views import KnownView, KnownViews, check_rotation

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
INTRINSICS = (
    "w",
    "h",
    "fl_x",
    "fl_y",
    "cx",
    "cy",
    "k1",
    "k2",
    "k3",
    "k4",
    "p1",
    "p2",
    "camera_angle_x",
    "camera_angle_y",
)
LARGEST = 1e9  # of any number that describes a camera
SMALLEST_ANGLE = 1e-6  # radians; no lens sees less
MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")


def import_transforms(path: str | Path) -> KnownViews:
    """Read a transforms.json; intrinsics may stand once for all frames or in each frame.

    Raises InputError when keys are missing, numbers are none, or a matrix is no pose.
    """
    path = Path(path)
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(
            path,
            "key frames",
            found="no such key"
            if frames is None
            else f"{type(frames).__name__} of {len(frames)} entries"
            if isinstance(frames, list | dict | str)
            else repr(frames),
            expected="a list of frames, each with file_path and transform_matrix",
            remedy="export the file again with nerfstudio's ns-process-data or instant-ngp's colmap2nerf.py",
        )
    return KnownViews(path, [_view(path, content, frame, index) for index, frame in enumerate(frames)])


def _view(path: Path, content: dict, frame, index: int) -> KnownView:
    where = f"frames[{index}]"
    if not isinstance(frame, dict):
        raise _missing(path, where, "file_path, transform_matrix")
    for key in ("file_path", "transform_matrix"):
        if key not in frame:
            raise _missing(path, where, key)
    name = str(frame["file_path"])
    where = f"{where} ({name})"
    try:
        matrix = np.array(frame["transform_matrix"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.full((0, 0), np.nan)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise InputError(
            path,
            f"{where}, transform_matrix",
            found=f"shape {list(matrix.shape)}" if matrix.size else "something that is no matrix of numbers",
            expected="4 rows of 4 numbers",
            remedy="export the file again",
        )
    if not np.isfinite(matrix).all() or (len(matrix) == 4 and not np.allclose(matrix[3], [0, 0, 0, 1])):
        raise InputError(
            path,
            f"{where}, transform_matrix",
            found="NaN or infinite numbers" if not np.isfinite(matrix).all() else f"last row {matrix[3].tolist()}",
            expected="finite numbers with the last row 0 0 0 1",
            remedy="export the file again",
        )
    check_rotation(matrix[:3, :3], path, f"{where}, transform_matrix")
    world_from_camera = np.vstack([matrix[:3], [0, 0, 0, 1]]) @ OPENGL_FROM_OPENCV
    return KnownView(name, world_from_camera, _camera(path, where, content, frame))


def _camera(path: Path, where: str, content: dict, frame: dict) -> Camera | None:
    model = frame.get("camera_model", content.get("camera_model", "OPENCV"))
    if model not in MODELS:
        raise InputError(
            path,
            f"{where}, camera_model",
            found=repr(model),
            expected=f"one of {', '.join(MODELS)}",
            remedy="undistort the images to a pinhole camera first, and export their poses",
        )
    values = {
        key: _number(path, where, key, source[key])
        for source in (content, frame)
        for key in INTRINSICS
        if key in source
    }
    if not values.keys() & {"fl_x", "fl_y", "camera_angle_x", "camera_angle_y"}:
        return None
    for key in ("w", "h"):
        if key not in values:
            raise _missing(path, where, key)
        if not 1 <= values[key] <= MAX_SIDE_PX:
            raise InputError(
                path,
                f"{where}, key {key}",
                found=f"{values[key]:g}",
                expected=f"pixels, 1 to {MAX_SIDE_PX}",
                remedy="correct the intrinsics",
            )
    if values.get("k4"):
        raise InputError(
            path,
            f"{where}, k4",
            found=str(values["k4"]),
            expected="k1, k2, k3, p1, p2 alone",
            remedy="undistort the images to a pinhole camera first, and export their poses",
        )
    width, height = round(values["w"]), round(values["h"])
    fx = values.get("fl_x") or _focal(values.get("camera_angle_x"), width)
    fy = values.get("fl_y") or _focal(values.get("camera_angle_y"), height)
    fx, fy = fx or fy, fy or fx
    if not fx or not (0 < fx < math.inf and 0 < fy < math.inf):
        raise InputError(
            path,
            where,
            found=f"focal length {fx}",
            expected="fl_x > 0 in pixels, or camera_angle_x in radians",
            remedy="correct the intrinsics",
        )
    distortion = [values.get(key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3")]
    return Camera(
        width,
        height,
        fx,
        fy,
        values.get("cx", width / 2),
        values.get("cy", height / 2),
        tuple(distortion) if any(distortion) else (),
    )


def _focal(angle: float | None, size: int) -> float | None:
    return size / (2 * math.tan(angle / 2)) if angle and SMALLEST_ANGLE < angle < math.pi else None


def _number(path: Path, where: str, key: str, value) -> float:
    sane = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST  # so no NaN
    if not sane:
        raise InputError(
            path, f"{where}, key {key}", found=repr(value), expected="a number", remedy="correct the intrinsics"
        )
    return float(value)


def _missing(path: Path, where: str, key: str) -> InputError:
    return InputError(
        path,
        where,
        found=f"no {key}",
        expected=f"{key}, as in nerfstudio's transforms.json",
        remedy="add it, or export the file again",
    )

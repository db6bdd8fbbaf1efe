"""Camera calibration from the files that people have: OpenCV YAML or JSON (ROS spelling too) and COLMAP cameras."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from splatscope.documents import parse_json, parse_yaml, read_file
from splatscope.errors import InputError
from splatscope.geometry import MAX_SIDE_PX, Camera

FILE_SUFFIXES = {".yaml", ".yml", ".json", ".txt", ".bin", ".xml"}
_MATRIX = ("camera_matrix", "cameramatrix", "k", "intrinsic_matrix", "intrinsics", "mtx")
_DISTORTION = ("distortion_coefficients", "distcoeffs", "dist_coeffs", "distortion", "dist_coeff", "dist", "d")
_WIDTH, _HEIGHT = ("image_width", "width", "w"), ("image_height", "height", "h")
_SIZE = ("image_size", "imagesize", "resolution", "img_size")
_PLAIN_MODELS = {"", "plumb_bob", "rational_polynomial", "opencv", "brown-conrady", "radtan"}

# COLMAP's camera models: id -> name, names of the parameters
_COLMAP_MODELS = {
    0: ("SIMPLE_PINHOLE", "f cx cy"),
    1: ("PINHOLE", "fx fy cx cy"),
    2: ("SIMPLE_RADIAL", "f cx cy k1"),
    3: ("RADIAL", "f cx cy k1 k2"),
    4: ("OPENCV", "fx fy cx cy k1 k2 p1 p2"),
    6: ("FULL_OPENCV", "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6"),
}
_REMEDY = "write the calibration again, with cv2.calibrateCamera or COLMAP"


@dataclass(frozen=True)
class Calibration:
    """A camera and where it came from."""

    camera: Camera
    source: str  # opencv, colmap or checkerboard
    reprojection_error_px: float | None = None  # RMS, where the calibration was made here
    scaled_from: tuple[int, int] | None = None  # width, height in the file, when the video has another size


def is_calibration_file(path: str | Path) -> bool:
    """Whether this is a file of numbers (else it is a checkerboard recording)."""
    return Path(path).suffix.lower() in FILE_SUFFIXES


def read_calibration(file: str | Path) -> Calibration:
    """Read an OpenCV YAML/JSON or COLMAP cameras.txt/.bin. Raises InputError naming the key that cannot be used."""
    file = Path(file)
    content = read_file(file, "a calibration")
    if not content.strip():
        raise InputError(file, found="an empty file", expected="a calibration", remedy=_REMEDY)
    suffix = file.suffix.lower()
    if suffix == ".bin":
        return Calibration(_colmap_binary(file, content), "colmap")
    if suffix == ".xml":
        raise InputError(file, found="XML", expected="OpenCV YAML or JSON", remedy="save it as .yaml or .json")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(file, found="bytes that are no text", expected="a calibration", remedy=_REMEDY) from error
    if suffix == ".txt":
        return Calibration(_colmap_text(file, text), "colmap")
    return Calibration(_opencv_camera(file, _parse(file, text)), "opencv")


def fit_to_video(calibration: Calibration, width: int, height: int, file: str | Path, video: str | Path) -> Calibration:
    """The calibration for images of this size: scaled when the aspect ratio is the same, else InputError."""
    camera = calibration.camera
    if (camera.width, camera.height) == (width, height):
        return calibration
    if abs(camera.height * width / camera.width - height) > 1:
        raise InputError(
            file,
            "image size",
            found=f"{camera.width}x{camera.height}, while {video} has {width}x{height}",
            expected="the video's size, or one of the same aspect ratio",
            remedy="calibrate with images of the video's size; a cropped or stretched video needs its own calibration",
        )
    size = (camera.width, camera.height)
    return Calibration(
        camera.scaled(width, height), calibration.source, calibration.reprojection_error_px, scaled_from=size
    )


class _OpenCVLoader(yaml.SafeLoader):
    """YAML as cv2.FileStorage writes it: matrices carry the tag !!opencv-matrix."""


_OpenCVLoader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def _parse(file: Path, text: str) -> dict:
    if file.suffix.lower() == ".json":
        content = parse_json(text, file, remedy=_REMEDY)
    else:
        plain = re.sub(r"^%YAML[: ].*\n", "", text).encode()
        expected = "YAML as cv2.FileStorage writes it"
        content = parse_yaml(plain, file, loader=_OpenCVLoader, expected=expected, remedy=_REMEDY)
    if not isinstance(content, dict):
        raise InputError(file, found=type(content).__name__, expected="keys and values", remedy=_REMEDY)
    return {str(key).lower(): value for key, value in content.items()}


def _opencv_camera(file: Path, content: dict[str, Any]) -> Camera:
    key, value = _first(content, _MATRIX)
    if key is None:
        raise InputError(
            file, found=f"keys {', '.join(content)}", expected="a key camera_matrix", remedy=f"add it, or {_REMEDY}"
        )
    matrix = _numbers(file, key, value)
    if matrix.size != 9:
        raise InputError(file, key, found=f"{matrix.size} numbers", expected="a 3x3 matrix", remedy=_REMEDY)
    width, height = _image_size(file, content)
    matrix = matrix.reshape(3, 3)
    _check_matrix(file, key, matrix, width, height)
    model = str(_first(content, ("distortion_model", "model"))[1] or "").lower()
    if model not in _PLAIN_MODELS:
        raise InputError(
            file,
            "distortion_model",
            found=repr(model),
            expected="OpenCV's plain model (plumb_bob or rational_polynomial)",
            remedy="calibrate with cv2.calibrateCamera; fisheye models are not supported",
        )
    key, value = _first(content, _DISTORTION)
    distortion = _numbers(file, key, value) if value is not None else np.zeros(0)
    if distortion.size not in (0, 4, 5, 8):
        raise InputError(
            file,
            key,
            found=f"{distortion.size} coefficients",
            expected="4, 5 or 8: k1 k2 p1 p2 [k3 [k4 k5 k6]]",
            remedy="calibrate with cv2.calibrateCamera without the thin-prism and tilted models",
        )
    return Camera.from_opencv(width, height, matrix, distortion)


def _image_size(file: Path, content: dict[str, Any]) -> tuple[int, int]:
    size = _first(content, _SIZE)[1]
    values = size if isinstance(size, list) else (size or {}).get("data") if isinstance(size, dict) else None
    values = values or [_first(content, _WIDTH)[1], _first(content, _HEIGHT)[1]]
    if isinstance(size, dict) and "width" in size:
        values = [size.get("width"), size.get("height")]
    try:
        width, height = (int(value) for value in values)
        assert 0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX
    except (TypeError, ValueError, OverflowError, AssertionError):
        raise InputError(
            file,
            "image_width, image_height",
            found=f"{values}",
            expected="the size in pixels of the images that were calibrated",
            remedy="add the keys image_width and image_height",
        ) from None
    return width, height


def _check_matrix(file: Path, key: str, matrix: np.ndarray, width: int, height: int) -> None:
    problem = ""
    if not np.allclose(matrix[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1], atol=1e-6):
        problem = "entries below the diagonal, or a last one that is not 1 (transposed?)"
    elif abs(matrix[0, 1]) > 1e-3 * abs(matrix[0, 0]):
        problem = f"a skew of {matrix[0, 1]:g}"
    elif min(matrix[0, 0], matrix[1, 1]) < 0.1 * width:
        problem = f"focal lengths {matrix[0, 0]:g}, {matrix[1, 1]:g} for {width} pixels: not in pixels?"
    elif not (0 < matrix[0, 2] < width and 0 < matrix[1, 2] < height):
        problem = f"a principal point ({matrix[0, 2]:g}, {matrix[1, 2]:g}) outside the {width}x{height} image"
    if problem:
        raise InputError(
            file,
            key,
            found=problem,
            expected="[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels of the stated image size",
            remedy=_REMEDY,
        )


def _first(content: dict[str, Any], names: tuple[str, ...]) -> tuple[str | None, Any]:
    return next(((name, content[name]) for name in names if content.get(name) is not None), (None, None))


def _numbers(file: Path, key: str, value: Any) -> np.ndarray:
    """Flat numbers of a matrix given as nested lists or as a mapping with `data`."""
    if isinstance(value, dict):
        value = value.get("data")
    try:
        numbers = np.array(value, np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        numbers = None
    if numbers is None or not np.isfinite(numbers).all():
        raise InputError(file, key, found=repr(value)[:120], expected="finite numbers", remedy=_REMEDY)
    return numbers


def _colmap_text(file: Path, text: str) -> Camera:
    rows = [(row, line.split()) for row, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if len(rows) != 1:
        raise _several(file, len(rows))
    row, cells = rows[0]
    names = {name: identity for identity, (name, _) in _COLMAP_MODELS.items()}
    if len(cells) < 5 or cells[1] not in names:
        raise _unknown_model(file, f"row {row}", " ".join(cells)[:80])
    try:
        width, height = int(cells[2]), int(cells[3])
        parameters = [float(cell) for cell in cells[4:]]
    except ValueError:
        raise _unknown_model(file, f"row {row}", " ".join(cells)[:80]) from None
    return _colmap_camera(file, f"row {row}", names[cells[1]], width, height, parameters)


def _colmap_binary(file: Path, content: bytes) -> Camera:
    try:
        (count,) = struct.unpack_from("<Q", content)
        if count != 1:
            raise _several(file, count)
        _, model, width, height = struct.unpack_from("<IiQQ", content, 8)
        if model not in _COLMAP_MODELS:
            raise _unknown_model(file, "camera 1", f"model number {model}")
        number = len(_COLMAP_MODELS[model][1].split())
        parameters = struct.unpack_from(f"<{number}d", content, 32)
    except struct.error:
        raise InputError(
            file, found=f"{len(content)} bytes", expected="a whole COLMAP cameras.bin", remedy="copy the file again"
        ) from None
    return _colmap_camera(file, "camera 1", model, width, height, list(parameters))


def _colmap_camera(file: Path, where: str, model: int, width: int, height: int, parameters: list[float]) -> Camera:
    name, names = _COLMAP_MODELS[model]
    right = len(parameters) == len(names.split()) and np.isfinite(parameters).all()
    focal = [number for key, number in zip(names.split(), parameters) if key.startswith("f")]
    if not right or min(focal) <= 0 or not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise InputError(
            file,
            where,
            found=f"{width}x{height}, parameters {parameters}",
            expected=f"a size of at most {MAX_SIDE_PX} and {name}'s {names}, all finite, the focal lengths positive",
            remedy="export the model from COLMAP again",
        )
    value = dict(zip(names.split(), parameters))
    fx, fy = value.get("fx", value.get("f")), value.get("fy", value.get("f"))
    distortion = [value.get(key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")]
    used = 8 if any(distortion[4:]) else 4 if any(distortion) else 0
    return Camera(width, height, fx, fy, value["cx"], value["cy"], tuple(distortion[:used]))


def _several(file: Path, count: int) -> InputError:
    return InputError(
        file,
        found=f"{count} cameras",
        expected="one camera: that of the recording",
        remedy="keep this recording's camera only (COLMAP: --ImageReader.single_camera 1)",
    )


def _unknown_model(file: Path, where: str, found: str) -> InputError:
    return InputError(
        file,
        where,
        found=found,
        expected="CAMERA_ID MODEL WIDTH HEIGHT PARAMS with a model of "
        + ", ".join(name for name, _ in _COLMAP_MODELS.values()),
        remedy="calibrate with one of these models",
    )

"""COLMAP sparse models, binary or text, read without pycolmap (which must not share a process with image writers).

Format: https://colmap.github.io/format.html. Cameras, poses and points are read; 2D observations are skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splatscope.documents import read_file
from splatscope.errors import InputError
from splatscope.geometry import MAX_SIDE_PX, Camera, invert, pose_from_quaternion
from splatscope.poses.known_views import KnownView, KnownViews

# COLMAP's id, name, and how many parameters
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    6: ("FULL_OPENCV", 12),
}
_COUNTS = dict(_MODELS.values())


@dataclass(frozen=True)
class SparseModel:
    """A COLMAP model: cameras by id; images in the order of their names; points."""

    cameras: dict[int, Camera]
    image_names: list[str]
    image_cameras: list[int]
    camera_from_world: np.ndarray  # [I, 4, 4]
    points: np.ndarray  # [N, 3]
    colors: np.ndarray  # uint8 [N, 3]


def import_colmap(folder: str | Path) -> KnownViews:
    """The poses of a COLMAP model folder. Raises InputError."""
    model = read_colmap(folder)
    if not model.image_names:
        raise InputError(
            folder,
            found="a COLMAP model without registered images",
            expected="at least one",
            remedy="choose the largest of COLMAP's models (sparse/0, sparse/1, ..)",
        )
    world_from_camera = invert(model.camera_from_world)
    views = [
        KnownView(name, pose, model.cameras[camera])
        for name, pose, camera in zip(model.image_names, world_from_camera, model.image_cameras)
    ]
    return KnownViews(Path(folder), views)


def read_colmap(folder: str | Path) -> SparseModel:
    """Read cameras, images and points3D (.bin, else .txt) of a model. Raises InputError for missing or broken files."""
    folder = Path(folder)
    binary = (folder / "images.bin").exists()
    suffix = ".bin" if binary else ".txt"
    for name in ("cameras", "images", "points3D"):
        if not (folder / (name + suffix)).is_file():
            raise InputError(
                folder,
                found=f"no {name}{suffix}",
                expected="a COLMAP model: cameras, images and points3D, all .bin or all .txt",
                remedy="give the folder that holds these three files (often sparse/0)",
            )
    if binary:
        cameras = _cameras_bin(_Bytes(folder / "cameras.bin"))
        images = _images_bin(_Bytes(folder / "images.bin"))
        points, colors = _points_bin(_Bytes(folder / "points3D.bin"))
    else:
        cameras = _cameras_txt(folder / "cameras.txt")
        images = _images_txt(folder / "images.txt")
        points, colors = _points_txt(folder / "points3D.txt")
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(1).argmax())
        raise _broken(folder / f"points3D{suffix}", f"point {bad} (counted from 0)", f"coordinates {points[bad]}")
    images.sort(key=lambda image: image[0])
    poses = np.zeros((0, 4, 4))
    if images:
        poses = pose_from_quaternion(*_checked(folder / f"images{suffix}", images))
    for name, camera, _ in images:
        if camera not in cameras:
            raise _broken(folder / f"images{suffix}", f"image {name}", f"camera {camera}, which cameras{suffix} lacks")
    return SparseModel(cameras, [image[0] for image in images], [image[1] for image in images], poses, points, colors)


def _checked(file: Path, images: list) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([image[2] for image in images])
    norms = np.linalg.norm(values[:, :4], axis=1)
    bad = np.flatnonzero(~np.isfinite(values).all(1) | ~(np.abs(norms - 1) < 0.01))
    if len(bad):
        raise _broken(
            file, f"image {images[bad[0]][0]}", f"a quaternion of length {norms[bad[0]]:.4g} or a number that is none"
        )
    return values[:, :4], values[:, 4:]


def _broken(file: Path, where: str, found: str) -> InputError:
    return InputError(
        file, where, found=found, expected="a COLMAP model as COLMAP writes it", remedy="export the model again"
    )


def _camera(file: Path, identity: int, model: str, width: int, height: int, params: list[float]) -> Camera:
    if model not in _COUNTS:
        raise InputError(
            file,
            f"camera {identity}",
            found=f"camera model {model}",
            expected=f"one of {', '.join(_COUNTS)}",
            remedy="undistort the images with `colmap image_undistorter` and give that model",
        )
    focal = params[:2] if model in ("PINHOLE", "OPENCV", "FULL_OPENCV") else params[:1]
    sized = min(width, height) >= 1 and max(width, height) <= MAX_SIDE_PX
    if len(params) != _COUNTS[model] or not np.isfinite(params).all() or min(focal) <= 0 or not sized:
        raise _broken(file, f"camera {identity}", f"{model} of {width} x {height} pixels with parameters {params}")
    if model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
        params = [params[0], params[0], *params[1:]]
    radial = params[4:]
    distortion = radial + [0.0] * (4 - len(radial)) if radial else []
    return Camera(width, height, *params[:4], tuple(distortion) if any(distortion) else ())


class _Bytes:
    """A cursor over a file that refuses to read beyond its end."""

    def __init__(self, file: Path):
        self.file, self.content, self.position = file, read_file(file, "a COLMAP model"), 0

    def take(self, layout: str) -> tuple:
        try:
            values = struct.unpack_from("<" + layout, self.content, self.position)
        except struct.error:
            raise self._truncated() from None
        self.position += struct.calcsize("<" + layout)
        return values

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self.content):
            raise self._truncated()

    def text(self) -> str:
        end = self.content.find(b"\0", self.position)
        if end < 0:
            raise self._truncated()
        value = self.content[self.position : end].decode("utf-8", "replace")
        self.position = end + 1
        return value

    def _truncated(self) -> InputError:
        return _broken(self.file, f"byte {self.position}", f"the end of the file at byte {len(self.content)}")


def _cameras_bin(data: _Bytes) -> dict[int, Camera]:
    cameras = {}
    for _ in range(data.take("Q")[0]):
        identity, model, width, height = data.take("IiQQ")
        name, count = _MODELS.get(model, (f"number {model}", 0))
        cameras[identity] = _camera(data.file, identity, name, width, height, list(data.take(f"{count}d")))
    return cameras


def _images_bin(data: _Bytes) -> list[tuple[str, int, tuple]]:
    images = []
    for _ in range(data.take("Q")[0]):
        _, *pose, camera = data.take("I7dI")
        name = data.text()
        data.skip(24 * data.take("Q")[0])
        images.append((name, camera, tuple(pose)))
    return images


def _points_bin(data: _Bytes) -> tuple[np.ndarray, np.ndarray]:
    points, colors = [], []
    for _ in range(data.take("Q")[0]):
        _, x, y, z, red, green, blue, _, length = data.take("Q3d3BdQ")
        data.skip(8 * length)
        points.append((x, y, z))
        colors.append((red, green, blue))
    return np.array(points).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)


def _lines(file: Path) -> list[tuple[int, str]]:
    text = read_file(file, "a COLMAP model").decode("utf-8", "replace")
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if not line.startswith("#")]


def _cameras_txt(file: Path) -> dict[int, Camera]:
    cameras = {}
    for number, line in _lines(file):
        if line:
            words = line.split()
            try:
                identity, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
                params = [float(word) for word in words[4:]]
            except (ValueError, IndexError):
                raise _broken(file, f"line {number}", repr(line)) from None
            cameras[identity] = _camera(file, identity, model, width, height, params)
    return cameras


def _images_txt(file: Path) -> list[tuple[str, int, tuple]]:
    images = []
    lines = _lines(file)
    while lines and not lines[-1][1]:
        lines.pop()
    for number, line in lines[::2]:  # every other line lists 2D points, and may be empty
        words = line.split(maxsplit=9)
        try:
            images.append((words[9], int(words[8]), tuple(float(word) for word in words[1:8])))
        except (ValueError, IndexError):
            raise _broken(file, f"line {number}", repr(line[:80])) from None
    return images


def _points_txt(file: Path) -> tuple[np.ndarray, np.ndarray]:
    points, colors = [], []
    for number, line in _lines(file):
        if line:
            words = line.split()
            try:
                x, y, z = (float(word) for word in words[1:4])
                red, green, blue = bytes(int(word) for word in words[4:7])
                points.append((x, y, z))
                colors.append((red, green, blue))
            except (ValueError, IndexError):
                raise _broken(file, f"line {number}", repr(line[:80])) from None
    return np.array(points).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)

"""Frame shards: the format in which frames travel between stages.

A shard is a .tar in WebDataset layout with a small .json manifest beside it. Members of frame `000012`:

    000012.rgb.png        uint8 [H, W, 3], sRGB
    000012.class.png      uint8 [H, W]; 0 background, 255 ignore
    000012.instance.png   uint8 [H, W]; 0 nobody
    000012.amodal.png     uint16 [H, W]; bit i set where instance i + 1 would be seen if nothing hid it
    000012.depth.png      uint16 [H, W] in DEPTH_UNIT_MM; 0 nothing there
    000012.alpha.png      uint8 [H, W]; accumulated opacity, 255 opaque
    000012.normals.png    uint16 [H, W, 3]; unit normal in camera axes, 1 at 65535 and -1 at 1
    000012.flow_forward.png, 000012.flow_backward.png
                          uint16 [H, W, 3]; x and y displacement to the next frame or the one before, in
                          1 / FLOW_LEVELS_PER_PX pixels about 32768; then an index of FLOW_STATES
    000012.points.png     uint16 [H, W, 4]; number of the object that is seen (0 none), then which point of it: where
                          that point was at rest, x, y, z in POINT_UNIT_MM about 32768. Equal in all frames of a scene
    000012.meta.json      pose, camera, seed and whatever else the stage says of the frame

Only rgb and meta are always there. Members are sorted and carry no times or owners: equal content is equal bytes.
The visible (modal) mask of instance i is `instance == i`.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from splatscope.documents import parse_json
from splatscope.errors import InputError
from splatscope.files import atomic_path, read_json, sha256, write_json
from splatscope.images import decode_image, encode_png

SCHEMA_VERSION = 1
DEPTH_UNIT_MM = 0.01  # 16 bits reach 655 mm, beyond any endoscope's working distance
_MEMBER = re.compile(r"\d{6}(\.[a-z_]{1,32}){1,3}")
POINT_UNIT_MM = 0.02  # 16 bits reach 655 mm to either side
FLOW_LEVELS_PER_PX = 32  # 16 bits reach 1,023 pixels to either side
FLOW_STATES = ("nothing there", "seen in both", "hidden or outside in the other")  # third channel of a flow map


@dataclass
class Frame:
    """One annotated image; maps that a stage does not know are None."""

    key: str  # six digits, unique in its shard
    rgb: np.ndarray  # uint8 [H, W, 3]
    meta: dict = field(default_factory=dict)
    class_map: np.ndarray | None = None  # uint8 [H, W]
    instance_map: np.ndarray | None = None  # uint8 [H, W]
    amodal_bits: np.ndarray | None = None  # uint16 [H, W]
    depth_mm: np.ndarray | None = None  # float32 [H, W]; 0 nothing there
    alpha: np.ndarray | None = None  # uint8 [H, W]
    normals: np.ndarray | None = None  # float32 [H, W, 3], unit, camera axes; 0 nothing there
    flow_forward: np.ndarray | None = None  # float32 [H, W, 3]: x, y in pixels to the next frame; see FLOW_STATES
    flow_backward: np.ndarray | None = None  # float32 [H, W, 3]: to the frame before
    surface_points: np.ndarray | None = None  # float32 [H, W, 4]: object number, its point x, y, z in mm when at rest
    stored: dict[str, bytes] = field(default_factory=dict, repr=False)  # its members, when it was read from a shard

    def __post_init__(self):
        height, width = self.rgb.shape[:2]
        for item in _MAPS.values():
            value, shape = getattr(self, item.name), (height, width, *item.channels)
            if value is not None and (value.shape != shape or value.dtype != item.dtype):
                raise ValueError(
                    f"frame {self.key}: expected {item.name} {np.dtype(item.dtype)} {list(shape)}, "
                    f"got {value.dtype} {list(value.shape)}"
                )
        if self.rgb.dtype != np.uint8 or self.rgb.shape != (height, width, 3):
            raise ValueError(
                f"frame {self.key}: expected rgb uint8 [H, W, 3], got {self.rgb.dtype} {list(self.rgb.shape)}"
            )

    def visible_mask(self, instance: int) -> np.ndarray:
        """bool [H, W]: where this instance is seen."""
        return self.instance_map == instance

    def amodal_mask(self, instance: int) -> np.ndarray:
        """bool [H, W]: where this instance would be seen if nothing hid it."""
        return (self.amodal_bits >> (instance - 1)) & 1 == 1


@dataclass(frozen=True)
class _Map:
    """How a map lies in a PNG: stored = round(value * scale + offset), in 8 or 16 bits."""

    name: str
    dtype: type
    channels: tuple[int, ...] = ()
    stored: type = np.uint8
    scale: tuple[float, ...] = ()  # of each channel; empty: stored as it is
    offset: tuple[float, ...] = ()

    def encode(self, value: np.ndarray) -> bytes:
        if not self.scale:
            return encode_png(value)
        limit = np.iinfo(self.stored).max
        levels = np.rint(value * np.float32(self.scale) + np.float32(self.offset))
        return encode_png(np.clip(levels, 0, limit).astype(self.stored).reshape(value.shape))

    def decode(self, levels: np.ndarray) -> np.ndarray:
        if not self.scale:
            return levels.astype(self.dtype)
        return ((levels - np.float32(self.offset)) / np.float32(self.scale)).astype(self.dtype)


_FLOW = {
    "dtype": np.float32,
    "channels": (3,),
    "stored": np.uint16,
    "scale": (FLOW_LEVELS_PER_PX, FLOW_LEVELS_PER_PX, 1),
    "offset": (2**15, 2**15, 0),
}
_MAPS = {
    "class.png": _Map("class_map", np.uint8),
    "instance.png": _Map("instance_map", np.uint8),
    "amodal.png": _Map("amodal_bits", np.uint16, stored=np.uint16),
    "depth.png": _Map("depth_mm", np.float32, (), np.uint16, (1 / DEPTH_UNIT_MM,), (0,)),
    "alpha.png": _Map("alpha", np.uint8),
    "normals.png": _Map("normals", np.float32, (3,), np.uint16, (2**15 - 1,) * 3, (2**15,) * 3),
    "flow_forward.png": _Map("flow_forward", **_FLOW),
    "flow_backward.png": _Map("flow_backward", **_FLOW),
    "points.png": _Map(
        "surface_points", np.float32, (4,), np.uint16, (1, *(1 / POINT_UNIT_MM,) * 3), (0, *(2**15,) * 3)
    ),
}


def manifest_path(tar_path: str | Path) -> Path:
    return Path(tar_path).with_suffix(".json")


def write_shard(tar_path: str | Path, frames: Iterable[Frame], provenance: dict | None = None) -> None:
    """Write frames, which must come in the order of their keys, and the manifest beside them; holds one at a time.

    `provenance` goes into the manifest as it is: config digest, code digest, licences of what went in.
    """
    keys: list[str] = []
    with atomic_path(tar_path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for frame in frames:
            if keys and frame.key <= keys[-1]:
                raise ValueError(f"expected frames in the order of their keys, got {frame.key} after {keys[-1]}")
            keys.append(frame.key)
            for suffix, content in sorted(_encode(frame)):
                info = tarfile.TarInfo(f"{frame.key}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "sha256": sha256(tar_path),
        "frames": keys,
        "provenance": provenance or {},
    }
    write_json(manifest_path(tar_path), manifest)


def read_shard(
    tar_path: str | Path, *, maps: Container[str] | None = None, keys: Container[str] | None = None
) -> Iterator[Frame]:
    """Frames of a shard in key order. Raises InputError for a broken tar, an unreadable member, and, having come to the
    end, for frames other than those in the manifest, where there is one.

    `maps` names the maps that are needed (fields of Frame such as "class_map"), `keys` the frames: decoding is what
    costs time. Without them all come.
    """
    try:
        # no compression, and no read beyond the file's end, so that a few bytes cannot ask for all memory
        with open(tar_path, "rb") as handle, tarfile.open(fileobj=_Bounded(handle), mode="r:") as tar:
            current: dict[str, bytes] = {}
            key = ""
            found: dict[str, None] = {}  # keys in their order
            for info in tar:
                _check_member(tar_path, info)
                member_key, _, suffix = info.name.partition(".")
                found[member_key] = None
                if current and member_key != key:
                    yield _decode(tar_path, key, current)
                    current = {}
                key = member_key
                unwanted = maps is not None and suffix in _MAPS and _MAPS[suffix].name not in maps
                if not unwanted and (keys is None or key in keys):
                    current[suffix] = tar.extractfile(info).read()
            if current:
                yield _decode(tar_path, key, current)
            _check_keys(tar_path, list(found))
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, RecursionError, IndexError) as error:
        raise _broken(tar_path, found=str(error)) from error  # (IndexError: a sparse member's map that is cut short)


class _Bounded:
    """A file that reads no more than there is: Python allocates what a read asks for before it looks."""

    def __init__(self, handle: BinaryIO):
        self._handle, self._size = handle, os.fstat(handle.fileno()).st_size
        self.tell = handle.tell

    def read(self, count: int) -> bytes:
        return self._handle.read(min(count, max(self._size - self._handle.tell(), 0)))

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return self._handle.seek(position, whence)


def _check_member(tar_path: str | Path, info: tarfile.TarInfo) -> None:
    """Only plain files under the names of frames: no links, folders or sparse files, nothing that leads elsewhere."""
    plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.sparse is None
    if not plain or not _MEMBER.fullmatch(info.name):
        raise _broken(tar_path, f"member {info.name}", "such a member", "files named 000012.rgb.png and so on")


def _broken(tar_path: str | Path, where: str = "", found: str = "", expected: str = "a frame shard (.tar)"):
    remedy = "delete the file and run the same command again: the stage that makes it will"
    return InputError(tar_path, where, found=found, expected=expected, remedy=remedy)


def _check_keys(tar_path: str | Path, found: list[str]) -> None:
    """A tar cut off inside a header reads as a shorter one: only the manifest knows."""
    if not manifest_path(tar_path).is_file():
        return
    manifest = read_json(manifest_path(tar_path))
    expected = manifest.get("frames", found) if isinstance(manifest, dict) else None
    if found != expected:
        stated = len(expected) if isinstance(expected, list) else "other"
        raise _broken(
            tar_path,
            found=f"{len(found)} frames, the last {found[-1] if found else 'nowhere'}",
            expected=f"the {stated} frames of {manifest_path(tar_path).name}",
        )


def read_shards(tar_paths: Iterable[str | Path]) -> Iterator[Frame]:
    """Frames of several shards, one after the other."""
    for path in tar_paths:
        yield from read_shard(path)


def verify_shard(tar_path: str | Path) -> None:
    """Raise InputError unless the tar has the SHA-256 that its manifest states."""
    manifest = read_json(manifest_path(tar_path))
    expected = manifest.get("sha256") if isinstance(manifest, dict) else None
    found = sha256(tar_path)
    if found != expected:
        raise InputError(
            tar_path,
            found=f"SHA-256 {found}",
            expected=f"{expected} (its manifest)",
            remedy="delete both files and run the same command again",
        )


def encode_frame(frame: Frame) -> dict[str, bytes]:
    """The members of a frame as a shard holds them, by suffix such as "rgb.png"."""
    return dict(_encode(frame))


def _encode(frame: Frame) -> Iterator[tuple[str, bytes]]:
    yield "rgb.png", encode_png(frame.rgb)
    yield "meta.json", json.dumps(frame.meta, sort_keys=True, allow_nan=False).encode()
    for suffix, item in _MAPS.items():
        value = getattr(frame, item.name)
        if value is not None:
            yield suffix, item.encode(value)


def _decode(tar_path: str | Path, key: str, members: dict[str, bytes]) -> Frame:
    if "rgb.png" not in members or "meta.json" not in members:
        raise _broken(tar_path, f"frame {key}", f"members {sorted(members)}", "at least rgb.png and meta.json")
    place = f"{tar_path}:{key}"
    meta = parse_json(members["meta.json"], f"{place}.meta.json")
    if not isinstance(meta, dict):
        raise _broken(tar_path, f"frame {key}", f"meta.json of type {type(meta).__name__}", "keys and values")
    image = decode_image(members["rgb.png"], f"{place}.rgb.png")
    maps = {}
    for suffix, item in _MAPS.items():
        if suffix in members:
            levels = decode_image(members[suffix], f"{place}.{suffix}", with_alpha=True)
            if levels.shape != (*image.shape[:2], *item.channels) or levels.dtype != item.stored:
                raise _broken(
                    tar_path,
                    f"frame {key}, {suffix}",
                    f"{levels.dtype} {list(levels.shape)} beside an image {list(image.shape)}",
                    f"{np.dtype(item.stored)} {[*image.shape[:2], *item.channels]}",
                )
            maps[item.name] = item.decode(levels)
    try:
        return Frame(key, image, meta, stored=members, **maps)
    except ValueError as error:
        raise _broken(tar_path, f"frame {key}", str(error), "maps of the image's size") from error

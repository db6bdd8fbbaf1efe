"""A folder of real frames with optional captions, checked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from splatscope.errors import InputError
from splatscope.images import MAX_PIXELS

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class StyleFrame:
    """One real frame; its pixels are read when they are needed."""

    path: Path
    caption: str
    width: int
    height: int
    sha256: str  # of the file

    def pixels(self) -> np.ndarray:
        """uint8 [H, W, 3] RGB."""
        return decode_frame(self.path.read_bytes(), self.path)


def list_frames(folder: str | Path) -> list[Path]:
    """All images in a folder and its subfolders, in the order of their names.

    Raises InputError when there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, found="no such folder", expected="a folder of real frames", remedy="correct the path")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise InputError(
            folder,
            found="no image",
            expected=f"frames as {', '.join(IMAGE_SUFFIXES)}",
            remedy="put about 100 real frames there; `ffmpeg -i video.mp4 -vf fps=1/5 folder/%05d.png` takes them from "
            "a video",
        )
    return paths


def frame_files(folder: str | Path) -> list[Path]:
    """The images of a folder and their captions: all files that a training depends on. Raises as list_frames does."""
    images = list_frames(folder)
    return images + sorted({path.with_suffix(".txt") for path in images if path.with_suffix(".txt").is_file()})


def read_frames(
    folder: str | Path, trigger_words: str, min_frames: int, log: Callable[[str], None] = lambda line: None
) -> list[StyleFrame]:
    """The frames of a folder. A caption is the trigger words, then the text of the .txt file of the frame's name.

    Every image is decoded once. Raises InputError (of all offenders at once) for images that cannot be read, captions
    without an image or that are no text, and for fewer than `min_frames` frames.
    """
    folder = Path(folder)
    paths = list_frames(folder)
    errors = _captions_alone(folder, paths)
    frames = []
    for path in paths:
        try:
            content = path.read_bytes()
            height, width = decode_frame(content, path).shape[:2]
            frames.append(StyleFrame(path, _caption(path, trigger_words), width, height, _sha256(content)))
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputError.of_several(errors)
    if len(frames) < min_frames:
        raise InputError(
            folder,
            found=f"{len(frames)} frames",
            expected=f"at least {min_frames} (key min_frames), better about 100",
            remedy="add frames from more moments of more operations",
        )
    known = {*IMAGE_SUFFIXES, ".txt"}
    ignored = sorted({path.name for path in folder.rglob("*") if path.is_file() and path.suffix.lower() not in known})
    if ignored:
        log(f"not images, left aside: {', '.join(ignored)}")
    return frames


def decode_frame(content: bytes, path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB, upright, of an image file's bytes; unlike OpenCV, Pillow refuses files that are cut off.

    Raises InputError when it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS}")
            image.load()
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"pixels of mode {image.mode}, not 8 bits a channel")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # Pillow's readers raise many kinds
        raise InputError(
            path,
            found=f"{len(content)} bytes that cannot be read: {error}",
            expected="a whole image of 8 bits a channel",
            remedy="write the file again, or take it out of the folder",
        ) from error


def _caption(path: Path, trigger_words: str) -> str:
    file = path.with_suffix(".txt")
    if not file.is_file():
        return trigger_words
    try:
        text = " ".join(file.read_text(encoding="utf-8").split())
    except UnicodeDecodeError as error:
        raise InputError(
            file, found=str(error), expected="a caption in UTF-8", remedy="save it as plain text"
        ) from error
    return ", ".join(part for part in (trigger_words, text) if part)


def _captions_alone(folder: Path, images: list[Path]) -> list[InputError]:
    captioned = {path.with_suffix("") for path in images}
    alone = [path for path in sorted(folder.rglob("*.txt")) if path.with_suffix("") not in captioned]
    return [
        InputError(
            path,
            found="a caption without an image",
            expected=f"{path.stem}.png (or another of {', '.join(IMAGE_SUFFIXES)}) beside it",
            remedy="name it as its frame, or take it out of the folder",
        )
        for path in alone
    ]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

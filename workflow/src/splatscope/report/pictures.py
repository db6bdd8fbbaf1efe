"""Pictures for the page: embedded as data, small."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splatscope.images import decode_image, encode_jpeg, resize_area


@dataclass(frozen=True)
class Picture:
    """An image as a data URI and its size in pixels."""

    uri: str
    width: int
    height: int


def embed(image: np.ndarray, quality: int, max_width: int | None = None) -> Picture:
    """uint8 [H, W, 3] (or [H, W]) as a JPEG, reduced to `max_width` pixels."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if max_width is not None and image.shape[1] > max_width:
        image = resize_area(image, max_width, max(1, round(image.shape[0] * max_width / image.shape[1])))
    data = base64.b64encode(encode_jpeg(image, quality)).decode("ascii")
    return Picture(f"data:image/jpeg;base64,{data}", image.shape[1], image.shape[0])


def embed_file(path: Path, quality: int, max_width: int | None = None) -> Picture | None:
    """The picture in a file; None when there is no file."""
    if not path.is_file():
        return None
    image = decode_image(path.read_bytes(), str(path))
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    return embed(image, quality, max_width)


def split_panels(path: Path, panels: int, gap_px: int) -> list[np.ndarray]:
    """The panels of a picture made of `panels` equal images with `gap_px` pixels between them."""
    image = decode_image(path.read_bytes(), str(path))
    width = (image.shape[1] - gap_px * (panels - 1)) // panels
    return [image[:, number * (width + gap_px) : number * (width + gap_px) + width] for number in range(panels)]

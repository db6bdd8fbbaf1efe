"""Pictures for the page: embedded as data, small, and labels as vector overlays."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

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


def outline_path(rle: dict, tolerance_px: float = 0.5) -> str:
    """SVG path data of a COCO run-length mask, in pixel coordinates; even-odd fill keeps its holes.

    Contours run along pixel edges (the mask is doubled for that) and are simplified within `tolerance_px`.
    """
    mask = coco_mask.decode(rle)
    doubled = np.kron(np.pad(mask, 1), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parts = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, 2 * tolerance_px, True)[:, 0]
        if len(points) >= 3:
            steps = [f"{(x + 0.5) / 2 - 1:.4g} {(y + 0.5) / 2 - 1:.4g}" for x, y in points]
            parts.append("M" + "L".join(steps) + "Z")
    return "".join(parts)

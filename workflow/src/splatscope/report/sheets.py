"""Small pictures of frames joined into sheets, JPEGs that the page decodes when they are looked at."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from splatscope.images import encode_jpeg, resize_area

COLUMNS = 5
PER_SHEET = COLUMNS * COLUMNS
WIDTHS = (320, 280, 240, 208, 176, 160, 144, 128, 112, 96, 80, 64)  # of a thumbnail, px
QUALITY = 65
DEPTH_WIDTH = 64


class Sheets:
    """Collects pictures of `width` x `height` pixels, uint8 [height, width] or [height, width, 3]."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.encoded: list[str] = []  # base64 of JPEG
        self._waiting: list[np.ndarray] = []

    def add(self, picture: np.ndarray) -> None:
        self._waiting.append(picture)
        if len(self._waiting) == PER_SHEET:
            self.finish()

    def finish(self) -> None:
        """Encode what is left; the page knows how many pictures there are."""
        if self._waiting:
            self.encoded.append(base64.b64encode(encode_jpeg(join(self._waiting), QUALITY)).decode("ascii"))
            self._waiting = []


def join(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Up to PER_SHEET equal pictures, row by row, black where there are fewer."""
    blank = np.zeros_like(pictures[0])
    filled = [*pictures, *[blank] * (PER_SHEET - len(pictures))]
    return np.vstack([np.hstack(filled[start : start + COLUMNS]) for start in range(0, PER_SHEET, COLUMNS)])


def height_of(width: int, image_width: int, image_height: int) -> int:
    """Height in pixels of a picture `width` wide of an image of this shape."""
    return max(1, round(width * image_height / image_width))


def page_bytes(pictures: Sequence[np.ndarray]) -> float:
    """What each of up to PER_SHEET equal pictures takes of the page: its share of a sheet in base64."""
    return 4 / 3 * len(encode_jpeg(join(pictures), QUALITY)) / len(pictures) if pictures else 0.0


def fitting_width(sample: Sequence[np.ndarray], most_bytes: float, widest: int) -> int:
    """The largest thumbnail width at which pictures like those of `sample` (uint8 [H, W, 3], up to PER_SHEET) take no
    more than `most_bytes` of the page each; the smallest of WIDTHS when none does."""
    height, width = sample[0].shape[:2]
    for candidate in WIDTHS:
        if candidate <= min(widest, max(width, WIDTHS[-1])):
            size = (candidate, height_of(candidate, width, height))
            if page_bytes([resize_area(image, *size) for image in sample]) <= most_bytes:
                return candidate
    return WIDTHS[-1]


def depth_picture(depth_mm: np.ndarray, width: int, height: int) -> tuple[np.ndarray, tuple[float, float]]:
    """uint8 [height, width] of a depth map [H, W] (0 nothing there), and the nearest and farthest depth it shows, mm.

    The nearest is 255, the farthest 1, black is nothing there. Both depths are NaN where nothing is.
    """
    there = (depth_mm > 0).astype(np.float32)
    share = resize_area(there, width, height)
    known = share > 0.5
    if not known.any():
        return np.zeros((height, width), np.uint8), (np.nan, np.nan)
    mean = resize_area(depth_mm * there, width, height) / np.maximum(share, 1e-6)
    near, far = float(mean[known].min()), float(mean[known].max())
    levels = 255 - 254 * (mean - near) / max(far - near, 1e-6)
    return np.where(known, np.rint(levels.clip(1, 255)), 0).astype(np.uint8), (near, far)

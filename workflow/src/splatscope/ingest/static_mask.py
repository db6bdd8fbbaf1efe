"""Pixels that never show the site: the black border round an endoscope's round view."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from splatscope.errors import InputError
from splatscope.images import decode_image

DARK_LEVEL = 24  # grey level of 255 that a pixel of the border never exceeds
MIN_USABLE, MAX_USABLE = 0.15, 0.995  # shares of the image; beyond them there is no border
MIN_SOLIDITY = 0.9  # share of its convex hull that an endoscope's view fills
MARGIN = 0.01  # of the image's width: the rim is blurred and glows


def brightest(so_far: np.ndarray | None, rgb: np.ndarray) -> np.ndarray:
    """Running maximum over time [H, W] of the smoothed grey image; start with None."""
    grey = cv2.blur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (5, 5))
    return grey if so_far is None else np.maximum(so_far, grey)


def find_border(brightest_grey: np.ndarray) -> np.ndarray:
    """bool [H, W], True where usable, from the maximum over time of the grey image.

    The view is the convex hull of what is ever lit, less a margin. All True when the dark part is not a border: too
    little or too much of it, or lit parts that fill no convex shape (a lit tool before a black background).
    """
    height, width = brightest_grey.shape
    everything = np.ones((height, width), bool)
    lit = (brightest_grey > DARK_LEVEL).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(lit)
    if count < 2:
        return everything
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    contours, _ = cv2.findContours((labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    hull = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), cv2.convexHull(outline), 1)
    filled = cv2.drawContours(np.zeros((height, width), np.uint8), [outline], -1, 1, cv2.FILLED)
    share, solidity = hull.mean(), filled.sum() / max(hull.sum(), 1)
    if not MIN_USABLE <= share <= MAX_USABLE or solidity < MIN_SOLIDITY:
        return everything
    size = 2 * round(MARGIN * width) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.erode(hull, kernel, borderValue=1).astype(bool)


def read_mask(path: str | Path, width: int, height: int) -> np.ndarray:
    """bool [height, width], True where the mask image is white. Raises InputError for another size or no image."""
    remedy = "set ingest.static_mask to none, auto, or an image of the video's size that is white where usable"
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            path, "ingest.static_mask", found=error.strerror or str(error), expected="a mask image", remedy=remedy
        ) from error
    mask = decode_image(content, str(path))
    mask = mask if mask.ndim == 2 else mask.max(2)
    if mask.shape != (height, width):
        raise InputError(
            path,
            "ingest.static_mask",
            found=f"{mask.shape[1]}x{mask.shape[0]}",
            expected=f"{width}x{height}, as the video",
            remedy=remedy,
        )
    usable = mask > np.iinfo(mask.dtype).max // 2
    if not usable.any():
        raise InputError(
            path, "ingest.static_mask", found="no white pixel", expected="white where usable", remedy=remedy
        )
    return usable

"""Masks as polygons of a few bytes, sharp at any size."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask

GRID = 255  # corners lie at whole 1 / GRID of the image's width and height
_MOST = 255  # polygons of a mask, corners of a polygon: each number is a byte


def mask_polygons(rle: dict, tolerance_px: float = 0.5) -> list[np.ndarray]:
    """Polygons uint8 [K, 2] (x, y in 1 / GRID of the image) round a COCO run-length mask; even-odd fill keeps holes.

    They run along the pixels' edges, simplified within `tolerance_px`; parts too small to have three corners then are
    left out, except the largest.
    """
    mask = coco_mask.decode(rle)
    left, top, width, height = (int(side) for side in coco_mask.toBbox(rle))
    if not width or not height:
        return []
    # doubled, because contours run through pixel centres: a pixel becomes a square of four
    padded = np.pad(mask[top : top + height, left : left + width], 1)
    doubled = cv2.resize(padded, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours = sorted(contours, key=cv2.contourArea, reverse=True)[:_MOST]
    polygons = []
    for rank, contour in enumerate(contours):
        corners = _simplified(contour, 2 * tolerance_px)
        if len(corners) < 3 and rank == 0:
            corners = cv2.boxPoints(cv2.minAreaRect(contour))
        if len(corners) >= 3:
            places = (corners + 0.5) / 2 - 1 + (left, top)
            polygons.append(np.rint(places * GRID / (mask.shape[1], mask.shape[0])).clip(0, GRID).astype(np.uint8))
    return polygons


def _simplified(contour: np.ndarray, tolerance: float) -> np.ndarray:
    corners = cv2.approxPolyDP(contour, tolerance, True)[:, 0]
    while len(corners) > _MOST:
        tolerance *= 1.5
        corners = cv2.approxPolyDP(contour, tolerance, True)[:, 0]
    return corners


def pack_polygons(polygons: list[np.ndarray]) -> bytes:
    """How many polygons, then of each how many corners and the corners; each number a byte."""
    parts = [bytes([len(polygons)])]
    for polygon in polygons:
        parts += [bytes([len(polygon)]), polygon.tobytes()]
    return b"".join(parts)

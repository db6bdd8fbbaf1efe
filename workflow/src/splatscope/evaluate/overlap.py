"""Intersection over union of masks and of the boxes around them."""

from __future__ import annotations

import numpy as np


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Pixels in both over pixels in either, of bool masks [H, W]; NaN when both are empty (nothing to compare)."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else float("nan")


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """x, y, width, height of the pixels of a bool mask [H, W]; None when it is empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def box_iou(first: tuple | None, second: tuple | None) -> float:
    """Area in both over area in either, of boxes x, y, width, height; None is an empty box, two of them give NaN."""
    if first is None or second is None:
        return float("nan") if first is second else 0.0
    sides = [
        min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis])
        for axis in (0, 1)
    ]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)

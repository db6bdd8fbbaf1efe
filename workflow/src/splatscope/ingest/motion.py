"""How the image moves from frame to frame: the input of clock estimation."""

from __future__ import annotations

import cv2
import numpy as np

TRACKING_WIDTH = 320  # pixels; larger images are made this wide first
_MAX_FEATURES = 200
_MIN_FEATURES = 12
_TUKEY_C = 4.685  # 95 % efficiency on Gaussian residuals


def tracking_image(rgb: np.ndarray) -> np.ndarray:
    """Small grey image uint8 [h, w] of uint8 [H, W, 3]."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if grey.shape[1] > TRACKING_WIDTH:
        height = round(grey.shape[0] * TRACKING_WIDTH / grey.shape[1])
        grey = cv2.resize(grey, (TRACKING_WIDTH, height), interpolation=cv2.INTER_AREA)
    return grey


def image_motion(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Motion [4] from one tracking image to the next: shift right, shift down, rotation, expansion.

    All in image widths (shifts) and radians or relative growth. Tracked corners (Lucas-Kanade) and a robust affine fit:
    a tool that moves through part of the view is outvoted. NaN when too few corners can be followed.
    """
    points = cv2.goodFeaturesToTrack(first, _MAX_FEATURES, 0.01, 6)
    if points is None or len(points) < _MIN_FEATURES:
        return np.full(4, np.nan)
    options = {"winSize": (15, 15), "maxLevel": 3}
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, None, **options)
    good = (found & found_back)[:, 0].astype(bool) & (np.linalg.norm(back - points, axis=2)[:, 0] < 0.5)
    if good.sum() < _MIN_FEATURES:
        return np.full(4, np.nan)
    centre = np.array([first.shape[1], first.shape[0]]) / 2
    start = (points[good, 0] - centre).astype(np.float64) / first.shape[1]
    flow = (moved - points)[good, 0].astype(np.float64) / first.shape[1]
    affine = _robust_affine(start, flow)
    rotation = (affine[1, 1] - affine[2, 0]) / 2
    expansion = (affine[1, 0] + affine[2, 1]) / 2
    return np.array([affine[0, 0], affine[0, 1], rotation, expansion])


def _robust_affine(points: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Rows (constant, x, y) [3, 2] of `flow ~ affine(points)`: Tukey weights from the median flow on."""
    design = np.column_stack([np.ones(len(points)), points])
    affine = np.zeros((3, 2))
    affine[0] = np.median(flow, axis=0)
    for _ in range(8):
        error = np.linalg.norm(flow - design @ affine, axis=1)
        scale = 1.4826 * np.median(error) + 1e-5
        weight = np.clip(1 - (error / (_TUKEY_C * scale)) ** 2, 0, None)
        gram = (design * weight[:, None]).T
        affine = np.linalg.solve(gram @ design + 1e-9 * np.eye(3), gram @ flow)
    return affine

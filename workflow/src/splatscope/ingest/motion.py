"""How the image moves: corners followed through the video, the input of clock estimation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

TRACKING_WIDTH = 320  # pixels; larger images are made this wide first
MATCH_SPAN_S = 0.4  # corners are followed this long: longer loses them, shorter drowns in the tracker's jitter
_MAX_CORNERS, _CORNER_DISTANCE, _CORNER_QUALITY = 400, 12, 1e-3  # spread over the image, not crowded on a bright tool
_MIN_CORNERS = 12
_TUKEY_C = 4.685  # 95 % efficiency on Gaussian residuals


@dataclass(frozen=True)
class Match:
    """Corners of one frame found again in a later one, in image widths from the top left image corner."""

    first_time_s: float
    second_time_s: float
    first: np.ndarray  # [M, 2]
    second: np.ndarray  # [M, 2]


@dataclass(frozen=True)
class ImageMotion:
    """How the image of a recording of N frames moves."""

    frame_time_s: np.ndarray  # [N]
    affine: np.ndarray  # [N - 1, 4] from each frame to the next, as `affine_motion` gives it
    matches: tuple[Match, ...]
    size: tuple[int, int]  # width and height of the video in pixels


class MotionTracker:
    """Follows corners from frame to frame of a recording."""

    def __init__(self):
        self._times: list[float] = []
        self._affine: list[np.ndarray] = []
        self._matches: list[Match] = []
        self._size = (0, 0)
        self._previous: np.ndarray | None = None
        self._start_time = 0.0
        self._start = self._current = np.zeros((0, 2), np.float32)

    def add(self, rgb: np.ndarray, time_s: float) -> None:
        """Take the next frame, uint8 [H, W, 3]."""
        grey = tracking_image(rgb)
        self._times.append(time_s)
        self._size = (rgb.shape[1], rgb.shape[0])
        if self._previous is not None:
            moved, good = _follow(self._previous, grey, self._current)
            self._affine.append(affine_motion(self._current[good], moved[good], grey.shape[1], grey.shape[0]))
            self._start, self._current = self._start[good], moved[good]
        lost = len(self._current) < _MIN_CORNERS
        if lost or time_s - self._start_time >= MATCH_SPAN_S - 1e-6:
            if not lost:
                width = grey.shape[1]
                ends = (self._start + 0.5) / width, (self._current + 0.5) / width
                self._matches.append(Match(self._start_time, time_s, *(end.astype(np.float64) for end in ends)))
            self._start = self._current = _find_corners(grey)
            self._start_time = time_s
        self._previous = grey

    def result(self) -> ImageMotion:
        """The motion over all frames so far."""
        affine = np.array(self._affine).reshape(-1, 4)
        return ImageMotion(np.array(self._times), affine, tuple(self._matches), self._size)


def tracking_image(rgb: np.ndarray) -> np.ndarray:
    """Small grey image uint8 [h, w] of uint8 [H, W, 3]."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if grey.shape[1] > TRACKING_WIDTH:
        height = round(grey.shape[0] * TRACKING_WIDTH / grey.shape[1])
        grey = cv2.resize(grey, (TRACKING_WIDTH, height), interpolation=cv2.INTER_AREA)
    return grey


def affine_motion(start: np.ndarray, moved: np.ndarray, width: int, height: int) -> np.ndarray:
    """Motion [4] of corners [M, 2] (pixels): shift right, shift down, rotation (y to x), expansion about the centre.

    Shifts in image widths, the others in radians or relative growth. A robust affine fit: a tool that moves through
    part of the view is outvoted. NaN when there are too few corners.
    """
    if len(start) < _MIN_CORNERS:
        return np.full(4, np.nan)
    points = (start - np.array([width, height]) / 2).astype(np.float64) / width
    affine = _robust_affine(points, (moved - start).astype(np.float64) / width)
    rotation = (affine[1, 1] - affine[2, 0]) / 2
    expansion = (affine[1, 0] + affine[2, 1]) / 2
    return np.array([affine[0, 0], affine[0, 1], rotation, expansion])


def _find_corners(grey: np.ndarray) -> np.ndarray:
    corners = cv2.goodFeaturesToTrack(grey, _MAX_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE)
    return np.zeros((0, 2), np.float32) if corners is None else corners[:, 0]


def _follow(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the points [M, 2] went (Lucas-Kanade), and which came back when followed backwards."""
    if len(points) == 0:
        return points, np.zeros(0, bool)
    options = {"winSize": (15, 15), "maxLevel": 3}
    points = points[:, None]
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, None, **options)
    good = (found & found_back)[:, 0].astype(bool) & (np.linalg.norm(back - points, axis=2)[:, 0] < 0.5)
    return moved[:, 0], good


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

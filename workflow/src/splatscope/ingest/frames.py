"""Which frames of a recording are kept: not blurred, not duplicated, with a pose, and not more than needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from splatscope.images import resize_area
from splatscope.ingest.motion import ImageMotion, MotionTracker
from splatscope.ingest.static_mask import brightest
from splatscope.ingest.video import VideoFrame

SHARPNESS_WIDTH = 640  # pixels; sharpness of larger images is judged at this width
DUPLICATE_WIDTH = 64  # pixels; small enough to average noise away
REASONS = ("no_pose", "duplicate", "blurred", "not_sampled")
_BRIGHTNESS_EVERY = 5  # frames; the border of an endoscope does not move


@dataclass(frozen=True)
class Survey:
    """What one pass over a recording says of each of its N frames."""

    time_s: np.ndarray  # [N]
    sharpness: np.ndarray  # [N] variance of the Laplacian
    duplicate: np.ndarray  # bool [N]
    motion: ImageMotion | None  # None when it was not asked for
    brightest: np.ndarray  # uint8 [H, W] maximum over time

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.brightest.shape[1], self.brightest.shape[0]


def survey_frames(frames: Iterator[VideoFrame], duplicate_difference: float, with_motion: bool) -> Survey:
    """Look at every frame once; none is kept in memory. `duplicate_difference` is an RMS in grey levels of 255."""
    times, sharpness, duplicate = [], [], []
    bright = last_distinct = None
    tracker = MotionTracker() if with_motion else None
    for frame in frames:
        grey = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        times.append(frame.time_s)
        sharpness.append(float(cv2.Laplacian(_at_most(grey, SHARPNESS_WIDTH), cv2.CV_32F).var()))
        small = _at_most(grey.astype(np.float32), DUPLICATE_WIDTH)
        same = last_distinct is not None and np.sqrt(np.mean((small - last_distinct) ** 2)) < duplicate_difference
        duplicate.append(bool(same))
        last_distinct = last_distinct if same else small
        if frame.index % _BRIGHTNESS_EVERY == 0:
            bright = brightest(bright, frame.rgb)
        if tracker:
            tracker.add(frame.rgb, frame.time_s)
    motion = tracker.result() if tracker else None
    return Survey(np.array(times), np.array(sharpness), np.array(duplicate), motion, bright)


def choose_frames(
    survey: Survey, has_pose: np.ndarray, max_frames: int, min_sharpness_ratio: float, window_s: float
) -> np.ndarray:
    """Reason [N] for which each frame is left out; empty where it is kept.

    The usable frames are cut into `max_frames` stretches of equal count; the sharpest frame of each is kept.
    """
    reason = np.full(len(survey.time_s), "", dtype=object)
    blurred = survey.sharpness < min_sharpness_ratio * _neighbourhood_median(survey.time_s, survey.sharpness, window_s)
    reason[blurred] = "blurred"
    reason[survey.duplicate] = "duplicate"
    reason[~has_pose] = "no_pose"
    usable = np.flatnonzero(reason == "")
    if len(usable) > max_frames:
        stretches = np.array_split(usable, max_frames)
        kept = [stretch[np.argmax(survey.sharpness[stretch])] for stretch in stretches]
        reason[np.setdiff1d(usable, kept)] = "not_sampled"
    return reason


def count_reasons(reason: np.ndarray) -> dict[str, int]:
    """Number of frames in total, kept, and left out for each reason."""
    counts = {name: int((reason == name).sum()) for name in REASONS}
    return {"total": len(reason), "kept": int((reason == "").sum()), **counts}


def _neighbourhood_median(time_s: np.ndarray, values: np.ndarray, window_s: float) -> np.ndarray:
    step = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0
    width = 2 * max(round(window_s / step / 2), 1) + 1
    return pd.Series(values).rolling(width, center=True, min_periods=1).median().to_numpy()


def _at_most(image: np.ndarray, width: int) -> np.ndarray:
    if image.shape[1] <= width:
        return image
    return resize_area(image, width, max(round(image.shape[0] * width / image.shape[1]), 1))

"""Whether two frames are nearly the same."""

from __future__ import annotations

import cv2
import numpy as np

from splatscope.checks.measures import Measures
from splatscope.checks.nearest import nearest
from splatscope.checks.outcome import Offender, Outcome, judge
from splatscope.config.checks import CheckLimits

SIDE = 16  # pixels of a thumbnail
SIZE = 3 * SIDE**2  # numbers of a thumbnail


def measure(rgb: np.ndarray) -> np.ndarray:
    """int8 [SIZE]: the image uint8 [H, W, 3] reduced by area, levels about 128."""
    thumbnail = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return (thumbnail.astype(np.int16) - 128).astype(np.int8).reshape(-1)


def nearest_earlier(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each frame the one before it that differs least (-1: none), and the root mean square difference in levels;
    NaN for the first frame."""
    index, squared = nearest(thumbnails)
    return index, np.where(index < 0, np.nan, np.sqrt(np.where(index < 0, 0, squared) / SIZE))


def check(measures: Measures, limits: CheckLimits) -> Outcome:
    """Frames that hardly differ from one before them."""

    def describe(frame: int) -> Offender:
        value = round(float(measures.difference[frame]), 4)
        twin = measures.names[measures.earlier[frame]]
        return Offender(measures.names[frame], value, f"differs from {twin} by {value:.2f} levels", twin=twin)

    return judge(
        "min_difference",
        f"root mean square difference of {SIDE}x{SIDE} thumbnails, levels of 0 to 255",
        limits.min_difference,
        measures.difference,
        describe,
        at_least=True,
    )

"""What synthetic frames are worth in real ones: the learning curve of real frames alone, read backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression


@dataclass(frozen=True)
class LearningCurve:
    """Score over the number of real training images: the nearest rising curve through the points (isotonic least
    squares), straight in between on a logarithmic scale of images."""

    images: np.ndarray  # float64 [P], rising
    scores: np.ndarray  # float64 [P], never falling

    @classmethod
    def fit(cls, images: Sequence[float], scores: Sequence[float]) -> LearningCurve:
        """From one mean score for each number of images. Raises ValueError unless the numbers rise."""
        images, scores = np.asarray(images, np.float64), np.asarray(scores, np.float64)
        if len(images) < 2 or (np.diff(images) <= 0).any() or images.shape != scores.shape:
            raise ValueError(f"expected two or more rising numbers of images with a score each, got {images.tolist()}")
        return cls(images, isotonic_regression(scores).x)

    def images_for(self, score: float) -> float:
        """The fewest real images that reach a score: 0 when even the fewest tried exceed it, infinity when all tried
        fall short of it."""
        if score < self.scores[0]:
            return 0.0
        if score > self.scores[-1]:
            return float("inf")
        upper = int(np.searchsorted(self.scores, score, side="left"))
        if upper == 0:
            return float(self.images[0])
        low, high = self.scores[upper - 1], self.scores[upper]
        share = (score - low) / (high - low)
        return float(np.exp(np.interp(share, [0, 1], np.log(self.images[upper - 1 : upper + 1]))))


def worth_in_words(synthetic: int, value: float, interval: tuple[float, float], fewest: int, most: int) -> str:
    """One sentence; `value` and `interval` are numbers of real images, 0 and infinity beyond what was tried."""
    return (
        f"{synthetic} synthetic images are worth {_bounded(value, fewest, most)} real ones "
        f"(95 % interval: {_bounded(interval[0], fewest, most)} to {_bounded(interval[1], fewest, most)})"
    )


def _bounded(value: float, fewest: int, most: int) -> str:
    if value == 0:
        return f"fewer than {fewest}"
    return f"more than {most}" if np.isinf(value) else f"{value:.0f}"

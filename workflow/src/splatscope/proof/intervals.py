"""Confidence intervals of 95 %: over folds (Student's t) and over test images (bootstrap)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Interval for the mean of independent repetitions; NaN for fewer than two. Folds share training images, so theirs
    is somewhat too narrow for what new recordings would give.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def percentile_interval(samples: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of bootstrap samples; NaN when there are none. Infinite samples are allowed."""
    samples = np.sort(np.asarray(samples, np.float64)[~np.isnan(samples)])
    if not len(samples):
        return float("nan"), float("nan")
    # of the samples themselves: between a finite and an infinite one there is nothing to interpolate
    places = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) * (len(samples) - 1)
    return float(samples[round(places[0])]), float(samples[round(places[1])])


def image_resamples(images: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """float64 [images] a sample: how often each image is in a resample of as many, drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(rng.integers(0, images, images), minlength=images).astype(np.float64)

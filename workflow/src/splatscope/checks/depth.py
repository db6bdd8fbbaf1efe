"""Whether an instance's mask and the depth map speak of the same thing.

An instrument is long and thin or flat, and the inverse depth of a plane is linear in the image: a plane fitted to the
instance's own depths predicts them within its thickness. Where the depth map has another surface (tissue behind a mask
that is too large or has slipped, an instrument that lies before), it is off by more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from splatscope.annotate.records import Annotation
from splatscope.checks.measures import Measures
from splatscope.checks.outcome import Offender, Outcome, judge
from splatscope.config.checks import CheckLimits
from splatscope.shards import Frame

MIN_PIXELS = 25  # from fewer no plane is told
FITTED_PIXELS = 1000  # evenly spread ones; more tell nothing new
PLANES = 64  # that are tried: one in eight is all the instance's own where half of its pixels are
# of the slack, within which pixels speak for a plane: within all of it a plane could cut through two surfaces
AGREEMENT = 1 / 3

Plane = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows and columns [K] -> depth in mm [K]


def contradicting_pixels(frame: Frame, annotations: Sequence[Annotation], slack_mm: float) -> list[np.ndarray]:
    """bool [H, W] of each annotation: its visible pixels whose depth cannot be its own.

    That is where nothing is (0 or not finite), where depth is off the instance's plane by more than `slack_mm`, and
    where another instance would be as far before it.
    """
    depth = np.where(np.isfinite(frame.depth_mm), frame.depth_mm, 0).astype(np.float64)
    planes = [_fit_plane(depth, annotation.visible, slack_mm) for annotation in annotations]
    found = []
    for annotation, plane in zip(annotations, planes):
        rows, columns = np.nonzero(annotation.visible)
        own = depth[rows, columns]
        wrong = own <= 0
        if plane is not None:
            wrong |= np.abs(own - plane(rows, columns)) > slack_mm
        for other, other_plane in zip(annotations, planes):
            if other is not annotation and other_plane is not None:
                hidden = other.amodal[rows, columns]
                wrong[hidden] |= own[hidden] - other_plane(rows[hidden], columns[hidden]) > slack_mm
        pixels = np.zeros(depth.shape, bool)
        pixels[rows[wrong], columns[wrong]] = True
        found.append(pixels)
    return found


def measure(frame: Frame, annotations: Sequence[Annotation], slack_mm: float) -> list[float]:
    """Of each annotation the share of its visible pixels that contradict; NaN in frames without depth."""
    if frame.depth_mm is None:
        return [float("nan")] * len(annotations)
    wrong = contradicting_pixels(frame, annotations, slack_mm)
    return [float(pixels.sum()) / annotation.area for pixels, annotation in zip(wrong, annotations)]


def check(measures: Measures, limits: CheckLimits) -> Outcome:
    """Masks that the depth map contradicts."""

    def describe(row: int) -> Offender:
        value = round(float(measures.disagreement[row]), 4)
        name, instance = measures.instance_at(row)
        return Offender(name, value, f"{value:.1%} of instance {instance} contradicts the depth map", instance)

    return judge(
        "max_depth_disagreement",
        "share of an instance's visible pixels that the depth map contradicts",
        limits.max_depth_disagreement,
        measures.disagreement,
        describe,
        at_least=False,
    )


def _fit_plane(depth: np.ndarray, visible: np.ndarray, slack_mm: float) -> Plane | None:
    """The plane that most of an instance's pixels lie on, whatever the others show: the best of planes through three of
    them each, fitted to those that agree with it."""
    rows, columns = np.nonzero(visible & (depth > 0))
    if len(rows) < MIN_PIXELS:
        return None
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), FITTED_PIXELS)).astype(int)
    size = max(depth.shape)

    def design(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.column_stack([rows / size, columns / size, np.ones(len(rows))])

    inputs, known = design(rows[chosen], columns[chosen]), depth[rows[chosen], columns[chosen]]
    farthest = 2 * known.max()  # no plane is taken for farther: it has no depth on the horizon
    triples = np.random.default_rng(len(rows)).integers(0, len(chosen), (PLANES, 3))
    # the least-norm solution, as three pixels on a line leave the plane's tilt about it open
    planes = (np.linalg.pinv(inputs[triples]) @ (1 / known[triples])[..., None])[..., 0]

    def agreeing(planes: np.ndarray) -> np.ndarray:
        depths = 1 / np.maximum(inputs @ planes.T, 1 / farthest)
        return np.abs(depths - known[:, None]) < slack_mm * AGREEMENT

    best = planes[agreeing(planes).sum(0).argmax()]
    for _ in range(2):
        agree = agreeing(best[None])[:, 0]
        best = np.linalg.pinv(inputs[agree]) @ (1 / known[agree])
    return lambda rows, columns: 1 / np.maximum(design(rows, columns) @ best, 1 / farthest)

"""The fidelity gate: a restyled frame is kept, mended, made again more carefully, or dropped and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.config.restyle_proof import GateConfig
from splatscope.restyle.contours import REACH_PX, scale_of
from splatscope.restyle.fidelity import FidelityJudge, Reference, RegionScore
from splatscope.shards import Frame

Restyle = Callable[[Frame, float, int], np.ndarray]
"""(raw frame, denoising strength 0..1, number of the try from 0) -> uint8 [H, W, 3], the restyled image."""


@dataclass(frozen=True)
class GateResult:
    """What became of one frame. `certificate` belongs into frame.meta["restyle"] and can be written as JSON:

    outcome: "passed", "mended" or "dropped"; score: the lowest of its regions', of the image that is given out (of the
    last try for a dropped frame; None when nothing could be judged); limit; strength; tries; try_scores: the lowest
    score of each try; blended: share of the image's pixels that were taken from the unstyled picture; regions: every
    region's `RegionScore.as_dict()`.
    """

    image: np.ndarray | None  # uint8 [H, W, 3]; None: dropped
    certificate: dict


class Gate:
    """Holds frames to a fidelity limit; one frame at a time, each decided on its own."""

    def __init__(self, judge: FidelityJudge, config: GateConfig, strength: float):
        """`strength` is the denoising strength of the first try."""
        self.judge, self.config = judge, config
        self.strengths = [strength * factor for factor in config.strength_factors]

    def __call__(self, frame: Frame, restyle: Restyle, unstyled: np.ndarray | None = None) -> GateResult:
        """Restyle a frame at falling strengths until every region keeps its score.

        A try that fails is blended around its failed regions with `unstyled` uint8 [H, W, 3], the picture that
        restyling started from (the raw frame's where absent); when that does not mend it, or would take more than
        `max_blended` of the image, the next try follows, and after the last the frame is dropped.
        """
        unstyled = frame.rgb if unstyled is None else unstyled
        reference = self.judge.reference(frame)
        tries: list[tuple[float, np.ndarray, list[RegionScore]]] = []
        for attempt, strength in enumerate(self.strengths):
            image = restyle(frame, strength, attempt)
            scores = self.judge.scores(reference, image)
            tries.append((strength, image, scores))
            if not self._failed(scores):
                return self._result("passed", tries, image, scores, strength)
            mended, blended = self._mend(reference, image, scores, unstyled)
            if blended <= self.config.max_blended:
                mended_scores = self.judge.scores(reference, mended)
                if not self._failed(mended_scores):
                    return self._result("mended", tries, mended, mended_scores, strength, blended)
        return self._result("dropped", tries, None, scores, strength)

    def _failed(self, scores: list[RegionScore]) -> list[RegionScore]:
        return [score for score in scores if score.score < self.config.limit]

    def _mend(
        self, reference: Reference, image: np.ndarray, scores: list[RegionScore], unstyled: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The image with the unstyled one laid in where a failed region lost its edge or its class, and how much."""
        failed = {(score.class_id, score.instance) for score in self._failed(scores)}
        height, width = image.shape[:2]
        scale = scale_of(width)
        predicted = self.judge.segmenter.predict(image[None])[0]
        lost = np.zeros((height, width), np.uint8)
        for item in reference.regions:
            if (item.region.class_id, item.region.instance) not in failed:
                continue
            x, y = np.rint(item.region.points).astype(int).T
            lost[y.clip(0, height - 1), x.clip(0, width - 1)] = 1
            seen_raw, seen_now = (groups == item.group for groups in (reference.predicted, predicted))
            lost |= item.region.mask & seen_raw & ~seen_now
        radius = round(REACH_PX / 2 * scale)
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        share = cv2.GaussianBlur(cv2.dilate(lost, ellipse).astype(np.float32), (0, 0), radius / 2)
        mixed = share[..., None] * unstyled + (1 - share[..., None]) * image
        return np.rint(mixed).astype(np.uint8), float(share.mean())

    def _result(self, outcome: str, tries, image, scores, strength: float, blended: float = 0.0) -> GateResult:
        def written(value: float) -> float | None:
            return round(value, 3) if np.isfinite(value) else None

        return GateResult(
            image,
            {
                "outcome": outcome,
                "score": written(lowest(scores)),
                "limit": self.config.limit,
                "strength": round(strength, 4),
                "tries": len(tries),
                "try_scores": [written(lowest(item[2])) for item in tries],
                "blended": round(blended, 4),
                "regions": [score.as_dict() for score in scores],
            },
        )


def lowest(scores: list[RegionScore]) -> float:
    """The lowest score, infinite when nothing could be judged."""
    return min((score.score for score in scores), default=float("inf"))

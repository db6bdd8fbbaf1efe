"""evaluate: how near synthetic frames come to the real ones, and the phantom's results to its truth."""

from splatscope.evaluate.overlap import box_iou, mask_iou
from splatscope.evaluate.replay import evaluate_replay
from splatscope.evaluate.truth import evaluate_truth

__all__ = ["box_iou", "evaluate_replay", "evaluate_truth", "mask_iou"]

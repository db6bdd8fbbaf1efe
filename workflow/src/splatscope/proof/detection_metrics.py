"""Average precision, precision and recall of detections: COCO's matching, COCO's 101-point average.

Matching is pycocotools'. AP is the mean precision (its envelope) at the recalls 0, 0.01 .. 1, as COCO has it; mAP50 is
AP at an IoU of 0.5, mAP50-95 its mean over the IoUs 0.5, 0.55 .. 0.95, both means over the classes that the test set
has. Precision and recall are those at the confidence of the best F1 on the test set itself, at an IoU of 0.5, which
is YOLOv5's convention and so the papers'; F1 is averaged over classes before the best is taken.

Every figure takes a weight for each image: all 1 is the test set, counts of a resample are a bootstrap sample.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from splatscope.proof.detectors.interface import Detections
from splatscope.proof.image_sets import AnnotatedImage

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
CONFIDENCES = np.linspace(0, 1, 1001)
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class ClassMatches:
    """What became of the detections of one class, most confident first."""

    scores: np.ndarray  # float64 [D]
    images: np.ndarray  # int64 [D]: which image
    hits: np.ndarray  # bool [10, D]: matched with a true box, at each of IOUS
    objects: np.ndarray  # int64 [I]: true boxes in each image


Matches = dict[int, ClassMatches]  # by class id; only classes that the test set has


def match_detections(truth: Sequence[AnnotatedImage], found: Sequence[Detections]) -> Matches:
    """Match detections with true boxes by pycocotools' COCOeval, at most 100 an image and class."""
    if len(truth) != len(found):
        raise ValueError(f"expected detections of {len(truth)} images, got {len(found)}")
    class_ids = sorted({int(class_id) for image in truth for class_id in image.classes})
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports on every step
        evaluation = COCOeval(_coco_truth(truth, class_ids), _coco_found(truth, found, class_ids), "bbox")
        evaluation.params.iouThrs = IOUS
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    matches = {}
    for index, class_id in enumerate(class_ids):
        per_image = evaluation.evalImgs[index * len(truth) : (index + 1) * len(truth)]
        scores = [np.array(item["dtScores"] if item else [], np.float64) for item in per_image]
        hits = [item["dtMatches"] > 0 if item else np.zeros((len(IOUS), 0), bool) for item in per_image]
        images = np.repeat(np.arange(len(truth)), [len(values) for values in scores])
        order = np.argsort(-np.concatenate(scores), kind="stable")
        objects = np.array([int((image.classes == class_id).sum()) for image in truth])
        matches[class_id] = ClassMatches(
            np.concatenate(scores)[order], images[order], np.concatenate(hits, 1)[:, order], objects
        )
    return matches


def average_precisions(matches: Matches, weights: np.ndarray | None = None) -> np.ndarray:
    """float64 [10]: AP at each of IOUS, mean over the classes; NaN when no class has an object.

    `weights` float [I]: how often each image counts.
    """
    per_class = [_class_precisions(item, weights) for item in matches.values()]
    known = [values for values in per_class if values is not None]
    return np.mean(known, 0) if known else np.full(len(IOUS), np.nan)


def mean_average_precision(matches: Matches, weights: np.ndarray | None = None) -> dict[str, float]:
    """`map50` and `map50_95`."""
    values = average_precisions(matches, weights)
    return {"map50": float(values[0]), "map50_95": float(values.mean())}


def operating_point(matches: Matches, weights: np.ndarray | None = None) -> dict[str, float]:
    """`precision`, `recall`, `f1` and `confidence` where the mean F1 over the classes is best (the lowest of several).

    Precision is 0 where nothing is detected.
    """
    curves = [confidence_curves(item, weights) for item in matches.values() if _objects(item, weights) > 0]
    if not curves:
        return dict.fromkeys(("precision", "recall", "f1", "confidence"), float("nan"))
    precision, recall = np.mean(curves, 0)
    f1 = np.mean([2 * p * r / np.maximum(p + r, 1e-12) for p, r in curves], 0)
    best = int(f1.argmax())
    return {
        "precision": float(precision[best]),
        "recall": float(recall[best]),
        "f1": float(f1[best]),
        "confidence": float(CONFIDENCES[best]),
    }


def confidence_curves(matches: ClassMatches, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall, float64 [1001], of detections at least as confident as each of CONFIDENCES, at IoU 0.5."""
    weight = _weights(matches, weights)
    hits = np.concatenate([[0.0], np.cumsum(weight * matches.hits[0])])
    count = np.concatenate([[0.0], np.cumsum(weight)])
    kept = np.searchsorted(-matches.scores, -CONFIDENCES, side="right")
    return hits[kept] / np.maximum(count[kept], 1e-12), hits[kept] / _objects(matches, weights)


def precision_recall_curve(matches: Matches) -> np.ndarray:
    """float64 [101]: precision at each of RECALLS at an IoU of 0.5, mean over the classes: the area under it is AP."""
    return np.mean([_envelope(item, None)[0] for item in matches.values()], 0)


def _class_precisions(matches: ClassMatches, weights: np.ndarray | None) -> np.ndarray | None:
    return _envelope(matches, weights).mean(1) if _objects(matches, weights) > 0 else None


def _envelope(matches: ClassMatches, weights: np.ndarray | None) -> np.ndarray:
    """float64 [10, 101]: precision at IOUS x RECALLS, made falling, 0 beyond the highest recall."""
    weight = _weights(matches, weights)
    hits = np.cumsum(weight * matches.hits, 1)
    precision = hits / np.maximum(np.cumsum(weight), np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    recall = hits / _objects(matches, weights)
    padded = np.concatenate([precision, np.zeros((len(IOUS), 1))], 1)
    return np.stack([row[np.searchsorted(reached, RECALLS, side="left")] for row, reached in zip(padded, recall)])


def _weights(matches: ClassMatches, weights: np.ndarray | None) -> np.ndarray:
    return np.ones(len(matches.scores)) if weights is None else np.asarray(weights, np.float64)[matches.images]


def _objects(matches: ClassMatches, weights: np.ndarray | None) -> float:
    return float(matches.objects.sum() if weights is None else matches.objects @ weights)


def _coco_truth(truth: Sequence[AnnotatedImage], class_ids: Sequence[int]) -> COCO:
    coco = COCO()
    annotations = [
        {"image_id": image, "category_id": int(class_id), "bbox": _plain(box), "area": float(box[2] * box[3])}
        for image, item in enumerate(truth)
        for box, class_id in zip(item.boxes, item.classes)
    ]
    coco.dataset = {
        "images": [{"id": image} for image in range(len(truth))],
        "categories": [{"id": class_id} for class_id in class_ids],
        "annotations": [{"id": number, "iscrowd": 0} | entry for number, entry in enumerate(annotations, start=1)],
    }
    coco.createIndex()
    return coco


def _coco_found(truth: Sequence[AnnotatedImage], found: Sequence[Detections], class_ids: Sequence[int]) -> COCO:
    """Detections as COCO has them; those of classes that the test set has not are left out, as COCO does."""
    coco = COCO()
    annotations = [
        {
            "image_id": image,
            "category_id": int(class_id),
            "bbox": _plain(box),
            "area": float(box[2] * box[3]),
            "score": float(score),
        }
        for image, item in enumerate(found)
        for box, class_id, score in zip(item.boxes, item.classes, item.scores)
        if int(class_id) in class_ids
    ]
    coco.dataset = {
        "images": [{"id": image} for image in range(len(truth))],
        "categories": [{"id": class_id} for class_id in class_ids],
        "annotations": [{"id": number, "iscrowd": 0} | entry for number, entry in enumerate(annotations, start=1)],
    }
    coco.createIndex()
    return coco


def _plain(box: np.ndarray) -> list[float]:
    return [float(value) for value in box]

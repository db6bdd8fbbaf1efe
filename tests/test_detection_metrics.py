"""Detection metrics against torchmetrics, pycocotools' own accumulation and counting by hand."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision

from detection_material import DRIVER, GRASPER, random_scene
from splatscope.proof.detection_metrics import (
    average_precisions,
    confidence_curves,
    match_detections,
    mean_average_precision,
    operating_point,
    precision_recall_curve,
)
from splatscope.proof.detectors import Detections
from splatscope.proof.image_sets import AnnotatedImage


def by_torchmetrics(truth, found) -> dict[str, float]:
    # its own thresholds are rounded to float32, and so fall on the other side of recalls that are whole hundredths
    thresholds = {
        "iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(),
        "rec_thresholds": np.linspace(0, 1, 101).tolist(),
    }
    metric = MeanAveragePrecision(box_format="xywh", iou_type="bbox", **thresholds)
    metric.update(
        [
            {
                "boxes": torch.from_numpy(item.boxes),
                "scores": torch.from_numpy(item.scores),
                "labels": torch.from_numpy(item.classes),
            }
            for item in found
        ],
        [{"boxes": torch.from_numpy(item.boxes), "labels": torch.from_numpy(item.classes)} for item in truth],
    )
    figures = metric.compute()
    return {"map50": float(figures["map_50"]), "map50_95": float(figures["map"])}


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_agrees_with_torchmetrics(seed):
    truth, found = random_scene(seed, 25)
    expected = by_torchmetrics(truth, found)
    assert mean_average_precision(match_detections(truth, found)) == pytest.approx(expected, abs=1e-6)
    assert 0.05 < expected["map50_95"] < expected["map50"] < 1


def test_a_class_that_only_detections_have_does_not_count():
    truth, found = random_scene(5, 20, class_ids=(DRIVER,))
    stray = Detections(np.array([[1, 1, 20, 20]], np.float32), np.array([0.99], np.float32), np.array([GRASPER]))
    merged = [
        Detections(*(np.concatenate([getattr(stray, name), getattr(item, name)]) for name in vars(stray)))
        for item in found
    ]
    assert mean_average_precision(match_detections(truth, merged)) == mean_average_precision(
        match_detections(truth, found)
    )


def test_a_resample_counts_images_as_often_as_its_weights():
    truth, found = random_scene(6, 12)
    weights = np.array([0, 2, 1, 0, 1, 3, 1, 1, 0, 1, 2, 0])
    repeated = [index for index, count in enumerate(weights) for _ in range(count)]
    again = match_detections([truth[index] for index in repeated], [found[index] for index in repeated])
    weighted = match_detections(truth, found)
    assert average_precisions(weighted, weights) == pytest.approx(average_precisions(again), abs=1e-12)
    assert operating_point(weighted, weights) == pytest.approx(operating_point(again), abs=1e-12)


def test_the_operating_point_is_that_of_the_best_f1_of_all_thresholds():
    truth, found = random_scene(7, 8)
    matches = match_detections(truth, found)
    best = {"f1": -1.0}
    for confidence in np.linspace(0, 1, 1001):
        figures = []
        for class_id in (GRASPER, DRIVER):
            hits = count = objects = 0
            for image, items in zip(truth, found):
                kept = (items.classes == class_id) & (items.scores >= confidence)
                true = [box for box, label in zip(image.boxes, image.classes) if label == class_id]
                hits += greedy_hits(true, items.boxes[kept])
                count += int(kept.sum())
                objects += len(true)
            precision, recall = hits / count if count else 0.0, hits / objects
            figures.append((precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0))
        precision, recall, f1 = np.mean(figures, 0)
        if f1 > best["f1"] + 1e-9:
            best = {"precision": precision, "recall": recall, "f1": f1, "confidence": confidence}
    assert operating_point(matches) == pytest.approx(best, abs=1e-6)


def greedy_hits(true, detected) -> int:
    """True boxes that are found at an IoU of 0.5; detections choose in order of confidence, each the best one left."""
    left = list(true)
    hits = 0
    for x, y, w, h in detected:
        overlaps = []
        for tx, ty, tw, th in left:
            shared = max(0, min(x + w, tx + tw) - max(x, tx)) * max(0, min(y + h, ty + th) - max(y, ty))
            overlaps.append(shared / (w * h + tw * th - shared))
        if overlaps and max(overlaps) >= 0.5:
            left.pop(int(np.argmax(overlaps)))
            hits += 1
    return hits


def test_matching_and_accumulation_are_pycocotools_own():
    truth, found = random_scene(8, 20, class_ids=(DRIVER,))
    gt, dt = COCO(), COCO()
    for coco, items in ((gt, truth), (dt, found)):
        entries = [
            {"image_id": i, "category_id": 1, "bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": 0}
            | ({} if coco is gt else {"score": float(item.scores[k])})
            for i, item in enumerate(items)
            for k, box in enumerate(item.boxes)
        ]
        coco.dataset = {
            "images": [{"id": i} for i in range(20)],
            "categories": [{"id": 1}],
            "annotations": [{"id": k + 1} | entry for k, entry in enumerate(entries)],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(gt, dt, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    curves = evaluation.eval["precision"][:, :, 0, 0, 2]  # IoU, recall
    matches = match_detections(truth, found)
    assert average_precisions(matches) == pytest.approx(curves.mean(1), abs=1e-9)
    assert precision_recall_curve(matches) == pytest.approx(curves[0], abs=1e-9)


def image_with(*boxes) -> AnnotatedImage:
    classes = np.full(len(boxes), DRIVER, np.int64)
    return AnnotatedImage(
        "000000", np.zeros((50, 50, 3), np.uint8), np.array(boxes, np.float32).reshape(-1, 4), classes
    )


def found_at(*boxes, score=0.9) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), score, np.float32),
        np.full(len(boxes), DRIVER, np.int64),
    )


def test_perfect_and_absent_detections():
    truth = [image_with((5, 5, 20, 20)), image_with()]
    perfect = match_detections(truth, [found_at((5, 5, 20, 20)), found_at()])
    assert mean_average_precision(perfect) == {"map50": 1.0, "map50_95": 1.0}
    point = operating_point(perfect)
    assert point["precision"] == point["recall"] == 1 and point["confidence"] == 0
    nothing = match_detections(truth, [found_at(), found_at()])
    assert mean_average_precision(nothing) == {"map50": 0.0, "map50_95": 0.0}
    assert operating_point(nothing)["recall"] == 0 and operating_point(nothing)["precision"] == 0


def test_false_alarms_in_empty_images_cost_precision_not_recall():
    truth = [image_with((5, 5, 20, 20)), image_with()]
    matches = match_detections(truth, [found_at((5, 5, 20, 20), score=0.5), found_at((1, 1, 9, 9), score=0.5)])
    precision, recall = confidence_curves(matches[DRIVER])
    assert (precision[500], recall[500]) == (0.5, 1) and (precision[501], recall[501]) == (0, 0)


def test_an_empty_test_set_has_no_figures():
    matches = match_detections([image_with()], [found_at((1, 1, 5, 5))])
    assert np.isnan(mean_average_precision(matches)["map50"]) and np.isnan(operating_point(matches)["recall"])


def test_every_image_needs_its_detections():
    with pytest.raises(ValueError, match="of 1 images"):
        match_detections([image_with()], [])

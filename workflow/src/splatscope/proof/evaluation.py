"""The experiment's figures: a row for each training, means with intervals, what synthetic frames are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.files import write_bytes, write_json, write_table
from splatscope.proof.detection_metrics import (
    Matches,
    match_detections,
    mean_average_precision,
    operating_point,
)
from splatscope.proof.detection_tables import read_detections
from splatscope.proof.draws import counts_of
from splatscope.proof.efficiency import LearningCurve, worth_in_words
from splatscope.proof.image_sets import AnnotatedImage, read_set
from splatscope.proof.intervals import image_resamples, percentile_interval, t_interval
from splatscope.proof.pictures import draw_efficiency, draw_examples, draw_precision_recall
from splatscope.proof.run_list import ARMS, POSE_ARMS, Run, Task
from splatscope.proof.runs import Sizes
from splatscope.proof.segmentation import confusions, ious, task_classes

DETECTION_METRICS = ("precision", "recall", "map50", "map50_95")
CURVE_METRICS = ("map50", "map50_95", "recall")
CONVENTIONS = {
    "map50": "COCO's 101-point AP at IoU 0.5, mean over classes",
    "map50_95": "the same, mean over IoU 0.5 to 0.95",
    "precision": "at the confidence of the best F1 on the test set itself, IoU 0.5 (YOLOv5's convention)",
    "recall": "as precision",
    "iou": "of all pixels of the test set together",
    "t_interval": "95 %, Student's t over folds, which share images: they say how much draw and seed matter",
    "bootstrap_interval": "95 %, percentiles over resampled test images, of the mean over folds",
}


@dataclass(frozen=True)
class ProofOutputs:
    """Files that `evaluate_proof` writes."""

    detection: Path  # parquet, a row for each training
    segmentation: Path  # parquet, a row for each training and class
    summary: Path  # JSON
    curves: Path  # PNG: precision over recall of each arm
    examples: Path  # PNG: detections of each arm in the same test images
    efficiency: Path  # PNG: scores over the number of real images


def evaluate_proof(
    test_set: str | Path,
    detections: Mapping[Run, str | Path],
    confusion_tables: Mapping[tuple[Task, Run], str | Path],
    sizes: Sizes,
    *,
    detector: str,
    synthetic: str,
    samples: int,
    seed: int,
    outputs: ProofOutputs,
) -> dict:
    """Score every training on the test set and write tables, pictures and the summary, which is returned.

    `detections` and `confusion_tables` are what `run_detector` and `run_segmenter` wrote.
    """
    test = read_set(test_set)
    found = {run: read_detections(path, len(test)) for run, path in detections.items()}
    matches = {run: match_detections(test, items) for run, items in found.items()}
    table = pd.DataFrame([_detection_row(run, item, sizes, detector) for run, item in matches.items()])
    write_table(outputs.detection, table)
    weights = list(image_resamples(len(test), samples, seed))
    boot = _bootstrap(matches, weights)
    summary = {
        "detector": detector,
        "synthetic": synthetic,
        "images": sizes.images,
        "test_images": len(test),
        "test_objects": int(sum(len(item.classes) for item in test)),
        "folds": len({run.fold for run in matches}),
        "conventions": CONVENTIONS,
        "detection": _arms(table, boot),
        "efficiency": _efficiency(table, boot, sizes),
    }
    rows, summary["segmentation"] = _segmentation(confusion_tables, len(test), weights)
    write_table(outputs.segmentation, rows)
    write_json(outputs.summary, summary)
    shown = {arm: [run for run in matches if (run.arm, run.percent) == (arm, 100)] for arm in ARMS}
    write_bytes(
        outputs.curves, draw_precision_recall({arm: [matches[run] for run in runs] for arm, runs in shown.items()})
    )
    write_bytes(outputs.examples, _examples(test, found, table))
    write_bytes(outputs.efficiency, draw_efficiency(summary["efficiency"]))
    return summary


def _detection_row(run: Run, matches: Matches, sizes: Sizes, detector: str) -> dict:
    real, synthetic = counts_of(run.arm, run.percent, sizes.images, sizes.mixed_real_percent)
    return {
        "task": "detection",
        "model": detector,
        **asdict(run),
        "real_images": real,
        "synthetic_images": synthetic,
        **operating_point(matches),
        **mean_average_precision(matches),
    }


def _bootstrap(matches: Mapping[Run, Matches], weights: Sequence[np.ndarray]) -> dict[Run, dict[str, np.ndarray]]:
    """For each training float64 [samples] of each metric; sample i resamples the same test images for all of them."""
    samples = {}
    for run, item in matches.items():
        rows = [mean_average_precision(item, weight) | operating_point(item, weight) for weight in weights]
        samples[run] = {name: np.array([row[name] for row in rows]) for name in DETECTION_METRICS}
    return samples


def _arms(table: pd.DataFrame, boot: Mapping[Run, dict[str, np.ndarray]]) -> dict:
    """Figures of the arms of equal size, and of synthetic against real fold by fold."""
    figures: dict = {}
    for arm in (arm for arm in (*ARMS, *POSE_ARMS) if (table["arm"] == arm).any()):
        rows = table[(table["arm"] == arm) & (table["percent"] == 100)].sort_values("fold")
        figures[arm] = {
            "real_images": int(rows["real_images"].iloc[0]),
            "synthetic_images": int(rows["synthetic_images"].iloc[0]),
        }
        for metric in DETECTION_METRICS:
            over_images = np.mean([boot[Run(arm, 100, fold)][metric] for fold in rows["fold"]], 0)
            figures[arm][metric] = describe(rows[metric].to_numpy(), over_images)
    folds = sorted(table["fold"].unique())
    by_run = table.set_index(["arm", "percent", "fold"])
    figures["synthetic_minus_real"] = {
        metric: describe(
            np.array([by_run.loc[("synthetic", 100, f), metric] - by_run.loc[("real", 100, f), metric] for f in folds]),
            np.mean([boot[Run("synthetic", 100, f)][metric] - boot[Run("real", 100, f)][metric] for f in folds], 0),
        )
        for metric in DETECTION_METRICS
    }
    return figures


def describe(values: np.ndarray, over_images: np.ndarray) -> dict:
    """Mean and standard deviation over folds, and both intervals; null where there is none."""
    values = np.asarray(values, np.float64)
    return {
        "mean": _number(values.mean()),
        "std": _number(values.std(ddof=1)) if len(values) > 1 else None,
        "t_interval": [_number(value) for value in t_interval(values)],
        "bootstrap_interval": [_number(value) for value in percentile_interval(over_images)],
    }


def _efficiency(table: pd.DataFrame, boot: Mapping[Run, dict[str, np.ndarray]], sizes: Sizes) -> dict | None:
    """The curves with and without synthetic frames, and what the synthetic frames are worth; None without curves."""
    real, added = (table[table["arm"] == arm] for arm in ("real", "added"))
    if not len(added):
        return None
    percents = sorted(real["percent"].unique())
    images = [int(real[real["percent"] == percent]["real_images"].iloc[0]) for percent in percents]
    folds = sorted(table["fold"].unique())
    content: dict = {"images": images, "synthetic_images": sizes.images, "metrics": {}}
    for metric in CURVE_METRICS:

        def scores(arm: str, percent: int, metric=metric) -> np.ndarray:
            rows = table[(table["arm"] == arm) & (table["percent"] == percent)].sort_values("fold")
            return rows[metric].to_numpy()

        def resampled(arm: str, percent: int, metric=metric) -> np.ndarray:
            return np.stack([boot[Run(arm, percent, fold)][metric] for fold in folds])

        curves = {
            arm: [describe(scores(arm, p), resampled(arm, p).mean(0)) for p in percents] for arm in ("real", "added")
        }
        value = LearningCurve.fit(images, [scores("real", p).mean() for p in percents]).images_for(
            scores("synthetic", 100).mean()
        )
        over_images = _resampled_worth(images, [resampled("real", p) for p in percents], resampled("synthetic", 100))
        interval = percentile_interval(over_images)
        content["metrics"][metric] = {
            "curves": curves,
            "synthetic_alone": describe(scores("synthetic", 100), resampled("synthetic", 100).mean(0)),
            "worth_real_images": _bounded(value, images),
            "worth_interval": [_bounded(end, images) for end in interval],
            "worth": worth_in_words(sizes.images, value, interval, images[0], images[-1]),
        }
    return content


def _resampled_worth(images: list[int], real: list[np.ndarray], synthetic: np.ndarray) -> np.ndarray:
    """float64 [samples]: what synthetic frames are worth when test images and folds are drawn anew, both at once.

    `real` has float64 [folds, samples] for each number of images, `synthetic` the same for the synthetic arm.
    """
    folds, samples = synthetic.shape
    drawn = np.random.default_rng(folds).integers(0, folds, (samples, folds))
    values = np.empty(samples)
    for sample, chosen in enumerate(drawn):
        curve = LearningCurve.fit(images, [points[chosen, sample].mean() for points in real])
        values[sample] = curve.images_for(synthetic[chosen, sample].mean())
    return values


def _bounded(value: float, images: list[int]) -> dict:
    """A number of real images that may lie beyond those tried: `bound` is then "below" or "above"."""
    if value == 0:
        return {"images": images[0], "bound": "below"}
    if np.isinf(value):
        return {"images": images[-1], "bound": "above"}
    return {"images": round(float(value), 2), "bound": None}


def _segmentation(
    tables: Mapping[tuple[Task, Run], str | Path], images: int, weights: Sequence[np.ndarray]
) -> tuple[pd.DataFrame, dict]:
    """A row for each training and class, and the figures of each task and arm."""
    rows, figures = [], {}
    per_run: dict[tuple[Task, str], list[np.ndarray]] = {}
    for (task, run), path in tables.items():
        names = task_classes(task)
        counts = confusions(pd.read_parquet(path), images, len(names))
        per_run.setdefault((task, run.arm), []).append(counts)
        for name, iou in zip(names, ious(counts.sum(0))):
            rows.append({"task": task, **asdict(run), "class": name, "iou": iou})
    for (task, arm), runs in per_run.items():
        names = task_classes(task)
        values = np.stack([ious(counts.sum(0)) for counts in runs])  # [folds, classes]
        over_images = np.array(
            [np.mean([np.nanmean(ious(np.tensordot(weight, counts, 1))) for counts in runs]) for weight in weights]
        )
        known = {name: value for name, value in zip(names, np.nanmean(values, 0)) if np.isfinite(value)}
        figures.setdefault(task, {})[arm] = {
            "miou": describe(np.nanmean(values, 1), over_images),
            "iou": {name: _number(value) for name, value in known.items()},
        }
    columns = ["task", "arm", "percent", "fold", "class", "iou"]
    return pd.DataFrame(rows, columns=columns), figures


def _examples(test: list[AnnotatedImage], found: Mapping[Run, list], table: pd.DataFrame) -> bytes:
    """Detections of the first fold of each arm, at its own best confidence."""
    best = table.set_index(["arm", "percent", "fold"])["confidence"]
    runs = [Run(arm, 100, 0) for arm in ARMS]
    return draw_examples(test, {run.arm: (found[run], best.loc[(run.arm, 100, 0)]) for run in runs})


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None

"""The experiment's pictures: precision over recall, detections in test images, scores over real images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import cv2
import numpy as np
from matplotlib.figure import Figure

from splatscope.images import encode_png
from splatscope.proof.detection_metrics import RECALLS, Matches, precision_recall_curve
from splatscope.proof.detectors.interface import Detections
from splatscope.proof.image_sets import AnnotatedImage

COLOURS = {"real": "#d4762c", "synthetic": "#2f7ebc", "mixed": "#3f9b5b", "added": "#2f7ebc"}
LABELS = {"real": "real", "synthetic": "synthetic", "mixed": "mixed"}
EXAMPLES = 5
TRUTH_COLOUR = (255, 255, 255)
GAP = 4
METRIC_NAMES = {"map50": "mAP50", "map50_95": "mAP50-95", "recall": "recall"}


def draw_precision_recall(runs: Mapping[str, Sequence[Matches]]) -> bytes:
    """PNG: the curve of each fold, thin, and their mean, for each arm; the area under a curve is mAP50."""
    figure = Figure(figsize=(5.2, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for arm, folds in runs.items():
        curves = np.array([precision_recall_curve(matches) for matches in folds])
        axes.plot(RECALLS, curves.T, color=COLOURS[arm], linewidth=0.6, alpha=0.5)
        label = f"{LABELS[arm]} (mAP50 {curves.mean():.3f})"
        axes.plot(RECALLS, curves.mean(0), color=COLOURS[arm], linewidth=2, label=label)
    axes.set(xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1.005), ylim=(0, 1.02))
    _finish(axes)
    return _png(figure)


def draw_efficiency(content: dict | None) -> bytes:
    """PNG: scores over the number of real images, with and without synthetic ones; intervals over folds.

    `content` is what proof.json has under `efficiency`; None draws a remark.
    """
    if content is None:
        figure = Figure(figsize=(5, 1), dpi=120)
        figure.text(0.5, 0.5, "No curves: proof.efficiency_percents is empty.", ha="center", va="center")
        return _png(figure)
    figure = Figure(figsize=(4.2 * len(content["metrics"]), 3.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(content["metrics"]), squeeze=False)[0]
    for axes, (metric, item) in zip(panels, content["metrics"].items()):
        for arm, label in (("real", "real alone"), ("added", f"real + {content['synthetic_images']} synthetic")):
            means = [point["mean"] for point in item["curves"][arm]]
            ends = np.array([point["bootstrap_interval"] for point in item["curves"][arm]], np.float64)
            axes.plot(content["images"], means, color=COLOURS[arm], marker="o", markersize=4, label=label)
            axes.fill_between(content["images"], ends[:, 0], ends[:, 1], color=COLOURS[arm], alpha=0.15, linewidth=0)
        alone = item["synthetic_alone"]["mean"]
        axes.axhline(alone, color=COLOURS["synthetic"], linestyle="--", linewidth=1, label="synthetic alone")
        axes.set(xlabel="real training images", ylabel=METRIC_NAMES[metric], xscale="log")
        axes.set_xticks(content["images"], [str(count) for count in content["images"]])
        axes.minorticks_off()
        worth = item["worth_real_images"]
        bound = {"below": "fewer than ", "above": "more than ", None: ""}[worth["bound"]]
        axes.set_title(f"{content['synthetic_images']} synthetic ≙ {bound}{worth['images']:.0f} real", fontsize=9.5)
        _finish(axes)
    return _png(figure)


def draw_examples(test: Sequence[AnnotatedImage], arms: Mapping[str, tuple[Sequence[Detections], float]]) -> bytes:
    """PNG: test images evenly spread over the set (rows), the detections of each arm (columns) in its colour.

    True boxes are white. `arms` has detections and the least confidence that is shown.
    """
    rows = []
    for index in np.unique(np.linspace(0, len(test) - 1, EXAMPLES).round().astype(int)):
        panels = []
        for arm, (found, confidence) in arms.items():
            picture = cv2.resize(test[index].rgb, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
            for box in test[index].boxes:
                _rectangle(picture, 1.5 * box, TRUTH_COLOUR, 1)
            item, colour = found[index], _rgb(COLOURS[arm])
            for box, score in zip(item.boxes, item.scores):
                if score >= confidence:
                    _rectangle(picture, 1.5 * box, colour, 2)
                    place = (int(1.5 * box[0]) + 4, int(1.5 * box[1]) + 15)
                    cv2.putText(picture, f"{score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
            cv2.putText(picture, arm, (6, picture.shape[0] - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
            panels += [picture, np.full((picture.shape[0], GAP, 3), 255, np.uint8)]
        row = np.hstack(panels[:-1])
        rows += [row, np.full((GAP, row.shape[1], 3), 255, np.uint8)]
    return encode_png(np.vstack(rows[:-1]))


def _rectangle(picture: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    x, y, w, h = (round(float(value)) for value in box)
    cv2.rectangle(picture, (x, y), (x + w, y + h), colour, width)


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def _finish(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.4, color="0.85")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()

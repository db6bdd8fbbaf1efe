"""The same experiment with segmenters: the tool against everything else, or the classes of the public protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from splatscope.classes import BACKGROUND_ID, IGNORE_ID
from splatscope.config.proof import SegmentationConfig
from splatscope.devices import torch_device
from splatscope.errors import InputError
from splatscope.files import write_table
from splatscope.proof.image_sets import AnnotatedImage, read_set
from splatscope.proof.run_list import Run, Task
from splatscope.proof.runs import Sets, Sizes, training_images, training_seed
from splatscope.restyle.labelled_images import GROUP_NAMES, PROTOCOL_GROUPS, LabelledImage, group_of_class
from splatscope.restyle.segmentation_training import DEMO, train_segmenter
from splatscope.restyle.segmenter import Segmenter, confusion

TOOL_NAMES = ("background", "tool")


def run_segmenter(
    run: Run,
    task: Task,
    sets: Sets,
    sizes: Sizes,
    config: SegmentationConfig,
    class_table: dict[str, int],
    seed: int,
    *,
    device: str,
    confusion_parquet: str | Path,
) -> None:
    """Train a segmenter on the images of a run and write the confusion matrix of each test image."""
    images = training_images(run, sets, sizes, seed)
    segmenter = train_arm(
        labelled(images, task, class_table), task, config, training_seed(run, seed), device=torch_device(device)
    )
    write_table(confusion_parquet, confusion_table(segmenter, labelled(read_set(sets.test), task, class_table)))


def task_classes(task: Task) -> tuple[str, ...]:
    """Names of a task's classes: tool and background, or the five of the public protocol (see labelled_images.py)."""
    return TOOL_NAMES if task == "tool" else GROUP_NAMES


def labelled(images: Sequence[AnnotatedImage], task: Task, class_table: dict[str, int]) -> list[LabelledImage]:
    """Images with the task's classes. Raises InputError when an image has no class map."""
    if task == "tool":
        of_class = np.zeros(256, np.uint8)
        of_class[[class_table[name] for name in PROTOCOL_GROUPS["tool"] if name in class_table]] = 1
        of_class[IGNORE_ID] = IGNORE_ID
    else:
        of_class = group_of_class(class_table)
        of_class[BACKGROUND_ID] = IGNORE_ID
    for image in images:
        if image.class_map is None:
            raise InputError(
                f"image {image.key}",
                found="no class map",
                expected="images with classes",
                remedy="annotate segmentations too, or set proof.segmentation.enabled to false",
            )
    return [LabelledImage(image.rgb, of_class[image.class_map]) for image in images]


def train_arm(
    images: Sequence[LabelledImage],
    task: Task,
    config: SegmentationConfig,
    seed: int,
    *,
    device: torch.device | str = "cpu",
) -> Segmenter:
    """Train a segmenter of a task on labelled images of one size, from random weights."""
    height, width = images[0].target.shape
    recipe = replace(
        DEMO,
        architecture=config.architecture,
        input_size=(width, height),
        crop_size=(width, height),
        batch=config.batch,
        learning_rate=config.learning_rate,
        steps=config.steps,
    )

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 20 == 0:
            print(f"segmenter: step {step} of {steps}, loss {loss:.3f}", flush=True)

    return train_segmenter(images, recipe, seed, classes=task_classes(task), device=device, progress=progress)


def confusion_table(segmenter: Segmenter, images: Sequence[LabelledImage]) -> pd.DataFrame:
    """Rows `image`, `true`, `predicted`, `pixels`: the confusion matrix of each image, without empty cells."""
    rows = []
    for index, item in enumerate(images):
        counts = confusion(segmenter.predict(item.image[None])[0], item.target, len(segmenter.classes))
        rows += [(index, true, guess, int(counts[true, guess])) for true, guess in np.argwhere(counts).tolist()]
    return pd.DataFrame(rows, columns=["image", "true", "predicted", "pixels"])


def confusions(table: pd.DataFrame, images: int, classes: int) -> np.ndarray:
    """int64 [images, classes, classes] of a `confusion_table`."""
    counts = np.zeros((images, classes, classes), np.int64)
    counts[table["image"], table["true"], table["predicted"]] = table["pixels"]
    return counts


def ious(counts: np.ndarray) -> np.ndarray:
    """float64 [classes]: IoU of each class from a confusion matrix [classes, classes]; NaN for one that is absent."""
    hits, union = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

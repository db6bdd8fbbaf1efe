"""Small annotated images for tests of the stage proof: bright bars on dark tissue, one or none in an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from splatscope.proof.detectors import Detections
from splatscope.proof.image_sets import AnnotatedImage

DRIVER, GRASPER = 14, 5
CLASS_TABLE = {"background": 0, "liver": 2, "grasper": GRASPER, "needle driver": DRIVER, "ignore": 255}
torch.set_num_threads(1)


def bar(index: int, width: int = 96, height: int = 64) -> AnnotatedImage:
    """Every fourth image is empty."""
    rng = np.random.default_rng([11, index])
    rgb = rng.normal((120, 50, 45), 6, (height, width, 3))
    class_map = np.zeros((height, width), np.uint8)
    boxes, classes = [], []
    if index % 4 != 3:
        w, h = int(rng.integers(24, 48)), int(rng.integers(12, 24))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        class_map[y : y + h, x : x + w] = DRIVER
        boxes, classes = [[x, y, w, h]], [DRIVER]
    rgb[class_map > 0] = (200, 205, 210)
    image = cv2.GaussianBlur(rgb.clip(0, 255).astype(np.uint8), (0, 0), 0.7)
    return AnnotatedImage(
        f"{index:06d}",
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        class_map,
    )


def random_scene(
    seed: int, images: int, class_ids=(GRASPER, DRIVER), width: int = 200, height: int = 160
) -> tuple[list[AnnotatedImage], list[Detections]]:
    """True boxes and detections that are some of them displaced, some made up, some of the wrong class."""
    rng = np.random.default_rng(seed)

    def box() -> list[float]:
        w, h = rng.uniform(10, 80, 2)
        return [rng.uniform(0, width - w), rng.uniform(0, height - h), w, h]

    truth, found = [], []
    for index in range(images):
        boxes = [box() for _ in range(rng.integers(0, 4))]
        classes = rng.choice(class_ids, len(boxes))
        rows = [
            [*(np.array(true) + rng.normal(0, rng.choice([1, 6]), 4)), rng.choice([label, rng.choice(class_ids)])]
            for true, label in zip(boxes, classes)
            for _ in range(rng.integers(0, 3))
        ]
        rows += [[*box(), rng.choice(class_ids)] for _ in range(rng.integers(0, 4))]
        table = np.array(rows, np.float64).reshape(-1, 5)
        table[:, 2:4] = np.maximum(table[:, 2:4], 2)
        scores = np.sort(rng.random(len(table)))[::-1]
        blank = np.zeros((height, width, 3), np.uint8)
        truth.append(
            AnnotatedImage(f"{index:06d}", blank, np.array(boxes, np.float32).reshape(-1, 4), classes.astype(np.int64))
        )
        found.append(Detections(table[:, :4].astype(np.float32), scores.astype(np.float32), table[:, 4].astype(int)))
    return truth, found

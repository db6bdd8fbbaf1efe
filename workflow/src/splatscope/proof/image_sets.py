"""Annotated images at the size at which networks see them.

A set is a frame shard. Each frame's meta has `boxes`, a list of [x, y, width, height, class id] in its pixels, and
`source`: the recording or shard and the frame there, and of a synthetic frame whether a recorded one gave its poses.
Its class map, where there is one, has IGNORE_ID on the padding and where the recording has no usable pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splatscope.shards import read_shard

PADDING_GREY = 114  # as YOLO detectors pad


@dataclass(frozen=True)
class AnnotatedImage:
    """One image, the boxes in it, and the class of each pixel where that is known."""

    key: str
    rgb: np.ndarray  # uint8 [H, W, 3], sRGB
    boxes: np.ndarray  # float32 [N, 4]: x, y of the upper left corner, width, height, in pixels
    classes: np.ndarray  # int64 [N]: class ids of the class table
    class_map: np.ndarray | None = None  # uint8 [H, W]; IGNORE_ID where unknown
    posed_about_recorded: bool = False  # of synthetic images: whether a recorded frame gave the poses


def read_set(path: str | Path) -> list[AnnotatedImage]:
    """The images of a set, in memory."""
    images = []
    for frame in read_shard(path):
        rows = np.array(frame.meta["boxes"], np.float64).reshape(-1, 5)
        boxes, classes = rows[:, :4].astype(np.float32), rows[:, 4].astype(np.int64)
        about_recorded = frame.meta["source"].get("posed_about_recorded", False)
        images.append(AnnotatedImage(frame.key, frame.rgb, boxes, classes, frame.class_map, about_recorded))
    return images

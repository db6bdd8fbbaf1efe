"""Detections as a table, so that they can be scored again without training again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.proof.detectors.interface import Detections


def detections_table(found: Sequence[Detections]) -> pd.DataFrame:
    """Detections of some images as the rows of one table."""
    boxes = np.concatenate([item.boxes for item in found]).astype(np.float32).reshape(-1, 4)
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(len(found)), [len(item.scores) for item in found]),
            **{name: boxes[:, column] for column, name in enumerate(("x", "y", "width", "height"))},
            "score": np.concatenate([item.scores for item in found]).astype(np.float32),
            "class_id": np.concatenate([item.classes for item in found]).astype(np.int64),
        }
    )


def read_detections(path: str | Path, images: int) -> list[Detections]:
    """What `detections_table` had of each of `images` images."""
    table = pd.read_parquet(path)
    columns = table["image"].to_numpy(), table[["x", "y", "width", "height"]].to_numpy(np.float32)
    scores, classes = table["score"].to_numpy(np.float32), table["class_id"].to_numpy(np.int64)
    return [
        Detections(columns[1][rows], scores[rows], classes[rows])
        for rows in (np.flatnonzero(columns[0] == image) for image in range(images))
    ]

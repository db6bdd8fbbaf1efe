"""What is known of a dataset's frames and instances, some bytes each, when the frames themselves have gone by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Measures:
    """N frames and K annotated instances, in the order of shards and keys. What is off has no columns."""

    names: list[str]  # N, of the images in the dataset
    places: list[tuple[Path, str]]  # N: shard and key
    classes: np.ndarray  # bool [N, C]: shows class c of the floors
    thumbnails: np.ndarray  # int8 [N, D]
    features: np.ndarray  # float32 [N, F]
    frame: np.ndarray  # int64 [K]: the frame of an instance
    instance: np.ndarray  # int64 [K]
    visibility: np.ndarray  # float64 [K]
    disagreement: np.ndarray  # float64 [K]; NaN: unknown
    # set when all frames are known
    earlier: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # [N]: nearest frame before; -1 none
    difference: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [N] to it, in levels; NaN none
    nearest_real: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # [N]: index into real_files
    real_distance: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [N]
    real_files: list[Path] = field(default_factory=list)

    @classmethod
    def joined(cls, parts: Sequence[Measures]) -> Measures:
        """Of all shards."""
        starts = np.cumsum([0, *(len(part.names) for part in parts)])

        def together(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            [name for part in parts for name in part.names],
            [place for part in parts for place in part.places],
            *(together(name) for name in ("classes", "thumbnails", "features")),
            np.concatenate([part.frame + start for part, start in zip(parts, starts)]),
            *(together(name) for name in ("instance", "visibility", "disagreement")),
        )

    def instance_at(self, row: int) -> tuple[str, int]:
        """The image's name and the instance's number of an instance, by its row."""
        return self.names[self.frame[row]], int(self.instance[row])

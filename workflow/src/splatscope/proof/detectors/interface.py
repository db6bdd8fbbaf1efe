"""What every detector gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image, most confident first."""

    boxes: np.ndarray  # float32 [N, 4]: x, y of the upper left corner, width, height, in pixels
    scores: np.ndarray  # float32 [N]: confidence, 0..1
    classes: np.ndarray  # int64 [N]: class ids of the class table

    def __post_init__(self):
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,) or self.scores.ndim != 1:
            raise ValueError(
                f"expected boxes [N, 4], scores [N], classes [N], got {list(self.boxes.shape)}, "
                f"{list(self.scores.shape)}, {list(self.classes.shape)}"
            )


class Detector(Protocol):
    """A trained detector."""

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Detections in each of some uint8 [H, W, 3] sRGB images of the size it was trained at."""

    def save(self, path: str | Path) -> None:
        """Write the weights as .safetensors, and in its metadata what is needed to use them."""

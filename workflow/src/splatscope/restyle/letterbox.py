"""Frames inside a square canvas, for models that were trained at one size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Letterbox:
    """A picture of `height` x `width` pixels scaled to fill a square of `canvas_px`, centred, black bars beside it."""

    height: int
    width: int
    canvas_px: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, left, height and width in pixels of the picture on the canvas."""
        scale = self.canvas_px / max(self.height, self.width)
        height, width = round(self.height * scale), round(self.width * scale)
        return (self.canvas_px - height) // 2, (self.canvas_px - width) // 2, height, width

    def apply(self, image: np.ndarray) -> np.ndarray:
        """float32 [canvas, canvas, C] of float32 [H, W, C] in 0..1."""
        if image.ndim != 3 or image.shape[:2] != (self.height, self.width):
            raise ValueError(f"expected [{self.height}, {self.width}, C], got {list(image.shape)}")
        top, left, height, width = self.box
        canvas = np.zeros((self.canvas_px, self.canvas_px, image.shape[2]), np.float32)
        canvas[top : top + height, left : left + width] = _resize(image, height, width)
        return canvas

    def undo(self, canvas: np.ndarray) -> np.ndarray:
        """float32 [H, W, C] of float32 [canvas, canvas, C] in 0..1."""
        top, left, height, width = self.box
        return _resize(canvas[top : top + height, left : left + width], self.height, self.width)


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Lanczos upwards, area averages downwards; [h, w, C] of any number of channels."""
    kind = cv2.INTER_LANCZOS4 if height > image.shape[0] else cv2.INTER_AREA
    # OpenCV takes four channels at most with these filters
    planes = [
        cv2.resize(np.ascontiguousarray(image[..., c]), (width, height), interpolation=kind)
        for c in range(image.shape[2])
    ]
    return np.clip(np.stack(planes, axis=2), 0, 1)

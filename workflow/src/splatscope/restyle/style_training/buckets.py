"""Aspect-ratio buckets: training pictures of like shape are cropped to one size, so that they form batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.config.style_training import TrainingConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import LatentDiffusion

MAX_ENLARGEMENT = 2.0  # beyond it a model learns blur


@dataclass(frozen=True)
class Crop:
    """The part of an image that is shown, and the size it is brought to; all in pixels."""

    left: int
    top: int
    width: int
    height: int
    bucket: tuple[int, int]  # width, height

    @property
    def enlargement(self) -> float:
        return self.bucket[0] / self.width

    def apply(self, image: np.ndarray) -> np.ndarray:
        """[bucket height, bucket width, C] of [H, W, C]; averages over areas when it shrinks."""
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        if part.shape[1::-1] == self.bucket:
            return np.ascontiguousarray(part)
        how = cv2.INTER_CUBIC if self.enlargement > 1 else cv2.INTER_AREA
        return cv2.resize(part, self.bucket, interpolation=how).reshape(*self.bucket[::-1], *image.shape[2:])


def bucket_sizes(resolution: int, least: int, greatest: int, step: int) -> list[tuple[int, int]]:
    """(width, height) of all buckets: multiples of `step`, as close to resolution² pixels as fit in."""
    side = resolution // step * step
    sizes = {(side, side)}
    for width in range(math.ceil(least / step) * step, greatest + 1, step):
        height = min(greatest, resolution**2 // width) // step * step
        if height >= least:
            sizes |= {(width, height), (height, width)}
    return sorted(sizes)


def choose_crop(width: int, height: int, sizes: list[tuple[int, int]]) -> Crop:
    """The centred crop of an image to the bucket of nearest aspect ratio; of equally near ones the largest."""
    aspect = math.log(width / height)
    bucket = min(sizes, key=lambda size: (abs(math.log(size[0] / size[1]) - aspect), -size[0] * size[1]))
    scale = max(bucket[0] / width, bucket[1] / height)
    shown = min(width, round(bucket[0] / scale)), min(height, round(bucket[1] / scale))
    return Crop((width - shown[0]) // 2, (height - shown[1]) // 2, *shown, bucket)


def check_bucket_step(base: LatentDiffusion, config: TrainingConfig) -> None:
    """Raise InputError unless pictures of all buckets fit the U-Net."""
    multiple = base.pixel_multiple
    if config.bucket_step % multiple:
        raise InputError(
            base.name,
            "key bucket_step",
            found=f"{config.bucket_step} pixels",
            expected=f"a multiple of {multiple}, for this model's U-Net",
            remedy=f"set bucket_step to {multiple}",
        )

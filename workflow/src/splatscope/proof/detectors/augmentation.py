"""Augmented training samples for a detector: equal for every arm, drawn from torch's global generator."""

from __future__ import annotations

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from splatscope.proof.image_sets import PADDING_GREY

SCALES, SHIFT = (0.75, 1.3), 0.1
MIN_SIDE_PX = 4.0  # boxes that a shift leaves smaller are dropped


def augmentation() -> v2.Transform:
    """Scale, shift and mirror; brightness, contrast, saturation, a colour cast, blur and noise.

    Takes a dict with `image` (uint8 [3, H, W]), `boxes` (BoundingBoxes) and `labels`; the image becomes float 0..1.
    """
    return v2.Compose(
        [
            v2.RandomAffine(
                degrees=0,
                translate=(SHIFT, SHIFT),
                scale=SCALES,
                interpolation=v2.InterpolationMode.BILINEAR,
                fill=PADDING_GREY,
            ),
            v2.RandomHorizontalFlip(0.5),
            v2.ClampBoundingBoxes(),
            v2.SanitizeBoundingBoxes(min_size=MIN_SIDE_PX, labels_getter=lambda sample: sample["labels"]),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.5),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Lambda(_change_gains, tv_tensors.Image),
            v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.5))], 0.3),
            v2.RandomApply([v2.GaussianNoise(sigma=0.02)], 0.5),
            v2.Lambda(_clamped, tv_tensors.Image),
        ]
    )


def sample_of(rgb: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> dict:
    """A sample for `augmentation`: uint8 [H, W, 3], boxes [N, 4] (x, y, width, height), labels [N]."""
    return {
        "image": tv_tensors.Image(torch.from_numpy(rgb).permute(2, 0, 1)),
        "boxes": tv_tensors.BoundingBoxes(
            torch.from_numpy(np.array(boxes, np.float32)).reshape(-1, 4), format="XYWH", canvas_size=rgb.shape[:2]
        ),
        "labels": torch.from_numpy(np.array(labels, np.int64)),
    }


def _change_gains(image: torch.Tensor) -> torch.Tensor:
    return (image * torch.empty(3, 1, 1).uniform_(-0.12, 0.12).exp()).clamp(0, 1)


def _clamped(image: torch.Tensor) -> torch.Tensor:
    """A blur of white may round to more than 1."""
    return image.clamp(0, 1)

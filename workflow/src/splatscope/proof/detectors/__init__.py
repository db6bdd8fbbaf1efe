"""Detectors behind one small interface: `train_detector` gives a `Detector`, whose `detect` gives `Detections`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from splatscope.config.proof import DetectionConfig
from splatscope.proof.detectors.interface import Detections, Detector
from splatscope.proof.image_sets import AnnotatedImage

__all__ = ["Detections", "Detector", "train_detector", "training_steps"]


def training_steps(images: int, config: DetectionConfig) -> int:
    """Steps of every training: `epochs` passes over a set of `images`, however many images a set has."""
    return config.epochs * -(-images // config.batch)


def train_detector(
    images: Sequence[AnnotatedImage],
    class_ids: Sequence[int],
    config: DetectionConfig,
    steps: int,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
) -> Detector:
    """Train a detector of the classes `class_ids` on annotated images of one size, from random weights.

    `progress` is told the step, the number of steps and the loss. On a CPU and one thread equal arguments give equal
    weights. Nothing is downloaded. Raises InputError when the backend is not installed.
    """
    if config.detector == "ultralytics":
        from splatscope.proof.detectors.ultralytics_yolo import train_ultralytics

        return train_ultralytics(images, class_ids, config, steps, seed, device=device)
    from splatscope.proof.detectors.yolox import train_yolox

    return train_yolox(images, class_ids, config, steps, seed, device=device, progress=progress)

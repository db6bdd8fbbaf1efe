"""YOLOX (Ge et al. 2021) with the network and loss of libreyolo, and a training loop that is the same for equal seeds.

libreyolo is MIT-licensed, YOLOX Apache-2.0. Nothing of libreyolo's trainer, downloads or pretrained weights is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from libreyolo.models.yolox.nn import LibreYOLOXModel
from libreyolo.postprocess.yolox import decode_outputs
from safetensors.torch import save
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image

from splatscope.config.proof import DetectionConfig
from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.proof.detectors.augmentation import augmentation, sample_of
from splatscope.proof.detectors.interface import Detections
from splatscope.proof.image_sets import AnnotatedImage

SIZES = {"yolox_nano": "n", "yolox_tiny": "t"}
LEVELS = 255.0  # the network sees 0..255
WARM_UP = 0.1  # share of the steps
LAST_RATE = 0.02  # share of the learning rate at the end
# AdamW's usual 0.999 remembers the huge gradients of the first steps for a thousand more and hardly moves meanwhile:
# some trainings of 960 steps did not leave their first plateau.
BETAS = 0.9, 0.99
BATCH_NORM_MOMENTUM = 0.1  # YOLOX's own 0.03 is for long trainings: after some hundred steps its averages lag behind
MAX_DETECTIONS = 100  # as COCO counts them
NMS_CANDIDATES = 1000
INFERENCE_BATCH = 16


class YoloxDetector:
    """A trained YOLOX."""

    def __init__(self, network: LibreYOLOXModel, class_ids: Sequence[int], config: DetectionConfig):
        self.network, self.class_ids, self.config = network.eval(), tuple(class_ids), config

    @torch.no_grad()
    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """See `Detector.detect`."""
        device = next(self.network.parameters()).device
        found = []
        for start in range(0, len(images), INFERENCE_BATCH):
            pixels = np.stack(images[start : start + INFERENCE_BATCH])
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device).float()
            decoded = decode_outputs(self.network(batch.contiguous(memory_format=torch.channels_last)))
            found += [self._detections(rows, pixels.shape[1:3]) for rows in decoded]
        return found

    def _detections(self, rows: torch.Tensor, size: tuple[int, int]) -> Detections:
        """`rows` float [anchors, 5 + classes]: centre x, y, width, height in px, objectness, class probabilities."""
        scores, labels = (rows[:, 4:5] * rows[:, 5:]).max(1)
        boxes = clip_boxes_to_image(box_convert(rows[:, :4], "cxcywh", "xyxy"), size)
        order = torch.argsort(scores, descending=True, stable=True)[:NMS_CANDIDATES]
        order = order[scores[order] > self.config.min_confidence]
        order = order[(boxes[order, 2:] > boxes[order, :2]).all(1)]
        order = order[batched_nms(boxes[order], scores[order], labels[order], self.config.nms_iou)][:MAX_DETECTIONS]
        class_ids = np.array(self.class_ids, np.int64)
        return Detections(
            box_convert(boxes[order], "xyxy", "xywh").cpu().numpy(),
            scores[order].cpu().numpy(),
            class_ids[labels[order].cpu().numpy()],
        )

    def save(self, path: str | Path) -> None:
        """See `Detector.save`."""
        about = {"detector": self.config.detector, "class_ids": self.class_ids}
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        write_bytes(path, save(weights, metadata={"splatscope": json.dumps(about, sort_keys=True)}))


def train_yolox(
    images: Sequence[AnnotatedImage],
    class_ids: Sequence[int],
    config: DetectionConfig,
    steps: int,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
) -> YoloxDetector:
    """See `train_detector`. AdamW with warm-up and cosine."""
    if not len(images):
        raise InputError("detector", found="no images", expected="one or more", remedy="raise proof.images")
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = LibreYOLOXModel(SIZES[config.detector], len(class_ids))
        network.init_weights()
        network.head.use_l1 = True  # as in the last epochs of YOLOX
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = BATCH_NORM_MOMENTUM
        network = network.to(device, memory_format=torch.channels_last).train()
        _fit(network, _Batches(images, class_ids, config.batch, seed), config, steps, device, progress)
    return YoloxDetector(network, class_ids, config)


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: linear warm-up, then a cosine down to LAST_RATE."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, steps - warm_up)
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))


def _fit(network, batches: _Batches, config: DetectionConfig, steps: int, device, progress) -> None:
    decayed = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim <= 1]  # biases and normalisation
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=BETAS,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
    for step in range(steps):
        pixels, targets = batches(step)
        pixels = pixels.to(device).contiguous(memory_format=torch.channels_last)
        loss = network(pixels, targets.to(device))["total_loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, float(loss.detach()))


class _Batches:
    """Augmented batches by step number: passes over the images, each in an order of its own, drawn from the seed."""

    def __init__(self, images: Sequence[AnnotatedImage], class_ids: Sequence[int], batch: int, seed: int):
        self.images, self.batch, self.seed = images, batch, seed
        self.labels = {class_id: label for label, class_id in enumerate(class_ids)}
        self.most = max(1, *(len(image.classes) for image in images))
        self.augment = augmentation()

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [N, 3, H, W] in 0..255; float32 [N, M, 5]: label, centre x, y, width, height, rows of 0 at the end.

        The samples of all passes lie one after the other, so that every batch is full, also of a set smaller than one.
        """
        places = range(step * self.batch, (step + 1) * self.batch)
        chosen = [self._image(*divmod(place, len(self.images))) for place in places]
        pixels, targets = [], torch.zeros(self.batch, self.most, 5)
        for row, image in enumerate(chosen):
            labels = np.array([self.labels[int(class_id)] for class_id in image.classes], np.int64)
            sample = self.augment(sample_of(image.rgb, image.boxes, labels))
            boxes = box_convert(sample["boxes"].as_subclass(torch.Tensor), "xywh", "cxcywh")
            targets[row, : len(boxes)] = torch.cat([sample["labels"][:, None].float(), boxes], 1)
            pixels.append(sample["image"].as_subclass(torch.Tensor))
        return torch.stack(pixels) * LEVELS, targets

    def _image(self, epoch: int, place: int) -> AnnotatedImage:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
        return self.images[int(order[place])]

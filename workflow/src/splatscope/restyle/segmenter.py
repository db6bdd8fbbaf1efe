"""A trained segmenter: classes of an image's pixels by the public protocol, mean IoU, and its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from splatscope.classes import IGNORE_ID
from splatscope.documents import parse_json
from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.restyle.labelled_images import GROUP_NAMES, LabelledImage
from splatscope.restyle.segmentation_networks import Architecture, build_network

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what fcn_resnet50 expects
BATCH = 16


@dataclass
class Segmenter:
    """A network in evaluation mode and the size at which it looks at images."""

    network: nn.Module
    architecture: Architecture
    input_size: tuple[int, int] | None  # width, height; or
    base_size: int | None  # px, the shorter side
    start: str  # what training began from
    classes: tuple[str, ...] = GROUP_NAMES

    @torch.no_grad()
    def predict(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """uint8 [N, H, W], index in `classes`, of uint8 [N, H, W, 3] sRGB; logits are resized to the images' size."""
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 [N, H, W, 3], got {images.dtype} {list(images.shape)}")
        return np.concatenate([self._predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])

    def _predict(self, images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        device = next(self.network.parameters()).device
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
        if self.input_size:
            size = self.input_size[::-1]
        else:
            factor = self.base_size / min(height, width)
            size = (round(height * factor), round(width * factor))
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        logits = self.network(((pixels - mean) / std).contiguous(memory_format=torch.channels_last))
        logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        return logits.argmax(1).to(torch.uint8).cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write weights and what belongs to them as .safetensors."""
        about = {
            "architecture": self.architecture,
            "input_size": self.input_size,
            "base_size": self.base_size,
            "start": self.start,
            "classes": self.classes,
        }
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        write_bytes(path, save(weights, metadata={"segmenter": json.dumps(about, sort_keys=True)}))


def load_segmenter(path: str | Path, device: torch.device | str = "cpu") -> Segmenter:
    """Read what `Segmenter.save` wrote, of the protocol's classes. Raises InputError for anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            about = parse_json((file.metadata() or {})["segmenter"], path)
            if tuple(about["classes"]) != GROUP_NAMES:
                raise ValueError(f"classes {about['classes']}")
            network = build_network(about["architecture"], len(GROUP_NAMES))
            network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            path,
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            expected="a segmenter (.safetensors) of this version",
            remedy="delete the file and run the same command again: the stage that makes it will",
        ) from error
    network = network.to(device, memory_format=torch.channels_last).eval()
    size = about["input_size"]
    return Segmenter(network, about["architecture"], tuple(size) if size else None, about["base_size"], about["start"])


def confusion(predicted: np.ndarray, target: np.ndarray, classes: int = len(GROUP_NAMES)) -> np.ndarray:
    """int64 [classes, classes]: pixels by true (row) and predicted (column) class; ignored pixels are left out.

    Sum it over images: the protocol's IoU is that of all pixels together.
    """
    counted = target != IGNORE_ID
    pairs = target[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_ious(counts: np.ndarray) -> dict[str, float]:
    """IoU of each class from a confusion matrix; NaN for a class that is neither there nor predicted."""
    hits, union = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    return {name: float(hit / total) if total else float("nan") for name, hit, total in zip(GROUP_NAMES, hits, union)}


def mean_iou(counts: np.ndarray) -> float:
    """mIoU: mean IoU over the classes that are there or predicted; NaN when there are none."""
    known = [value for value in class_ious(counts).values() if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def count_pixels(segmenter: Segmenter, labelled: Iterable[LabelledImage]) -> np.ndarray:
    """The confusion matrix of a segmenter over labelled images, each at its own size."""
    counts = np.zeros((len(GROUP_NAMES),) * 2, np.int64)
    for item in labelled:
        counts += confusion(segmenter.predict(item.image[None])[0], item.target)
    return counts

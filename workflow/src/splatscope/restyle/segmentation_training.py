"""Training of a segmenter: the public protocol's recipe and a small one for a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from splatscope.classes import IGNORE_ID
from splatscope.errors import InputError
from splatscope.restyle.labelled_images import GROUP_NAMES, LabelledImage, reduced
from splatscope.restyle.segmentation_networks import Architecture, build_network
from splatscope.restyle.segmenter import IMAGENET_MEAN, IMAGENET_STD, Segmenter


@dataclass(frozen=True)
class Recipe:
    """How a segmenter is trained. Learning rates fall to 0 by a power of the share of steps left."""

    architecture: Architecture
    input_size: tuple[int, int] | None  # width, height that every image is resized to; None: see base_size
    base_size: int | None  # px: the shorter side of an image when it is judged
    crop_size: tuple[int, int]  # width, height of a training sample
    batch: int
    learning_rate: float
    weight_decay: float
    epochs: int | None = None  # either passes over all images
    steps: int | None = None  # or batches, so that the time does not depend on how many images there are
    auxiliary_weight: float = 0.0
    power: float = 0.9
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD
    strong_augmentation: bool = False  # colour, blur and noise, beside scale, place and mirror
    rare_classes_count_more: bool = False  # a pixel by the inverse square root of its class's share


PAPER = Recipe(  # Kaleta et al., IJCARS 2024; momentum 0.9
    architecture="fcn_resnet50",
    input_size=None,
    base_size=512,
    crop_size=(400, 400),
    batch=2,
    learning_rate=1.25e-3,
    weight_decay=1e-4,
    epochs=30,
    auxiliary_weight=0.5,
)
DEMO = Recipe(
    architecture="unet",
    input_size=(160, 128),
    base_size=None,
    crop_size=(160, 128),
    batch=8,
    learning_rate=4e-3,
    weight_decay=1e-2,
    steps=400,
    optimizer=torch.optim.AdamW,
    strong_augmentation=True,
    rare_classes_count_more=True,
)
DEMO_EVALUATION = replace(DEMO, architecture="dilated")  # shares neither layers nor seed with the gate's
RECIPES = {"paper": PAPER, "demo": DEMO, "demo_evaluation": DEMO_EVALUATION}


def train_segmenter(
    labelled: Sequence[LabelledImage],
    recipe: Recipe,
    seed: int,
    *,
    classes: tuple[str, ...] = GROUP_NAMES,
    backbone_weights: str | Path | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
) -> Segmenter:
    """Train on labelled images, whose targets are indices in `classes`; `progress` is told the step, the number of
    steps and the loss.

    Equal images, recipe and seed give equal weights on one machine and thread. `backbone_weights`: a .safetensors or
    .pth of torchvision's resnet50 for fcn_resnet50, which the protocol begins from; without it the network begins
    from random weights, and `Segmenter.start` says so. Raises InputError when there is nothing to learn from or the
    weights do not fit.
    """
    if not len(labelled):
        raise InputError("segmenter", found="no labelled images", expected="one or more", remedy="name other shards")
    steps = recipe.steps or -(-len(labelled) // recipe.batch) * recipe.epochs
    device = torch.device(device)
    backbone = _read_backbone(Path(backbone_weights)) if backbone_weights is not None else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = build_network(recipe.architecture, len(classes))
        start = "random weights"
        if backbone is not None:
            start = f"torchvision resnet50 weights from {Path(backbone_weights).name}"
            _load_backbone(network, backbone, Path(backbone_weights))
        network = network.to(device, memory_format=torch.channels_last).train()
        _fit(network, _Batches(labelled, recipe, seed, len(classes)), recipe, steps, device, progress)
    return Segmenter(network.eval(), recipe.architecture, recipe.input_size, recipe.base_size, start, classes)


def _fit(network, batches: _Batches, recipe: Recipe, steps: int, device: torch.device, progress) -> None:
    settings = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer is torch.optim.SGD:
        settings["momentum"] = 0.9
    optimizer = recipe.optimizer(network.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, recipe.power)
    class_weights = batches.class_weights().to(device)
    for step in range(steps):
        images, targets = batches(step)
        logits = network(images.to(device, memory_format=torch.channels_last))
        targets = targets.to(device)
        loss = 0.0
        for weight, output in zip((1.0, recipe.auxiliary_weight), logits if isinstance(logits, tuple) else (logits,)):
            # a crop can hold ignored pixels only: the mean over none would be NaN
            total = F.cross_entropy(output, targets, class_weights, ignore_index=IGNORE_ID, reduction="sum")
            loss = loss + weight * total / (targets != IGNORE_ID).sum().clamp(min=1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, float(loss.detach()))


class _Batches:
    """Augmented batches by step number: each epoch in an order of its own, all drawn from the seed."""

    def __init__(self, labelled: Sequence[LabelledImage], recipe: Recipe, seed: int, classes: int):
        self.labelled, self.recipe, self.seed, self.classes = labelled, recipe, seed, classes
        if recipe.input_size:
            self.labelled = [reduced(item, *recipe.input_size) for item in labelled]
        self.augment = _augmentation(recipe)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [N, 3, h, w] normalised, int64 [N, h, w]."""
        per_epoch = -(-len(self.labelled) // self.recipe.batch)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.labelled))
        # the last batch of an epoch is filled up from its beginning: batch normalisation wants more than one
        chosen = np.resize(order, per_epoch * self.recipe.batch)[place * self.recipe.batch :][: self.recipe.batch]
        pairs = [self._sample(self.labelled[int(index)]) for index in chosen]
        images, targets = zip(*pairs)
        return torch.stack(images), torch.stack(targets)

    def class_weights(self) -> torch.Tensor:
        """float32 [classes]; 1 where the recipe treats all alike, a mean of 1 over the pixels otherwise."""
        if not self.recipe.rare_classes_count_more:
            return torch.ones(self.classes)
        counts = sum(np.bincount(item.target.ravel(), minlength=256)[: self.classes] for item in self.labelled)
        share = counts / max(counts.sum(), 1)
        weights = 1 / np.sqrt(np.maximum(share, 1e-3))
        return torch.from_numpy(weights / max((weights * share).sum(), 1e-6)).float()

    def _sample(self, item: LabelledImage) -> tuple[torch.Tensor, torch.Tensor]:
        image = tv_tensors.Image(torch.from_numpy(item.image).permute(2, 0, 1))
        target = tv_tensors.Mask(torch.from_numpy(item.target))
        image, target = self.augment(image, target)
        return image.as_subclass(torch.Tensor), target.as_subclass(torch.Tensor).long()


def _augmentation(recipe: Recipe) -> v2.Compose:
    width, height = recipe.crop_size
    fill = {tv_tensors.Image: (124, 116, 104), tv_tensors.Mask: IGNORE_ID}
    if not recipe.strong_augmentation:  # as torchvision's reference for segmentation has it
        base = recipe.base_size
        return v2.Compose(
            [
                v2.RandomResize(int(0.5 * base), 2 * base + 1),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomCrop((height, width), pad_if_needed=True, fill=fill),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )
    return v2.Compose(
        [
            v2.RandomResizedCrop((height, width), scale=(0.4, 1.0), ratio=(1.0, 1.6)),
            v2.RandomHorizontalFlip(0.5),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.6, hue=0.12),
            v2.ToDtype(torch.float32, scale=True),
            v2.Lambda(_change_gains),
            v2.RandomApply([v2.GaussianBlur(9, (0.3, 2.5))], 0.5),
            v2.RandomApply([v2.GaussianNoise(sigma=0.03)], 0.5),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def _change_gains(item: torch.Tensor) -> torch.Tensor:
    """A colour cast: each channel has its own gain and gamma."""
    if not isinstance(item, tv_tensors.Image):
        return item
    gain, gamma = torch.empty(2, 3, 1, 1).uniform_(-0.25, 0.25).exp()
    return (item**gamma * gain).clamp(0, 1)


def _read_backbone(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except OSError as error:
        raise _unfit(path, error.strerror or str(error)) from error
    except Exception as error:  # of several libraries: no checkpoint, or one with objects that are no weights
        raise _unfit(path, f"no plain weights ({type(error).__name__})") from error


def _load_backbone(network: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Put torchvision's resnet50 into the encoder of fcn_resnet50; its classifier is left out."""
    try:
        encoder = network.get_submodule("model.backbone")
        encoder.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")})
    except (AttributeError, RuntimeError) as error:
        raise _unfit(path, str(error).splitlines()[0]) from error


def _unfit(path: Path, found: str) -> InputError:
    return InputError(
        path,
        found=found,
        expected="weights of torchvision's resnet50 (resnet50-0676ba61.pth or resnet50-11ad3fa6.pth), for fcn_resnet50",
        remedy="download them from https://download.pytorch.org/models/, or set segmenter_backbone to null to begin at "
        "random weights",
    )

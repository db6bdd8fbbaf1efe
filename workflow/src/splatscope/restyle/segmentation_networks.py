"""The segmenters' networks: torchvision's fcn_resnet50 of the public protocol, and two small ones for a CPU.

All take float32 [N, 3, H, W] and give logits [N, classes, H, W]; in training fcn_resnet50 gives a second, auxiliary
map. The small ones share no layer, so that one can judge what the other has chosen.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation import fcn_resnet50

Architecture = Literal["fcn_resnet50", "unet", "dilated"]


def build_network(architecture: Architecture, classes: int) -> nn.Module:
    """A network with random weights (drawn from torch's global generator); nothing is downloaded."""
    match architecture:
        case "fcn_resnet50":
            return _Fcn(classes)
        case "unet":
            return _UNet(classes)
        case "dilated":
            return _DilatedNet(classes)
    raise ValueError(f"expected one of fcn_resnet50, unet, dilated, got {architecture!r}")


class _Fcn(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.model = fcn_resnet50(weights=None, weights_backbone=None, num_classes=classes, aux_loss=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        maps = self.model(images)
        return (maps["out"], maps["aux"]) if self.training else maps["out"]


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) that begins at half resolution; sides must be multiples of 16. 0.5 M weights."""

    WIDTHS = (16, 32, 64, 112)

    def __init__(self, classes: int):
        super().__init__()
        widths = self.WIDTHS
        self.stem = _convolution(3, widths[0], kernel=5, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(before, width), _convolution(width, width))
            for before, width in zip((widths[0], *widths), widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(_convolution(deep + width, width), _convolution(width, width))
            for deep, width in zip(widths[:0:-1], widths[-2::-1])
        )
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stem(images)
        skips = []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else F.max_pool2d(features, 2))
            skips.append(features)
        for block, skip in zip(self.up, skips[-2::-1]):
            features = block(torch.cat([F.interpolate(features, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return F.interpolate(self.head(features), size=images.shape[-2:], mode="bilinear", align_corners=False)


class _DilatedNet(nn.Module):
    """Dilated residual convolutions at quarter resolution (after Yu and Koltun 2016) and one skip at half. 0.1 M."""

    WIDTH = 40
    DILATIONS = (1, 2, 4, 8, 1)

    def __init__(self, classes: int):
        super().__init__()
        self.fine = nn.Sequential(_convolution(3, 16, stride=2), _convolution(16, 16))
        self.coarse = _convolution(16, self.WIDTH, stride=2)
        self.context = nn.ModuleList(_convolution(self.WIDTH, self.WIDTH, dilation=step) for step in self.DILATIONS)
        self.scene = nn.Conv2d(self.WIDTH, self.WIDTH, 1)  # of the whole image's mean: what kind of view it is
        self.merge = _convolution(self.WIDTH + 16, 32)
        self.head = nn.Conv2d(32, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fine = self.fine(images)
        features = self.coarse(fine)
        for block in self.context:
            features = features + block(features)
        features = features + self.scene(features.mean(dim=(2, 3), keepdim=True))
        raised = F.interpolate(features, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.head(self.merge(torch.cat([raised, fine], dim=1)))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)

"""Training views as tensors, at full size and reduced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from splatscope.images import resize_area
from splatscope.splats.initialise import TrainingView


@dataclass(frozen=True)
class Photograph:
    """What one view shows at one resolution."""

    image: torch.Tensor  # float32 [H, W, 3] in 0..1, its planes contiguous, as the native loss reads them
    mask: torch.Tensor | None  # bool [H, W]; False carries no loss. None: all of it counts
    intrinsics: torch.Tensor  # float32 [1, 3, 3]

    def to(self, device: torch.device) -> Photograph:
        mask = None if self.mask is None else self.mask.to(device)
        return Photograph(self.image.to(device), mask, self.intrinsics.to(device))

    @property
    def size(self) -> tuple[int, int]:
        """Width, height."""
        return self.image.shape[1], self.image.shape[0]


def heldout_views(count: int, every: int) -> list[int]:
    """Indices of the views that are held out: the middle one of each `every`, none when there are too few."""
    return list(range(every // 2, count, every))


def photograph(view: TrainingView, halvings: int = 0) -> Photograph:
    """The view, reduced 2^halvings times. A reduced pixel counts where all that it covers does."""
    width, height = (math.ceil(size / 2**halvings) for size in (view.camera.width, view.camera.height))
    image = view.image.astype(np.float32) / 255 if view.image.dtype == np.uint8 else view.image.astype(np.float32)
    mask = view.mask
    if mask is not None:  # what is there must not reach SSIM windows across the edge
        image = np.where(mask[..., None], image, np.float32(0))
        mask = resize_area(mask.astype(np.float32), width, height) > 0.999
        mask = None if mask.all() else torch.from_numpy(mask)
    planes = np.ascontiguousarray(resize_area(image, width, height).transpose(2, 0, 1))
    intrinsics = torch.from_numpy(view.camera.scaled(width, height).matrix).float()[None]
    return Photograph(torch.from_numpy(planes).permute(1, 2, 0), mask, intrinsics)


def psnr(image: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of an image [H, W, 3], clipped to 0..1, over the pixels of the mask."""
    squares = (image.clamp(0, 1) - target) ** 2
    if mask is not None:
        squares = squares[mask]
    return -10 * float(torch.log10(squares.double().mean().clamp_min(1e-10)))

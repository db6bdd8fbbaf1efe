"""PSNR, SSIM and LPIPS of one image pair, through torchmetrics.

Images are float32 [H, W, 3] in 0..1 sRGB. A valid mask, bool [H, W], says which pixels of the real image were taken by
the camera at all; the rest (borders of the undistortion, the black rim of an endoscope) is not compared.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from splatscope.errors import InputError
from splatscope.files import sha256

SSIM_RADIUS = 5  # of the Gaussian window of 11x11 pixels, sigma 1.5


def psnr(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, data range 1, over all channels of the valid pixels; infinite when equal."""
    preds, target = (torch.from_numpy(image if valid is None else image[valid]) for image in (first, second))
    return float(peak_signal_noise_ratio(preds, target, data_range=1.0))


def ssim(first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of sigma 1.5 (11x11), K1 0.01, K2 0.03, data range 1,
    mean over pixels and channels, borders reflected.

    With a valid mask the mean runs over the pixels whose whole window is valid, so that no invalid pixel has a say.
    NaN when there is none.
    """
    preds, target = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in (first, second))
    if valid is None or valid.all():
        return float(structural_similarity_index_measure(preds, target, data_range=1.0))
    _, full = structural_similarity_index_measure(preds, target, data_range=1.0, return_full_image=True)
    window = np.ones((2 * SSIM_RADIUS + 1,) * 2, np.uint8)
    inside = cv2.erode(valid.astype(np.uint8), window) == 1  # OpenCV takes what is outside the image for valid
    return float(full[0, :, torch.from_numpy(inside)].mean()) if inside.any() else float("nan")


@dataclass(frozen=True)
class Backbone:
    """A network of LPIPS and what torchvision calls the file of its ImageNet weights."""

    network: str  # torchmetrics' name
    file_name: str
    sha256_starts: tuple[str, ...]  # torchvision states the first eight digits in the file's name


BACKBONES = (
    Backbone("alex", "alexnet-owt-7be5be79.pth", ("7be5be79", "4df8aa71")),
    Backbone("vgg", "vgg16-397923af.pth", ("397923af",)),
)
HOW_TO_GET_LPIPS = (
    "LPIPS needs the ImageNet weights of its backbone, and nothing is downloaded here. Download "
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth and name the file in the setting "
    "evaluate.lpips_backbone_weights, or put it into torchvision's cache (~/.cache/torch/hub/checkpoints)."
)


class Lpips:
    """LPIPS (Zhang et al. 2018), torchmetrics' linear layers on torchvision's ImageNet backbone; 0 is equal."""

    def __init__(self, backbone: Backbone, weights: Path):
        self.network, self.weights_sha256 = backbone.network, sha256(weights)
        cache = torch.hub.get_dir()
        with tempfile.TemporaryDirectory() as folder:
            # torchvision loads weights from its cache only: show it one that holds this file
            checkpoints = Path(folder) / "checkpoints"
            checkpoints.mkdir()
            (checkpoints / backbone.file_name).symlink_to(weights.resolve())
            torch.hub.set_dir(folder)
            try:
                self._metric = LearnedPerceptualImagePatchSimilarity(net_type=backbone.network, normalize=True)
            finally:
                torch.hub.set_dir(cache)

    def __call__(self, first: np.ndarray, second: np.ndarray, valid: np.ndarray | None = None) -> float:
        """LPIPS of a pair; invalid pixels are black in both."""
        if valid is not None:
            first, second = first * valid[..., None], second * valid[..., None]
        preds, target = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in (first, second))
        with torch.no_grad():
            return float(self._metric(preds, target))


def load_lpips(weights: str | Path | None) -> Lpips | None:
    """LPIPS on the given weights, or on those in torchvision's cache; None when there are none. Never downloads.

    Raises InputError when the given file is missing or is not, by its SHA-256, one of torchvision's weight files: any
    other network would give a number that is not LPIPS.
    """
    if weights is not None:
        path = Path(weights)
        backbone = _backbone_of(path) if path.is_file() else None
        if backbone is None:
            raise InputError(
                path,
                found="no such file" if not path.is_file() else f"SHA-256 {sha256(path)}",
                expected=" or ".join(f"{entry.file_name} (SHA-256 {entry.sha256_starts[0]}...)" for entry in BACKBONES),
                remedy="download it from https://download.pytorch.org/models/, or set "
                "evaluate.lpips_backbone_weights to null to go without LPIPS",
            )
        return Lpips(backbone, path)
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    for path in [*sorted(checkpoints.glob("alexnet-owt-*.pth")), *sorted(checkpoints.glob("vgg16-*.pth"))]:
        backbone = _backbone_of(path)
        if backbone is not None:
            return Lpips(backbone, path)
    return None


def _backbone_of(path: Path) -> Backbone | None:
    digest = sha256(path)
    return next((entry for entry in BACKBONES if digest.startswith(entry.sha256_starts)), None)

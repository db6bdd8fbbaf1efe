"""What the papers state, with where they state it. Nothing else of them is written down in the code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """A published figure: mean and, where given, standard deviation."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Source:
    """A paper."""

    short: str
    full: str


GAUSSIAN = Source(
    "Zeng et al. 2024",
    "T. Zeng, G. Loza Galindo, J. Hu, P. Valdastri, D. Jones: Realistic Surgical Image Dataset Generation Based on 3D "
    "Gaussian Splatting. MICCAI 2024.",
)
SIMUSCOPE = Source(
    "Martyniak et al. 2025",
    "S. Martyniak, J. Kaleta, D. Dall'Alba, S. Płotka, P. Korzeniowski: Realistic Endoscopic Synthetic Dataset "
    "Generation Through Surgical Simulation and Diffusion Models (SimuScope). WACV 2025.",
)
MINIMAL = Source(
    "Kaleta et al. 2024",
    "J. Kaleta, D. Dall'Alba, S. Płotka, P. Korzeniowski: Minimal data requirement for realistic endoscopic image "
    "generation with Stable Diffusion. IJCARS 19(3), 2024.",
)

# Table 1 of GAUSSIAN: the ground-truth recording's poses rendered and compared with its frames; mean and standard
# deviation over the images. The conclusion states 29.592 dB instead of 27.796.
IMAGE_QUALITY = {
    "ngp": {"psnr": Value(16.603, 0.782), "ssim": Value(0.741, 0.015), "lpips": Value(0.758, 0.047)},
    "nerfacto": {"psnr": Value(22.736, 1.435), "ssim": Value(0.796, 0.016), "lpips": Value(0.394, 0.035)},
    "ours": {"psnr": Value(27.796, 1.796), "ssim": Value(0.912, 0.029), "lpips": Value(0.287, 0.022)},
}

# Table 2 of GAUSSIAN: YOLOv5 on 300 real test images.
DETECTION = {
    "real": {"precision": Value(0.703), "recall": Value(0.804)},
    "synthetic": {"precision": Value(0.801), "recall": Value(0.901)},
}

# Section 5 of SIMUSCOPE's public text: mIoU 70.65 %, KID 0.0690; its FID is said to be "slightly higher than the
# baseline", without a number. MINIMAL, its predecessor, states 69.76 % against 42.21 % for its baseline.
RESTYLING = {"miou": Value(0.7065), "kid": Value(0.0690), "fid": None}
RESTYLING_BEFORE = {"miou": Value(0.6976), "miou_baseline": Value(0.4221)}

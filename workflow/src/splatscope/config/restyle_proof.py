"""Settings of what proves a restyling: segmenters, fidelity gate, distance to the style."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator

from splatscope.config.section import Section


class GateConfig(Section):
    """Which restyled frames are kept; see restyle/fidelity.py for the score."""

    limit: float = Field(default=0.74, ge=0, le=1)
    """Least fidelity score, 0..1, that every instance and class of a frame must have. 0 switches the gate off."""
    strength_factors: tuple[float, ...] = (1.0, 0.8, 0.6)
    """Factors of the denoising strength that are tried one after the other, falling, until one passes or can be mended.
    """
    max_blended: float = Field(default=0.2, ge=0, le=1)
    """Largest share of an image that may be taken from the unstyled one to mend it; one that needs more is drawn again
    at the next strength, and dropped after the last."""

    @field_validator("strength_factors")
    @classmethod
    def _falling(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if not factors or any(not 0 < factor <= 1 for factor in factors):
            raise ValueError(f"expected one or more factors above 0 to 1, got {list(factors)}")
        if any(later >= earlier for earlier, later in pairwise(factors)):
            raise ValueError(f"expected falling factors, got {list(factors)}")
        return factors


class ProofConfig(Section):
    """How restyled frames are judged."""

    segmenter: Literal["demo", "paper"] = "demo"
    """Recipe of the evaluation's segmenter: demo is small and learns from simulated frames of other operations in about
    a minute; paper is the public protocol, fcn_resnet50 on real labelled frames (segmenter_frames)."""
    segmenter_frames: str | None = None
    """Folder like CholecSeg8k's with real labelled frames, for the recipe paper."""
    segmenter_backbone: str | None = None
    """File with torchvision's ImageNet weights of resnet50, from which the recipe paper begins. Null: random weights,
    which the report says."""
    style_frames: str = "resources/mini/style_features.safetensors"
    """Folder of real frames (PNG or JPEG) that restyled ones should come close to, or a .safetensors of their features.
    """
    inception_weights: str | None = None
    """File weights-inception-2015-12-05-6726825d.pth of torch-fidelity, for FID and KID. Null: the same formulas over
    EfficientNet-Lite0's features, under names that say so."""
    kernel_subset_size: int = Field(default=100, ge=2)
    """Images in each subset of the kernel distance; 1000 is usual for KID. Fewer where a set has fewer."""
    kernel_subsets: int = Field(default=100, ge=1)
    """Number of subsets."""

"""What the trainings of the experiment have in common: their images and their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splatscope.proof.draws import draw_images
from splatscope.proof.image_sets import AnnotatedImage, read_set
from splatscope.proof.run_list import POSE_ARMS, Run


@dataclass(frozen=True)
class Sets:
    """Files of the image sets."""

    real: Path
    synthetic: Path
    test: Path


@dataclass(frozen=True)
class Sizes:
    """How large the arms are."""

    images: int
    mixed_real_percent: int


def training_images(run: Run, sets: Sets, sizes: Sizes, seed: int) -> list[AnnotatedImage]:
    real, synthetic = read_set(sets.real), read_set(sets.synthetic)
    if run.arm in POSE_ARMS:
        synthetic = [item for item in synthetic if item.posed_about_recorded == (run.arm == "recorded_poses")]
    draw = draw_images(
        run.arm,
        run.percent,
        run.fold,
        seed,
        images=sizes.images,
        mixed_real_percent=sizes.mixed_real_percent,
        real_available=len(real),
        synthetic_available=len(synthetic),
    )
    return [real[index] for index in draw.real] + [synthetic[index] for index in draw.synthetic]


def training_seed(run: Run, seed: int) -> int:
    """Of a fold; equal for its arms, so that they begin from the same weights."""
    return int(np.random.default_rng([seed, run.fold, 7]).integers(2**31))

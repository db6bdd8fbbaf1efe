"""Which images an arm of the experiment learns from: equal numbers, drawn by fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.errors import InputError
from splatscope.proof.run_list import Arm


@dataclass(frozen=True)
class Draw:
    """Indices into the real and the synthetic set."""

    real: np.ndarray  # int64
    synthetic: np.ndarray  # int64

    def __len__(self) -> int:
        return len(self.real) + len(self.synthetic)


def counts_of(arm: Arm, percent: int, images: int, mixed_real_percent: int) -> tuple[int, int]:
    """Real and synthetic images of an arm: `percent` of `images`, at least one of each kind that it has.

    added: `percent` of `images` real ones, and `images` synthetic ones.
    """
    share = max(1, round(images * percent / 100))
    match arm:
        case "real":
            return share, 0
        case "synthetic" | "recorded_poses" | "free_poses":
            return 0, share
        case "added":
            return share, images
        case "mixed":
            real = min(max(1, round(share * mixed_real_percent / 100)), max(1, share - 1))
            return real, share - real
    raise ValueError(f"expected an arm of run_list.Arm, got {arm!r}")


def draw_images(
    arm: Arm,
    percent: int,
    fold: int,
    seed: int,
    *,
    images: int,
    mixed_real_percent: int,
    real_available: int,
    synthetic_available: int,
) -> Draw:
    """Draw an arm's images without replacement.

    In one fold all arms take the first of one order of the real images and one of the synthetic ones, so that smaller
    draws lie in larger ones and arms differ in the kind of image rather than in luck. Raises InputError when there are
    too few.
    """
    real, synthetic = counts_of(arm, percent, images, mixed_real_percent)
    for kind, wanted, available in (("real", real, real_available), ("synthetic", synthetic, synthetic_available)):
        if wanted > available:
            more = "ingest.max_frames" if kind == "real" else "compose.recipe.frames or simulate.episodes"
            raise InputError(
                "config",
                "key proof.images",
                found=f"{wanted} {kind} images wanted",
                expected=f"at most {available}, which is what there is",
                remedy=f"lower proof.images, or raise {more}",
            )
    orders = [
        np.random.default_rng([seed, fold, kind]).permutation(available)
        for kind, available in enumerate((real_available, synthetic_available))
    ]
    return Draw(orders[0][:real], orders[1][:synthetic])

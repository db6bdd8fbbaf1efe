"""The strategy "budget": useless Gaussians go, and where the image pulls hardest they are split in two.

A hard budget of Gaussians, as in 3DGS-MCMC (Kheradmand et al. 2024); places to grow are chosen by the gradient of the
screen position, as in 3DGS (Kerbl et al. 2023), each Gaussian at most once per refinement.
"""

from __future__ import annotations

import numpy as np
import torch

from splatscope.splats.optimizer import Adam
from splatscope.splats.reference import rotations
from splatscope.splats.strategies.base import PullMeter, Strategy

SPLIT_OFFSET = 0.5  # of the longest standard deviation, to either side
SPLIT_LONG, SPLIT_OTHER = 0.6, 0.9  # factors on the standard deviations of the two halves


class Budget(Strategy):
    """Grows evenly to `max_gaussians`, whatever the scene."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.initial = self.count

    def refine(self, iteration: int, useless: torch.Tensor) -> None:
        target = grown_count(iteration, self.first, self.last, self.initial, self.config.max_gaussians)
        split_strongest(self.optimizer, self.meter.mean(), useless, target)
        self.meter = PullMeter(self.count, self.device)


@torch.no_grad()
def split_strongest(
    optimizer: Adam,
    pull: torch.Tensor,
    useless: torch.Tensor,
    target_count: int,
) -> None:
    """Replace `useless` Gaussians (bool [N]) and grow to `target_count`, splitting those with the most `pull` [N]."""
    values = optimizer.values
    free = torch.nonzero(useless)[:, 0]
    pull = torch.where(useless, 0, pull * torch.sigmoid(values["opacity_logits"]).sqrt())
    wanted = len(free) + max(target_count - len(pull), 0)
    sources = torch.argsort(pull, descending=True, stable=True)[: min(wanted, int((pull > 0).sum()))]
    if len(sources) < len(free):
        free = free[: len(sources)]
    halves = [_half(values, sources, side) for side in (1, -1)]
    for name, value in halves[0].items():
        values[name][sources] = value
    into_free = {name: value[: len(free)] for name, value in halves[1].items()}
    for name, value in into_free.items():
        values[name][free] = value
    optimizer.replace_rows(torch.cat([sources, free]))
    optimizer.append_rows({name: value[len(free) :] for name, value in halves[1].items()})


def _half(values: dict[str, torch.Tensor], sources: torch.Tensor, side: int) -> dict[str, torch.Tensor]:
    """One of the two Gaussians that replace each source: moved along its longest axis, smaller, a little fainter."""
    half = {name: value[sources].clone() for name, value in values.items()}
    longest = half["log_scales"].argmax(1, keepdim=True)
    axes = rotations(half["quaternions"]).gather(2, longest[:, None].expand(-1, 3, 1))[..., 0]
    half["means"] += side * SPLIT_OFFSET * torch.exp(half["log_scales"].gather(1, longest)) * axes
    factors = torch.full_like(half["log_scales"], float(np.log(SPLIT_OTHER)))
    half["log_scales"] += factors.scatter(1, longest, float(np.log(SPLIT_LONG)))
    # together as opaque, in the middle, as the source was
    opacity = torch.sigmoid(half["opacity_logits"])
    at_middle = float(np.exp(-0.5 * (SPLIT_OFFSET / SPLIT_LONG) ** 2))
    half["opacity_logits"] = torch.logit(((1 - torch.sqrt(1 - opacity)) / at_middle).clamp(1e-4, 0.99))
    return half


def grown_count(iteration: int, first: int, last: int, initial: int, budget: int) -> int:
    """How many Gaussians there may be: evenly more from `initial` (before iteration `first`) to `budget` at `last`."""
    share = (iteration - first) / max(last - first, 1)
    return round(initial + (budget - initial) * min(max(share, 0), 1))

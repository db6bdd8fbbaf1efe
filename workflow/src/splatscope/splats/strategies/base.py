"""What the strategies share: when they refine, and how hard the images pull at each Gaussian."""

from __future__ import annotations

import numpy as np
import torch

from splatscope.config.splat import SplatConfig
from splatscope.splats.optimizer import Adam


class Strategy:
    """How the set of Gaussians changes while they are trained. There are never more than `max_gaussians`.

    Args:
        optimizer: of the Gaussians; its values and moments are changed.
        extent: of the scene, in world units.
        rng: the training's own generator, which is in its checkpoint.
    """

    measures_pulls = True
    regulariser = 0.0  # weight of opacity and of scale in the loss, where the config gives none

    def __init__(self, optimizer: Adam, config: SplatConfig, extent: float, rng: np.random.Generator):
        self.optimizer, self.config, self.extent, self.rng = optimizer, config, extent, rng
        every = config.refine_every
        self.first, self.last = (
            round(share * config.iterations) // every * every for share in (config.refine_start, config.refine_end)
        )
        self.settled = config.iterations - 2 * every  # the last replaced ones need time to learn
        self.meter = PullMeter(self.count, self.device)

    @property
    def count(self) -> int:
        return len(self.optimizer.values["means"])

    @property
    def device(self) -> torch.device:
        return self.optimizer.values["means"].device

    def due(self, iteration: int) -> bool:
        """Whether to refine after so many iterations; the number of Gaussians grows up to `self.last` only."""
        return iteration % self.config.refine_every == 0 and self.first < iteration <= self.settled

    def observe(self, gradient: torch.Tensor, width: int, height: int) -> None:
        """Take note of the gradient [N, 2] of one view's loss by the positions in its image, in 1/px."""
        self.meter.add(gradient)

    def wander(self, mean_rate: float) -> None:
        """Called after each step of the optimiser, with the learning rate of the means in world units."""

    def refine(self, iteration: int, useless: torch.Tensor) -> None:
        """Called where `due`. `useless`, bool [N]: those too faint, or where nothing can be."""
        raise NotImplementedError

    def state(self) -> list[torch.Tensor]:
        """What a checkpoint keeps, besides the optimiser and the generator; on the CPU."""
        return [self.meter.total.cpu(), self.meter.views.cpu()]

    def restore(self, state: list[torch.Tensor]) -> None:
        self.meter.total, self.meter.views = (value.to(self.device) for value in state)


class PullMeter:
    """Mean length of the gradient by the screen position since the last refinement, over the views that drew it."""

    def __init__(self, count: int, device: torch.device):
        self.total, self.views = torch.zeros(count, device=device), torch.zeros(count, device=device)

    def add(self, gradient: torch.Tensor) -> None:
        """Gradient [N, 2] of one view's loss by the screen positions; 0 where the Gaussian was not drawn."""
        length = gradient.norm(dim=1)
        self.total += length
        self.views += length > 0

    def mean(self) -> torch.Tensor:
        return self.total / self.views.clamp_min(1)

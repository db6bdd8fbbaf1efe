"""The strategy "mcmc": Gaussians as samples of a density, after 3DGS-MCMC (Kheradmand et al. 2024).

Nothing is doubled or thrown away for its gradient: the useless ones move to where opacity is, their number grows by a
fixed share up to the budget, and the faint ones wander, so that they find what is not modelled yet.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from splatscope.splats.reference import rotations
from splatscope.splats.strategies.base import Strategy

GROWTH = 1.05  # times as many Gaussians after each refinement
GATE_SLOPE, GATE_OPACITY = 100.0, 0.005  # only what is about as faint as this wanders
GATE_LEAST = 1e-6  # the gate's value from which on it matters


class Mcmc(Strategy):
    """Relocates, grows to `max_gaussians`, and adds noise to the means."""

    measures_pulls = False
    regulariser = 0.01

    @torch.no_grad()
    def wander(self, mean_rate: float) -> None:
        """Noise of the Langevin dynamics: along each Gaussian's covariance, for the faint ones only."""
        values = self.optimizer.values
        gate = torch.sigmoid(GATE_SLOPE * (GATE_OPACITY - torch.sigmoid(values["opacity_logits"])))
        rows = torch.nonzero(gate > GATE_LEAST)[:, 0]
        factors = rotations(values["quaternions"][rows]) * torch.exp(values["log_scales"][rows])[:, None] / self.extent
        noise = torch.from_numpy(self.rng.standard_normal((len(rows), 3), dtype=np.float32)).to(self.device)[..., None]
        steps = (factors @ (factors.transpose(1, 2) @ noise))[..., 0]
        values["means"][rows] += self.config.noise * mean_rate * gate[rows, None] * steps

    @torch.no_grad()
    def refine(self, iteration: int, useless: torch.Tensor) -> None:
        values = self.optimizer.values
        weights = torch.where(useless, 0, torch.sigmoid(values["opacity_logits"])).double().cpu().numpy()
        if not weights.any():
            return
        free = torch.nonzero(useless)[:, 0]
        target = min(math.ceil(GROWTH * self.count), self.config.max_gaussians) if iteration <= self.last else 0
        wanted = len(free) + max(target - self.count, 0)
        chosen = self.rng.choice(self.count, wanted, p=weights / weights.sum())
        sources, copies, chosen = (
            torch.from_numpy(found).to(self.device) for found in (*np.unique(chosen, return_counts=True), chosen)
        )
        opacity, factor = shared(torch.sigmoid(values["opacity_logits"][sources]), copies + 1)
        opacity = opacity.clamp(self.config.min_opacity, 1 - 1e-6)
        values["opacity_logits"][sources] = torch.logit(opacity)
        values["log_scales"][sources] += torch.log(factor)[:, None]
        copied = {name: value[chosen] for name, value in values.items()}
        for name, value in copied.items():
            values[name][free] = value[: len(free)]
        self.optimizer.replace_rows(torch.cat([sources, free]))
        self.optimizer.append_rows({name: value[len(free) :] for name, value in copied.items()})


def shared(opacity: torch.Tensor, copies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Opacity and factor on the standard deviations of `copies` [M] equal Gaussians that replace one of `opacity` [M].

    3DGS-MCMC, Eq. 9: the stack is as opaque in its middle as the one was, and blocks as much along a line through it.
    The paper's double sum of binomials is the integral of 1 - (1 - o exp(-t^2))^N over the line, divided by sqrt(pi);
    the integral is taken here, because the sum's terms alternate and grow.
    """
    opacity, copies = opacity.double(), copies.double()
    share = -torch.expm1(torch.log1p(-opacity.clamp(max=1 - 1e-6)) / copies)
    t = torch.linspace(
        -6, 6, 97, dtype=torch.float64, device=opacity.device
    )  # the trapezoidal rule converges exponentially here
    profile = 1 - (1 - share[:, None] * torch.exp(-t * t)) ** copies[:, None]
    blocked = profile.sum(1) * (t[1] - t[0]) / math.sqrt(math.pi)
    return share.float(), (opacity / blocked).float()

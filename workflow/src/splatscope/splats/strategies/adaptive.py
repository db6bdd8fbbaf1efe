"""The strategy "default": adaptive density control, as 3DGS (Kerbl et al. 2023, section 5.2) describes it.

Where the mean gradient by the screen position exceeds a threshold, a small Gaussian is doubled and a large one is
replaced by two smaller ones drawn from it. The two together are as opaque as the one was (Rota Bulo et al. 2024; 0.3 dB
on the phantom with a tight budget). The faint go. Opacities may be lowered now and then, so that only what is
needed comes back; from the first time on, the too large go, too. Both cost quality where training is short (2.3 dB and
1.5 dB after 1,500 steps on the phantom). With absolute gradients, pulls that point to different sides within one
Gaussian add up instead of cancelling, as in AbsGS (Ye et al. 2024).
"""

from __future__ import annotations

import math

import torch

from splatscope.splats.reference import rotations
from splatscope.splats.strategies.base import PullMeter, Strategy

SMALL = 0.01  # of the scene's extent: longest standard deviation up to which a Gaussian is doubled, not split
TOO_LARGE = 0.1  # of the scene's extent: longer ones are taken away
SHRINK = 1.6  # the two that replace a large one are so many times smaller
FADED = 2.0  # times min_opacity: what is left of higher opacities when they are lowered


class AdaptiveDensity(Strategy):
    """Grows where the threshold says so, but never over `max_gaussians`: then the strongest pulls win."""

    def observe(self, gradient: torch.Tensor, width: int, height: int) -> None:
        half = gradient.new_tensor([width / 2, height / 2])
        super().observe(gradient * half, width, height)  # in 1 / half an image

    @torch.no_grad()
    def refine(self, iteration: int, useless: torch.Tensor) -> None:
        kept, reset_every = ~useless, self.config.opacity_reset_every
        if reset_every and iteration > reset_every:
            kept &= torch.exp(self.optimizer.values["log_scales"]).amax(1) <= TOO_LARGE * self.extent
        pull = self.meter.mean()[kept]
        self.optimizer.keep_rows(kept)
        if iteration <= self.last:
            self._grow(pull)
            if reset_every and iteration % reset_every == 0:
                self._fade()
        self.meter = PullMeter(self.count, self.device)

    def _grow(self, pull: torch.Tensor) -> None:
        room = max(self.config.max_gaussians - len(pull), 0)
        wanted = int((pull > self.config.pull_threshold).sum())
        chosen = torch.argsort(pull, descending=True, stable=True)[: min(room, wanted)]
        values = self.optimizer.values
        opacity = torch.sigmoid(values["opacity_logits"][chosen])
        values["opacity_logits"][chosen] = torch.logit((1 - torch.sqrt(1 - opacity)).clamp(1e-4, 0.99))
        large = torch.exp(values["log_scales"][chosen]).amax(1) > SMALL * self.extent
        added = {name: value[torch.cat([chosen[~large], chosen[large]])] for name, value in values.items()}
        split = chosen[large]
        for rows in (values, split), (added, slice(int((~large).sum()), None)):
            self._shrink(*rows)
        self.optimizer.replace_rows(split)
        self.optimizer.append_rows(added)

    def _shrink(self, values: dict[str, torch.Tensor], rows: torch.Tensor | slice) -> None:
        """Move these to a place drawn from each one's own density, and make them smaller."""
        scales = torch.exp(values["log_scales"][rows])
        steps = scales * torch.from_numpy(self.rng.standard_normal(scales.shape)).to(scales)
        values["means"][rows] += (rotations(values["quaternions"][rows]) @ steps[..., None])[..., 0]
        values["log_scales"][rows] -= math.log(SHRINK)

    def _fade(self) -> None:
        ceiling = FADED * self.config.min_opacity
        self.optimizer.values["opacity_logits"].clamp_(max=math.log(ceiling / (1 - ceiling)))
        for moments in (self.optimizer.first, self.optimizer.second):
            moments["opacity_logits"].zero_()

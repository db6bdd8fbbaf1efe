"""Exposure compensation: an affine map of colours for each training image."""

from __future__ import annotations

import torch

from splatscope.splats.fused_adam import adam_on

CPU = torch.device("cpu")


class Exposure:
    """Maps [count, 3, 4] of drawn colours to each image's, learned beside the model (an option of 3DGS's, too).

    Their mean is held at the identity, so that brightness cannot drift between the model and the maps: the model is as
    an average image shows it.
    """

    def __init__(self, count: int, device: torch.device = CPU):
        self.optimizer = adam_on(device, {"maps": torch.eye(3, 4).repeat(count, 1, 1).requires_grad_()})

    def apply(self, color: torch.Tensor, image: int) -> torch.Tensor:
        """Drawn colours [..., 3] as the image exposes them."""
        map_ = self.optimizer.values["maps"][image]
        return color @ map_[:, :3].T + map_[:, 3]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.optimizer.step({"maps": rate})
        maps = self.optimizer.values["maps"]
        maps -= maps.mean(0) - torch.eye(3, 4, device=maps.device)

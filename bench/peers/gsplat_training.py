"""A training loop of gsplat's own parts, as its examples/simple_trainer.py is put together.

Written here, because the example is not in the package: `rasterization` with its spherical harmonics, DefaultStrategy,
a fused Adam for each parameter, L1 and SSIM. Images lie on the device from the start, which the example does not do.
SSIM is fused-ssim's, as there, where that is installed, else ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import gsplat
import torch

from splatscope.config.splat import SplatConfig
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import TrainingView
from splatscope.splats.losses import ssim
from splatscope.splats.photographs import photograph

VERSION = f"gsplat {gsplat.__version__}'s parts"
SSIM_WEIGHT = 0.2


class GsplatTraining:
    """Its default learning rates are ours too, but for the means', so both do the same work a step."""

    def __init__(self, views: Sequence[TrainingView], start: Gaussians, extent: float, device: torch.device):
        self.shown = [photograph(view).to(device) for view in views]
        self.poses = [torch.from_numpy(view.world_from_camera).float().inverse()[None].to(device) for view in views]
        self.degree = start.sh_degree
        config = SplatConfig()
        values = {
            "means": (start.means, 1.6e-4 * extent),
            "scales": (start.log_scales, config.scale_rate),
            "quats": (start.quaternions, config.quaternion_rate),
            "opacities": (start.opacity_logits, config.opacity_rate),
            "sh0": (start.sh[:, :1], config.color_rate),
            "shN": (start.sh[:, 1:], config.sh_rate),
        }
        self.parameters = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(value.clone().to(device)) for name, (value, _) in values.items()}
        )
        self.optimizers = {
            name: torch.optim.Adam([self.parameters[name]], lr=rate, eps=1e-15, fused=True)
            for name, (_, rate) in values.items()
        }
        self.strategy = gsplat.DefaultStrategy()
        self.strategy.check_sanity(self.parameters, self.optimizers)
        self.strategy_state = self.strategy.initialize_state(extent)

    def step(self, number: int) -> None:
        shown, pose = self.shown[number % len(self.shown)], self.poses[number % len(self.shown)]
        values = self.parameters
        drawn, _, info = gsplat.rasterization(
            values["means"],
            values["quats"],
            torch.exp(values["scales"]),
            torch.sigmoid(values["opacities"]),
            torch.cat([values["sh0"], values["shN"]], 1),
            pose,
            shown.intrinsics,
            *shown.size,
            sh_degree=self.degree,
            packed=False,
        )
        state = values, self.optimizers, self.strategy_state, number, info
        self.strategy.step_pre_backward(*state)
        loss = (1 - SSIM_WEIGHT) * (drawn[0] - shown.image).abs().mean()
        loss = loss + SSIM_WEIGHT * (1 - _ssim(drawn[0], shown.image))
        loss.backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.strategy.step_post_backward(*state, packed=False)


def _ssim(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    try:
        from fused_ssim import fused_ssim
    except ImportError:
        return ssim(image, target)
    return fused_ssim(*(value.permute(2, 0, 1)[None] for value in (image, target)), padding="valid")

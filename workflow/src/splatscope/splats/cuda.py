"""The gsplat backend (CUDA, Apache-2.0): one pass for colour, features and depth."""

from __future__ import annotations

import torch

from splatscope.splats.constants import BLUR_PX2
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.reference import brightness


def rasterize(
    gaussians: Gaussians,
    camera_from_world: torch.Tensor,  # [C, 4, 4]
    intrinsics: torch.Tensor,  # [C, 3, 3]
    width: int,
    height: int,
    features: torch.Tensor | None,  # [N, E]
    sh_degree: int,
    near_plane: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """What C cameras see: colour [C, H, W, 3] over black, accumulated depth [C, H, W], features [C, H, W, E] and
    alpha [C, H, W].

    Colour is evaluated before rasterization and passed as a channel beside the features: gsplat's own SH path knows
    only colour.
    """
    import gsplat

    camera_centres = -(camera_from_world[:, :3, :3].transpose(1, 2) @ camera_from_world[:, :3, 3:])[..., 0]  # [C, 3]
    directions = gaussians.means[None] - camera_centres[:, None]  # [C, N, 3]; gsplat normalises
    coefficients = gaussians.sh[None].expand(len(camera_from_world), -1, -1, -1)
    channels = [(gsplat.spherical_harmonics(sh_degree, directions, coefficients) + 0.5).clamp_min(0)]
    if gaussians.light is not None:
        in_camera = gaussians.means @ camera_from_world[:, :3, :3].transpose(1, 2) + camera_from_world[:, None, :3, 3]
        drawn = in_camera[..., 2:] > near_plane
        ahead = torch.where(drawn, in_camera, in_camera.new_tensor([0, 0, 1.0]))  # powers of negatives are NaN
        channels[0] = channels[0] * brightness(ahead, gaussians.light)[..., None]
    if features is not None:
        channels.append(features[None].expand(len(camera_from_world), -1, -1))
    blended, alpha, _ = gsplat.rasterization(
        gaussians.means,
        gaussians.quaternions,
        torch.exp(gaussians.log_scales),
        torch.sigmoid(gaussians.opacity_logits),
        torch.cat(channels, -1),
        camera_from_world,
        intrinsics,
        width,
        height,
        near_plane=near_plane,
        eps2d=BLUR_PX2,
        sh_degree=None,
        packed=False,
        render_mode="RGB+D",
    )
    # gsplat puts depth last; D is the accumulated depth, as ours
    return blended[..., :3], blended[..., -1], None if features is None else blended[..., 3:-1], alpha[..., 0]

"""The rasterizer in plain PyTorch: slow, short, in any float type, differentiable in everything. The oracle.

3D Gaussian splatting (Kerbl et al. 2023) with gsplat's constants; the fast backends are tested against this one.
"""

from __future__ import annotations

import torch

from splatscope.splats import spherical_harmonics
from splatscope.splats.constants import BLUR_PX2, FRUSTUM_MARGIN, MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, TILE
from splatscope.splats.gaussians import Gaussians


def rasterize(
    gaussians: Gaussians,
    camera_from_world: torch.Tensor,  # [4, 4]
    intrinsics: torch.Tensor,  # [3, 3]
    width: int,
    height: int,
    features: torch.Tensor | None,  # [N, E]
    sh_degree: int,
    near_plane: float,
    mean_offsets: torch.Tensor | None,  # [N, 2] px
    contributors: bool = False,
    absgrad: torch.Tensor | None = None,  # [N, 2], see rasterizer.render
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
    """What one camera sees: colour [1, H, W, 3] over black, accumulated depth [1, H, W], features [1, H, W, E], alpha
    [1, H, W] and the Gaussians with the largest weights, int32 [1, H, W].
    """
    rotation, translation = camera_from_world[:3, :3], camera_from_world[:3, 3]
    in_camera = gaussians.means @ rotation.T + translation  # [N, 3]
    opacities = torch.sigmoid(gaussians.opacity_logits)
    kept = torch.nonzero((in_camera[:, 2] > near_plane) & (opacities >= MIN_ALPHA))[:, 0]
    kept = kept[torch.argsort(in_camera[kept, 2].detach(), stable=True)]

    in_camera, opacities = in_camera[kept], opacities[kept]
    centres, covariances = _project(
        in_camera,
        gaussians.quaternions[kept],
        torch.exp(gaussians.log_scales[kept]),
        rotation,
        intrinsics,
        width,
        height,
    )
    if mean_offsets is not None:
        centres = centres + mean_offsets[kept]
    camera_centre = -rotation.T @ translation
    directions = torch.nn.functional.normalize(gaussians.means[kept] - camera_centre, dim=-1)
    weights = spherical_harmonics.basis(sh_degree, directions)  # [M, K]
    colours = torch.einsum("mk,mkc->mc", weights, gaussians.sh[kept, : weights.shape[1]]) + 0.5
    colours = colours.clamp_min(0)
    if gaussians.light is not None:
        colours = colours * brightness(in_camera, gaussians.light[kept])[:, None]
    channels = [colours, in_camera[:, 2:]]
    if features is not None:
        channels.append(features[kept])
    pulls = None if absgrad is None else _Pulls(absgrad, kept)
    blended, largest = _composite(centres, covariances, opacities, torch.cat(channels, -1), width, height, pulls)
    blended = blended[None]
    contributor = None
    if contributors:
        numbers = torch.cat([kept, kept.new_tensor([-1])])  # -1 behind them: nobody
        contributor = numbers[largest].int()[None]
    features = None if features is None else blended[..., 4:-1]
    return blended[..., :3], blended[..., 3], features, blended[..., -1], contributor


def brightness(in_camera: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """Factor [..., N] on colours at `in_camera` [..., N, 3] under `light` [N, 3], a light that sits at the camera."""
    reference, falloff, cone = light.unbind(-1)
    distance = in_camera.norm(dim=-1)
    return (reference / distance) ** falloff * (in_camera[..., 2] / distance) ** cone


def _project(in_camera, quaternions, scales, rotation, intrinsics, width, height):
    """Pixel centres [M, 2] and blurred covariances [M, 2, 2] px^2: J W Sigma W^T J^T + blur (EWA splatting)."""
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    x, y, z = in_camera.unbind(-1)
    # far outside the image the linearised projection explodes: its slope is taken at the margin instead
    slope_x = torch.clamp(x / z, -cx / fx - FRUSTUM_MARGIN * width / fx, (width - cx + FRUSTUM_MARGIN * width) / fx)
    slope_y = torch.clamp(y / z, -cy / fy - FRUSTUM_MARGIN * height / fy, (height - cy + FRUSTUM_MARGIN * height) / fy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * slope_x / z, zero, fy / z, -fy * slope_y / z], -1).unflatten(-1, (2, 3))
    root = rotations(quaternions) * scales[:, None, :]  # Sigma = root root^T
    half = jacobian @ rotation @ root
    covariances = half @ half.transpose(1, 2) + BLUR_PX2 * torch.eye(2, dtype=half.dtype, device=half.device)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1), covariances


def rotations(quaternions: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [N, 3, 3] of quaternions [N, 4] (w, x, y, z, of any norm)."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y - w * z),
            2 * (x * z + w * y),
            2 * (x * y + w * z),
            1 - 2 * (x * x + z * z),
            2 * (y * z - w * x),
            2 * (x * z - w * y),
            2 * (y * z + w * x),
            1 - 2 * (x * x + y * y),
        ],
        -1,
    ).unflatten(-1, (3, 3))


class _Pulls:
    """Adds up the magnitudes of the gradients by each pixel's distance from the centres, as they come back."""

    def __init__(self, absgrad: torch.Tensor, gaussians: torch.Tensor):
        self.absgrad, self.gaussians = absgrad.zero_(), gaussians

    def watch(self, distances: torch.Tensor, axis: int, index: torch.Tensor) -> None:
        """`distances` [h, w, m] from the centres of `index` [m]."""
        rows = self.gaussians[index]

        def add(by: torch.Tensor) -> None:
            self.absgrad[:, axis].index_add_(0, rows, by.abs().sum((0, 1)).to(self.absgrad.dtype))

        if distances.requires_grad:
            distances.register_hook(add)


def _composite(centres, covariances, opacities, channels, width, height, pulls=None):
    """Channels and alpha [H, W, K + 1]: Gaussians in depth order blended front to back, tile by tile; and the index
    [H, W] of the one with the largest weight, -1 where nothing is.
    """
    a, b, c = covariances[:, 0, 0], covariances[:, 0, 1], covariances[:, 1, 1]
    determinant = a * c - b * b
    with torch.no_grad():  # half extents of the ellipse on which alpha falls to MIN_ALPHA
        level = 2 * torch.log(opacities / MIN_ALPHA).clamp_min(0)
        extent_x, extent_y = torch.sqrt(level * a) + 1, torch.sqrt(level * c) + 1
    bands = []
    for top in range(0, height, TILE):
        bottom = min(top + TILE, height)
        in_rows = (centres[:, 1] + extent_y > top) & (centres[:, 1] - extent_y < bottom)
        tiles = []
        for left in range(0, width, TILE):
            right = min(left + TILE, width)
            in_tile = in_rows & (centres[:, 0] + extent_x > left) & (centres[:, 0] - extent_x < right)
            index = torch.nonzero(in_tile)[:, 0]
            rows = torch.arange(top, bottom, dtype=centres.dtype, device=centres.device) + 0.5
            columns = torch.arange(left, right, dtype=centres.dtype, device=centres.device) + 0.5
            dx = columns[None, :, None] - centres[index, 0]  # [1, w, m]
            dy = rows[:, None, None] - centres[index, 1]  # [h, 1, m]
            if pulls is not None:
                dx, dy = torch.broadcast_tensors(dx, dy)
                pulls.watch(dx, 0, index), pulls.watch(dy, 1, index)
            power = (c[index] * dx**2 - 2 * b[index] * dx * dy + a[index] * dy**2) / (2 * determinant[index])
            alphas = torch.clamp(opacities[index] * torch.exp(-power), max=MAX_ALPHA)
            alphas = torch.where(alphas >= MIN_ALPHA, alphas, 0)
            log_after = torch.cumsum(torch.log1p(-alphas), -1)  # log of the light left behind each Gaussian
            before = torch.exp(torch.cat([torch.zeros_like(log_after[..., :1]), log_after[..., :-1]], -1))
            weights = torch.where(torch.exp(log_after.detach()) > MIN_TRANSMITTANCE, alphas * before, 0)
            blended = torch.cat([weights @ channels[index], weights.sum(-1, keepdim=True)], -1)
            nobody = weights.new_zeros((*weights.shape[:2], 1))
            most, place = torch.cat([nobody, weights.detach()], -1).max(-1)
            number = torch.cat([index.new_tensor([-1]), index])[torch.where(most > 0, place, 0)]
            tiles.append((blended, number))
        bands.append([torch.cat(parts, 1) for parts in zip(*tiles)])
    return tuple(torch.cat(parts, 0) for parts in zip(*bands))

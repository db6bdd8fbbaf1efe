"""The gsplat backend (CUDA, Apache-2.0): colour, features and depth of all cameras in one pass."""

from __future__ import annotations

import math

import torch

from splatscope.splats.constants import BLUR_PX2, MAX_ALPHA, TILE
from splatscope.splats.device import cuda_missing
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.reference import brightness

MAX_FEATURES = 60  # with colour and depth 64 channels, as much as the shared memory of common GPUs holds for a tile
EVERYTHING = 2**30  # more batches than any tile has


def require(gaussians: Gaussians) -> None:
    """ValueError unless the Gaussians are float32 on CUDA, RuntimeError where gsplat cannot draw."""
    if gaussians.device.type != "cuda" or gaussians.means.dtype != torch.float32:
        raise ValueError(
            f"the gsplat backend expects float32 on CUDA, got {gaussians.means.dtype} on {gaussians.device}"
        )
    if (reason := cuda_missing()) is not None:
        raise RuntimeError(reason)


def rasterize(
    gaussians: Gaussians,
    camera_from_world: torch.Tensor,  # [C, 4, 4]
    intrinsics: torch.Tensor,  # [C, 3, 3]
    width: int,
    height: int,
    features: torch.Tensor | None,  # [N, E]
    sh_degree: int,
    near_plane: float,
    mean_offsets: torch.Tensor | None,  # [C, N, 2] px
    contributors: bool,
    absgrad: torch.Tensor | None,  # [C, N, 2], see rasterizer.render
    background: torch.Tensor | None,  # [3]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
    """What C cameras see of N > 0 Gaussians: colour [C, H, W, 3] over `background`, accumulated depth [C, H, W],
    features [C, H, W, E], alpha [C, H, W] and the Gaussians with the largest weights, int32 [C, H, W].
    """
    import gsplat

    if features is not None and not 1 <= features.shape[1] <= MAX_FEATURES:
        raise ValueError(f"the gsplat backend draws 1 to {MAX_FEATURES} features, got {features.shape[1]}")
    cameras, opacities = len(camera_from_world), torch.sigmoid(gaussians.opacity_logits)
    # where a Gaussian is not drawn its radii are 0, and all else that comes back of it is undefined
    radii, centres, depths, conics, _ = gsplat.fully_fused_projection(
        gaussians.means,
        None,
        gaussians.quaternions,
        torch.exp(gaussians.log_scales),
        camera_from_world,
        intrinsics,
        width,
        height,
        eps2d=BLUR_PX2,
        near_plane=near_plane,
        opacities=opacities,
    )
    if mean_offsets is not None:
        centres = centres + mean_offsets
    across, down = math.ceil(width / TILE), math.ceil(height / TILE)
    _, keys, order = gsplat.isect_tiles(centres, radii, depths, TILE, across, down)
    starts = gsplat.isect_offset_encode(keys, cameras, across, down)

    channels = [_colours(gaussians, camera_from_world, sh_degree, near_plane)]
    if features is not None:
        channels.append(features[None].expand(cameras, -1, -1))
    channels = torch.cat([*channels, depths[..., None]], -1)
    behind = None
    if background is not None:  # 0 behind features and depth
        behind = torch.nn.functional.pad(background, (0, channels.shape[-1] - 3)).expand(cameras, -1)
    tiles = (width, height, TILE, starts, order)
    opacities = opacities[None].expand(cameras, -1)
    # gsplat hangs the magnitudes on the very tensor that it is given
    centres = centres.contiguous()
    blended, alpha = gsplat.rasterize_to_pixels(
        centres, conics, channels, opacities, *tiles, backgrounds=behind, absgrad=absgrad is not None
    )
    if absgrad is not None and centres.requires_grad:
        _copy_magnitudes(centres, absgrad)
    contributor = _contributors(centres, conics, opacities, *tiles) if contributors else None
    features = None if features is None else blended[..., 3:-1]
    return blended[..., :3], blended[..., -1], features, alpha[..., 0], contributor


def _colours(gaussians, camera_from_world, sh_degree, near_plane) -> torch.Tensor:
    """[C, N, 3], evaluated before rasterization: gsplat's own colours know neither features beside them nor light.

    Of all Gaussians, drawn or not: gsplat leaves colours that it may skip undefined, and light times NaN would be NaN.
    """
    import gsplat

    rotations, translations = camera_from_world[:, :3, :3], camera_from_world[:, :3, 3]
    camera_centres = -(rotations.transpose(1, 2) @ translations[..., None])[..., 0]
    directions = gaussians.means[None] - camera_centres[:, None]  # gsplat normalises them
    coefficients = gaussians.sh[None].expand(len(camera_from_world), -1, -1, -1)
    colours = (gsplat.spherical_harmonics(sh_degree, directions, coefficients) + 0.5).clamp_min(0)
    if gaussians.light is None:
        return colours
    in_camera = gaussians.means @ rotations.transpose(1, 2) + translations[:, None]
    # powers of negative numbers are NaN, and so would be their gradients
    ahead = torch.where(in_camera[..., 2:] > near_plane, in_camera, in_camera.new_tensor([0, 0, 1.0]))
    return colours * brightness(ahead, gaussians.light)[..., None]


def _copy_magnitudes(centres: torch.Tensor, absgrad: torch.Tensor) -> None:
    """Have the backward pass, once gsplat has hung them on `centres`, copy the magnitudes into `absgrad`."""
    held = [centres]  # let go of when it runs: a tensor that its own hook holds would never be freed

    def copy(_: torch.Tensor) -> None:
        absgrad.copy_(held.pop().absgrad)

    centres.register_hook(copy)


@torch.no_grad()
def _contributors(centres, conics, opacities, width, height, tile, starts, order) -> torch.Tensor:
    """int32 [C, H, W]: the Gaussian of the largest weight, the nearest of equal ones, -1 where there is none."""
    import gsplat

    light = centres.new_ones(len(centres), height, width)
    gaussian, pixel, camera = gsplat.rasterize_to_indices_in_range(
        0, EVERYTHING, light, centres, conics, opacities, width, height, tile, starts, order
    )  # [M] each: the pairs that blend, pixel after pixel, front to back
    row, count = camera * (width * height) + pixel, light.numel()
    dx = (pixel % width) + 0.5 - centres[camera, gaussian, 0]
    dy = (pixel // width) + 0.5 - centres[camera, gaussian, 1]
    a, b, c = conics[camera, gaussian].unbind(-1)
    power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alphas = (opacities[camera, gaussian] * torch.exp(-power)).clamp_max(MAX_ALPHA)
    # light left before each pair: a running sum over all pairs, less what it was where the pixel began
    dimmed = torch.log1p(-alphas.double())
    before = torch.cumsum(dimmed, 0) - dimmed
    first = torch.full((count,), len(row), device=row.device)
    places = torch.arange(len(row), device=row.device)
    first.scatter_reduce_(0, row, places, "amin")
    weights = alphas * torch.exp(before - before[first[row]]).float()

    largest = weights.new_zeros(count).scatter_reduce_(0, row, weights, "amax")
    places = torch.where(weights == largest[row], places, len(row))
    winners = torch.full((count,), len(row), device=row.device).scatter_reduce_(0, row, places, "amin")
    nobody = gaussian.new_tensor([-1])
    return torch.cat([gaussian, nobody])[winners].int().view(len(centres), height, width)

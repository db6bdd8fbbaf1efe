"""The training loss: mean absolute difference and structural dissimilarity (Wang et al. 2004)."""

from __future__ import annotations

from functools import lru_cache

import torch

from splatscope.splats import native
from splatscope.splats.rasterizer import Render

WINDOW, SIGMA = 11, 1.5  # px


def image_loss(
    image: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    ssim_weight: float = 0.2,
    threads: int | None = None,
) -> torch.Tensor:
    """(1 - w) * L1 + w * (1 - SSIM) of images [H, W, 3] in 0..1, differentiable by `image`, which may also be the
    [1, H, W, 3] of a render.

    Where `mask` [H, W] (bool) is False, the image counts as equal to the target: no loss, no gradient. L1 is the mean
    over the pixels that count; SSIM the mean over all 11 x 11 Gaussian windows that lie wholly in the image. Images
    smaller than a window give L1 alone.
    """
    if min(target.shape[:2]) < WINDOW:
        ssim_weight = 0.0
    elif native.available() and image.dtype == torch.float32 and image.device.type == "cpu":
        return _NativeLoss.apply(image, target, mask, ssim_weight, threads or torch.get_num_threads())
    image = image.reshape(target.shape)
    if mask is not None:
        image = torch.where(mask[..., None], image, target)
    counted = image.numel() if mask is None else (mask.sum() * image.shape[2]).clamp_min(1)
    loss = (1 - ssim_weight) * (image - target).abs().sum() / counted
    return loss + ssim_weight * (1 - ssim(image, target)) if ssim_weight else loss


def depth_variance(drawn: Render, extent: float) -> torch.Tensor:
    """Mean over pixels of how far the drawn Gaussians' depths vary along the ray, in units of `extent` squared.

    The variance is weighted as the blending is. `drawn.features` [C, H, W, 1] must hold ((depth - extent) / extent)^2.
    """
    inputs = drawn.alpha, drawn.accumulated_depth, drawn.features.squeeze(-1)
    if native.available() and all(value.dtype == torch.float32 and value.device.type == "cpu" for value in inputs):
        return _NativeVariance.apply(*inputs, extent)
    alpha, depth, squares = inputs
    mean = depth / extent - alpha
    return (squares - mean**2 / alpha.clamp_min(1e-3)).mean()


def ssim(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean structural similarity of images [H, W, C] in 0..1, in plain PyTorch."""
    x, y = image.permute(2, 0, 1), target.permute(2, 0, 1)
    moments = _blurred(torch.cat([x, y, x * x, y * y, x * y]))
    mx, my, xx, yy, xy = moments.split(len(x))
    structure = (2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4)
    return (structure / ((mx * mx + my * my + 1e-4) * (xx - mx * mx + yy - my * my + 9e-4))).mean()


def _blurred(planes: torch.Tensor) -> torch.Tensor:
    """[P, H - 10, W - 10]: the windows' weighted means of planes [P, H, W]."""
    if planes.device.type != "cpu":
        return _blurred_as_channels(planes)
    window = _window(planes.dtype, planes.device)
    planes = torch.nn.functional.conv2d(planes[:, None], window.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(planes, window.view(1, 1, 1, -1))[:, 0]


def _blurred_as_channels(planes: torch.Tensor) -> torch.Tensor:
    """The same with a filter for each plane: CUDA computes that in full float32, other convolutions by default in TF32,
    whose rounding is as large as the variances are.
    """
    count, window = len(planes), _window(planes.dtype, planes.device)
    columns, rows = (window.view(shape).repeat(count, 1, 1, 1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    planes = torch.nn.functional.conv2d(planes[None], columns, groups=count)
    return torch.nn.functional.conv2d(planes, rows, groups=count)[0]


@lru_cache(maxsize=4)
def _window(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    offsets = torch.arange(WINDOW, dtype=dtype, device=device) - WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return window / window.sum()


class _NativeLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, mask, ssim_weight, threads):
        ctx.shape = image.shape
        image = image.detach() if image.ndim == 3 else image.detach()[0]
        planar = [value.permute(2, 0, 1).contiguous() for value in (image, target)]
        mask = None if mask is None else mask.contiguous()
        loss, gradient = native.image_loss(*planar, mask, ssim_weight, threads)
        ctx.save_for_backward(gradient)
        return torch.tensor(loss)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_loss):
        (gradient,) = ctx.saved_tensors
        return _scaled(gradient, by_loss).permute(1, 2, 0).view(ctx.shape), None, None, None, None


class _NativeVariance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, alpha, depth, squares, extent):
        value, gradients = native.depth_variance(
            *(image.detach().contiguous() for image in (alpha, depth, squares)), extent
        )
        ctx.save_for_backward(*gradients)
        return torch.tensor(value, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_value):
        return (*(_scaled(gradient, by_value) for gradient in ctx.saved_tensors), None)


def _scaled(gradient: torch.Tensor, by_loss: torch.Tensor) -> torch.Tensor:
    return gradient if by_loss == 1 else gradient * by_loss

"""One way to draw Gaussians, three backends: plain PyTorch ("reference"), our C++ ("native"), and gsplat on CUDA.

All follow gsplat's semantics: contributions under 1/255 are skipped, alpha is at most 0.999, a pixel ends when its
transmittance would reach 1e-4, projected variances are blurred by 0.3 px^2, and pixel centres lie at half-integers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from splatscope.splats import cuda, native, reference
from splatscope.splats.constants import NEAR_PLANE
from splatscope.splats.gaussians import Gaussians

BACKENDS = ("auto", "reference", "native", "gsplat")


@dataclass(frozen=True)
class Render:
    """What C cameras see; every tensor is differentiable."""

    color: torch.Tensor  # [C, H, W, 3] sRGB, over the background; may exceed 1
    alpha: torch.Tensor  # [C, H, W] accumulated opacity
    accumulated_depth: torch.Tensor  # [C, H, W] depth along the optical axis in mm, blended like a colour over 0
    features: torch.Tensor | None  # [C, H, W, E] alpha-composited over 0; None where none were given
    contributor: torch.Tensor | None = None  # int32 [C, H, W] Gaussian of the largest weight, -1: none

    @property
    def depth(self) -> torch.Tensor:
        """[C, H, W] expected depth along the optical axis in mm; 0 where alpha is 0."""
        return torch.where(self.alpha > 0, self.accumulated_depth / self.alpha.clamp_min(1e-10), 0)


def render(
    gaussians: Gaussians,
    camera_from_world: torch.Tensor,
    intrinsics: torch.Tensor,
    width: int,
    height: int,
    *,
    backend: str = "auto",
    background: torch.Tensor | None = None,
    features: torch.Tensor | None = None,
    sh_degree: int | None = None,
    near_plane: float = NEAR_PLANE,
    mean_offsets: torch.Tensor | None = None,
    absgrad: torch.Tensor | None = None,
    contributors: bool = False,
    threads: int | None = None,
) -> Render:
    """Draw the Gaussians into C cameras of `width` x `height` pixels.

    Args:
        camera_from_world: rigid transforms [C, 4, 4], OpenCV axes.
        intrinsics: [C, 3, 3] pinhole matrices, pixel centres at half-integers.
        backend: "auto" takes gsplat for CUDA tensors, else native for float32, else reference.
        background: [3] colour behind everything; black when None.
        features: [N, E] more channels per Gaussian, blended in the same pass.
        sh_degree: use only bands 0 .. sh_degree of the colour.
        near_plane: mm; Gaussians whose centre lies nearer are not drawn.
        mean_offsets: [C, N, 2] px added to the projected means: zeros whose gradient tells how each Gaussian pulls in
            the image.
        absgrad: [C, N, 2]: the backward pass fills it with the gradient by `mean_offsets` in which pixels count by
            their magnitudes, so that opposite pulls do not cancel (AbsGS, Ye et al. 2024). One such pass a drawing.
        contributors: also tell which Gaussian weighs most in each pixel.
        threads: of the native backend; torch's number when None. Results are equal to the byte for any number.

    Gradients flow to every tensor of the Gaussians, to `features`, `background`, `mean_offsets` and
    `camera_from_world`. ValueError for shapes that do not fit and for NaN or infinity in any input.
    """
    _check_shapes(gaussians, camera_from_world, intrinsics, width, height, background, features, mean_offsets, absgrad)
    sh_degree = gaussians.sh_degree if sh_degree is None else min(sh_degree, gaussians.sh_degree)
    backend = choose_backend(gaussians) if backend == "auto" else backend
    if backend == "native":
        native.require()
    else:  # native looks for them while it reads the numbers anyway
        _check_finite(gaussians, camera_from_world, intrinsics, features)
    if backend == "gsplat":
        cuda.require(gaussians)
        if not len(gaussians):  # gsplat's kernels divide by their number
            backend = "reference"

    if backend == "gsplat":
        cameras = (camera_from_world, intrinsics, width, height)
        options = (features, sh_degree, near_plane, mean_offsets, contributors, absgrad, background)
        color, depth, blended, alpha, contributor = cuda.rasterize(gaussians, *cameras, *options)
    elif backend in ("native", "reference"):
        views = []
        for index in range(len(camera_from_world)):
            offsets = None if mean_offsets is None else mean_offsets[index]
            camera = (camera_from_world[index], intrinsics[index], width, height)
            magnitudes = None if absgrad is None else absgrad[index]
            arguments = (gaussians, *camera, features, sh_degree, near_plane, offsets, contributors, magnitudes)
            if backend == "native":
                views.append(native.rasterize(*arguments, background, threads))
            else:
                views.append(reference.rasterize(*arguments))
        color, depth, blended, alpha, contributor = (_joined(values) for values in zip(*views))
    else:
        raise ValueError(f"expected backend to be one of {', '.join(BACKENDS)}, got {backend!r}")

    if background is not None and backend == "reference":
        color = color + (1 - alpha[..., None]) * background
    return Render(color, alpha, depth, blended, contributor)


def choose_backend(gaussians: Gaussians) -> str:
    """The fastest backend for these tensors; warns when it is the slow reference because the C++ one was not built."""
    if gaussians.device.type == "cuda":
        return "gsplat"
    if gaussians.means.dtype != torch.float32:
        return "reference"
    if native.available():
        return "native"
    warnings.warn(
        "the C++ rasterizer was not built (no compiler at installation): drawing with plain PyTorch, "
        "about 400 times slower; install g++ and run `pip install -e .` again",
        stacklevel=3,
    )
    return "reference"


def _check_shapes(gaussians, camera_from_world, intrinsics, width, height, background, features, mean_offsets, absgrad):
    count, cameras = len(gaussians), len(camera_from_world)
    for name, value, shape in (
        ("camera_from_world", camera_from_world, (cameras, 4, 4)),
        ("intrinsics", intrinsics, (cameras, 3, 3)),
        ("background", background, (3,)),
        ("mean_offsets", mean_offsets, (cameras, count, 2)),
        ("absgrad", absgrad, (cameras, count, 2)),
    ):
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(f"expected {name} {list(shape)}, got {list(value.shape)}")
    if cameras == 0:
        raise ValueError("expected at least one camera, got camera_from_world [0, 4, 4]")
    if features is not None and (features.ndim != 2 or len(features) != count):
        raise ValueError(f"expected features [{count}, E], got {list(features.shape)}")
    if width < 1 or height < 1:
        raise ValueError(f"expected an image of at least 1 x 1 pixels, got {width} x {height}")


def _check_finite(gaussians, camera_from_world, intrinsics, features):
    values = {
        "means": gaussians.means,
        "quaternions": gaussians.quaternions,
        "log_scales": gaussians.log_scales,
        "opacity_logits": gaussians.opacity_logits,
        "sh": gaussians.sh,
        "light": gaussians.light,
        "features": features,
        "camera_from_world": camera_from_world,
        "intrinsics": intrinsics,
    }
    given = {name: value for name, value in values.items() if value is not None and value.numel()}
    # on CUDA each look at a value waits for all that was begun: one sum is looked at, all values only if it is bad
    if torch.isfinite(torch.nn.utils.get_total_norm([value.detach() for value in given.values()])):
        return
    for name, value in given.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"NaN or infinity in {name}")


def _joined(values: tuple[torch.Tensor | None, ...]) -> torch.Tensor | None:
    return values[0] if len(values) == 1 or values[0] is None else torch.cat(values)

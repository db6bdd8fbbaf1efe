"""gsplat's own PyTorch rasterizer, made to run without CUDA.

As shipped it cannot: two index searches exist only as CUDA kernels and nerfacc's scans too. Those three are replaced;
projection, colour, blending and all gradients are gsplat's own code.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch.utils import cpp_extension


def load(build: Path):
    """(function, version): draw(means, quaternions, scales, opacities, sh, camera_from_world, intrinsics, W, H)."""
    build.mkdir(parents=True, exist_ok=True)
    source = str(Path(__file__).with_name("gsplat_reference.cpp"))
    search = cpp_extension.load("gsplat_search", [source], extra_cflags=["-O3"], build_directory=str(build))
    sys.modules["nerfacc"] = _nerfacc()

    import gsplat
    from gsplat import rendering
    from gsplat.cuda import _torch_impl, _wrapper

    def tiles(means2d, radii, depths, size, across, down, **_):
        flat = [value.detach().reshape(-1, 2) for value in (means2d, radii)]
        tile, gaussians = search.tiles_of(
            flat[0].contiguous(), flat[1].int().contiguous(), depths.detach().flatten().contiguous(), size, across, down
        )
        return None, tile << 32, gaussians

    def pairs(_start, _end, light, means2d, conics, opacities, width, height, size, offsets, gaussians):
        across = offsets.shape[-1]
        first = torch.cat([offsets.flatten().int(), torch.tensor([len(gaussians)], dtype=torch.int32)])
        flat = [value.detach()[0].contiguous() for value in (light, means2d, conics, opacities)]
        drawn, pixels = search.pairs_of(*flat, width, height, size, across, first, gaussians)
        return drawn, pixels, torch.zeros_like(drawn)

    rendering.isect_tiles = tiles
    rendering.isect_offset_encode = _torch_impl._isect_offset_encode
    rendering.spherical_harmonics = lambda degree, directions, sh, masks=None: _torch_impl._spherical_harmonics(
        degree, directions, sh
    )
    _wrapper.rasterize_to_indices_in_range = pairs

    def draw(means, quaternions, scales, opacities, sh, camera_from_world, intrinsics, width, height):
        return rendering._rasterization(
            means,
            quaternions,
            scales,
            opacities,
            sh,
            camera_from_world[None],
            intrinsics[None],
            width,
            height,
            sh_degree=math.isqrt(sh.shape[1]) - 1,
            batch_per_iter=10**6,
        )[0][0]

    return draw, gsplat.__version__


def _nerfacc() -> ModuleType:
    """The two scans that gsplat takes from nerfacc, in plain PyTorch."""
    module = ModuleType("nerfacc")

    def render_weight_from_alpha(alphas, ray_indices, n_rays):
        through = torch.log1p(-alphas.double())
        before = torch.cumsum(through, 0) - through
        starts = torch.ones_like(ray_indices, dtype=torch.bool)
        starts[1:] = ray_indices[1:] != ray_indices[:-1]
        start = torch.where(starts, torch.arange(len(alphas)), 0).cummax(0).values
        transmittance = torch.exp(before - before[start]).to(alphas.dtype)
        return alphas * transmittance, transmittance

    def accumulate_along_rays(weights, values, ray_indices, n_rays):
        source = weights[:, None] if values is None else weights[:, None] * values
        return torch.zeros(n_rays, source.shape[-1]).index_add_(0, ray_indices, source)

    module.render_weight_from_alpha = render_weight_from_alpha
    module.accumulate_along_rays = accumulate_along_rays
    return module

"""gsplat's public functions on the CPU, so that the code that calls them can be tested without CUDA.

Projection, colour, tiles and blending are gsplat's own PyTorch reference. What exists as CUDA kernels only is written
here as the kernels' sources have it: which pixels each Gaussian reaches, two scans that the reference takes from
nerfacc, and the magnitudes of AbsGS.
"""

import sys
from types import ModuleType

import gsplat
import torch
from gsplat.cuda import _torch_impl


def install(monkeypatch) -> None:
    """Until the test ends."""
    nerfacc = ModuleType("nerfacc")
    nerfacc.render_weight_from_alpha, nerfacc.accumulate_along_rays = render_weight_from_alpha, accumulate_along_rays
    monkeypatch.setitem(sys.modules, "nerfacc", nerfacc)
    for function in (
        fully_fused_projection,
        isect_tiles,
        rasterize_to_pixels,
        rasterize_to_indices_in_range,
        spherical_harmonics,
    ):
        monkeypatch.setattr(gsplat, function.__name__, function)
    monkeypatch.setattr(gsplat, "isect_offset_encode", _torch_impl._isect_offset_encode)


def fully_fused_projection(means, covars, quats, scales, viewmats, Ks, width, height, *, eps2d, near_plane, opacities):
    assert covars is None and opacities.shape == means.shape[:1]
    covariances, _ = _torch_impl._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    radii, *projected, _ = _torch_impl._fully_fused_projection(
        means, covariances, viewmats, Ks, width, height, eps2d, near_plane
    )
    radii[:, opacities < 1 / 255] = 0
    # the kernel leaves these as they are; a NaN is what would be found out
    drawn = (radii > 0).all(-1)
    centres, depths, conics = (
        torch.where(drawn.view(*drawn.shape, *[1] * (value.ndim - 2)), value, torch.nan) for value in projected
    )
    return radii, centres, depths, conics, None


def spherical_harmonics(degree, directions, coefficients):
    return _torch_impl._spherical_harmonics(degree, directions, coefficients)


def isect_tiles(means2d, radii, depths, tile_size, across, down):
    means2d = torch.where(radii > 0, means2d.detach(), 0)
    return _torch_impl._isect_tiles(means2d, radii, depths.detach(), tile_size, across, down)


def rasterize_to_pixels(
    means2d, conics, colors, opacities, width, height, tile_size, starts, order, *, backgrounds, absgrad
):
    light = torch.ones(len(means2d), height, width)
    gaussian, pixel, image = rasterize_to_indices_in_range(
        0, 2**30, light, means2d, conics, opacities, width, height, tile_size, starts, order
    )
    # each pair as a Gaussian of its own, so that its own pull can be seen
    centres, pairs = means2d[image, gaussian], torch.arange(len(gaussian))
    if absgrad and centres.requires_grad:

        def keep(by):
            means2d.absgrad = torch.zeros_like(means2d).index_put((image, gaussian), by.abs(), accumulate=True)

        centres.register_hook(keep)
    of_pairs = (value[image, gaussian].expand(len(means2d), *(-1,) * (value.ndim - 1)) for value in (conics, opacities))
    spread = centres.expand(len(means2d), -1, -1), *of_pairs, colors[image, gaussian].expand(len(means2d), -1, -1)
    blended, alpha = _torch_impl.accumulate(*spread, pairs, pixel, image, width, height)
    if backgrounds is not None:
        blended = blended + backgrounds[:, None, None, :] * (1 - alpha)
    return blended, alpha


@torch.no_grad()
def rasterize_to_indices_in_range(
    start, end, transmittances, means2d, conics, opacities, width, height, tile_size, starts, order
):
    """Pixel after pixel, front to back, as RasterizeToIndices3DGS.cu leaves them."""
    assert start == 0 and transmittances.eq(1).all()
    _, down, across = starts.shape
    count = means2d.shape[1]
    ends = torch.cat([starts.flatten()[1:], torch.tensor([len(order)])])
    found = []
    for tile, (first, last) in enumerate(zip(starts.flatten().tolist(), ends.tolist())):
        camera, row, column = tile // (down * across), tile // across % down, tile % across
        if first == last:
            continue
        gaussian = order[first:last].long() % count
        y, x = torch.meshgrid(
            torch.arange(row * tile_size, min((row + 1) * tile_size, height)),
            torch.arange(column * tile_size, min((column + 1) * tile_size, width)),
            indexing="ij",
        )
        pixel = (y * width + x).flatten()
        dx, dy = (value.flatten()[:, None] + 0.5 - means2d[camera, gaussian, axis] for axis, value in enumerate((x, y)))
        a, b, c = conics[camera, gaussian].unbind(-1)
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[camera, gaussian] * torch.exp(-power)).clamp_max(0.999)
        alpha = torch.where((power >= 0) & (alpha >= 1 / 255), alpha, 0)
        drawn = (alpha > 0) & (torch.cumprod(1 - alpha, 1) > 1e-4)
        place, which = torch.nonzero(drawn, as_tuple=True)
        found.append(torch.stack([gaussian[which], pixel[place], torch.full_like(place, camera)]))
    pairs = torch.cat(found, 1) if found else torch.zeros(3, 0, dtype=torch.int64)
    gaussian, pixel, camera = pairs[:, torch.argsort(pairs[2] * (width * height) + pairs[1], stable=True)]
    return gaussian, pixel, camera


def render_weight_from_alpha(alphas, ray_indices, n_rays):
    through = torch.log1p(-alphas.double())
    before = torch.cumsum(through, 0) - through
    new = torch.cat([torch.ones_like(ray_indices[:1]), ray_indices[1:] - ray_indices[:-1]]) != 0
    start = torch.where(new, torch.arange(len(alphas)), 0).cummax(0).values
    transmittance = torch.exp(before - before[start]).to(alphas.dtype)
    return alphas * transmittance, transmittance


def accumulate_along_rays(weights, values, ray_indices, n_rays):
    source = weights[:, None] if values is None else weights[:, None] * values
    return torch.zeros(n_rays, source.shape[-1]).index_add(0, ray_indices, source)

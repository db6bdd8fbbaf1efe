"""Training of a radiance field from posed photographs: same seed, same bytes on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import warp as wp

from splatscope.baselines import hash_kernels
from splatscope.baselines.hash_grid import HashGrid
from splatscope.baselines.nerfacto import Nerfacto
from splatscope.baselines.ngp import InstantNgp
from splatscope.baselines.rays import PixelPool, Rays, camera_rays
from splatscope.baselines.scene import Scene, find_scene
from splatscope.baselines.volume import Rendered, render_samples
from splatscope.config.baselines import BaselinesConfig, FieldConfig
from splatscope.splats.initialise import PointCloud, TrainingView
from splatscope.splats.photographs import heldout_views, photograph, psnr

FIELDS = {"ngp": InstantNgp, "nerfacto": Nerfacto}
RAYS_AT_ONCE = 4096  # of a finished image; bounds memory
PROGRESS_EVERY_S = 5.0
CURVE_POINTS = 5
CURVE_STRIDE = 8  # the curve is measured at each n-th pixel along both axes of the held-out views
BETAS, EPSILON = (0.9, 0.99), 1e-15  # of Adam, as in Instant-NGP

Field = InstantNgp | Nerfacto


@dataclass
class TrainingResult:
    field: Field  # on the training's device
    curve: list[dict]  # rows: iteration, psnr_heldout (of each 64th pixel), seconds (without the measurements)
    heldout: list[int]  # indices of the views held out
    heldout_psnr: list[float]  # dB over all usable pixels, in the same order
    seconds: float  # wall-clock time of training, without the measurements
    cpu_seconds: float  # the process's processor time in them


def train_radiance_field(
    kind: str,
    views: Sequence[TrainingView],
    points: PointCloud | None,
    config: BaselinesConfig,
    seed: int,
    heldout_every: int,
    *,
    device: torch.device | str = "cpu",
    report: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Learn a radiance field from the views that a splat would learn from.

    Args:
        kind: a key of FIELDS.
        views: photographs without distortion; those of `heldout_views(.., heldout_every)` are only measured.
        points: coloured points in world units, which say where the scene lies; None: where the cameras look.
        report: called with lines of progress.

    Equal bytes for equal seeds are a promise of the CPU on one thread only. ValueError when there is no view to
    train on.
    """
    report, device = report or (lambda line: None), torch.device(device)
    heldout = heldout_views(len(views), heldout_every)
    training = [view for index, view in enumerate(views) if index not in heldout]
    if not training:
        raise ValueError("expected at least one view to train on, got none")
    scene = find_scene(training, points, config.ngp.box_quantile, config.ngp.box_margin)
    field = new_field(kind, config, scene, len(training), seed).to(device)
    field.look_at_views(training)
    pool, generator = PixelPool(training, device), torch.Generator(device).manual_seed(seed)
    settings = getattr(config, kind)
    optimizer = torch.optim.Adam(_rates(field, settings), betas=BETAS, eps=EPSILON, fused=True)
    wp.load_module(hash_kernels, device=wp.device_from_torch(device))  # compiled when first used: no part of training
    measured = [views[index] for index in heldout]
    curve, seconds, cpu_seconds, said = [], 0.0, 0.0, time.monotonic()
    every = max(settings.iterations // CURVE_POINTS, 1)
    for iteration in range(settings.iterations):
        started, cpu_started = time.monotonic(), time.process_time()
        progress = iteration / settings.iterations
        for group in optimizer.param_groups:
            group["lr"] = group["first_rate"] * settings.rate_decay**progress
        rays, target = pool.draw(field.rays_per_step, generator)
        loss = field.training_loss(rays, target, generator, progress)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        field.after_step(iteration + 1, generator)
        now = time.monotonic()
        seconds, cpu_seconds = seconds + now - started, cpu_seconds + time.process_time() - cpu_started
        if measured and ((iteration + 1) % every == 0 or iteration + 1 == settings.iterations):
            values = [view_psnr(field, view, CURVE_STRIDE) for view in measured]
            row = {"iteration": iteration + 1, "psnr_heldout": float(np.mean(values)), "seconds": round(seconds, 3)}
            curve.append(row)
        if now - said >= PROGRESS_EVERY_S:
            said = now
            psnr_now = f"{curve[-1]['psnr_heldout']:.2f} dB" if curve else "not yet measured"
            report(
                f"{iteration + 1}/{settings.iterations}  {(iteration + 1) / seconds:.1f} it/s  "
                f"loss {loss.item():.5f}  held-out {psnr_now}  {len(rays)} rays"
            )
    return TrainingResult(field, curve, heldout, [view_psnr(field, view) for view in measured], seconds, cpu_seconds)


def _rates(field: Field, settings: FieldConfig) -> list[dict]:
    """Adam's parameter groups: the tables of hash grids, and the rest."""
    tables = [module.table for module in field.modules() if isinstance(module, HashGrid)]
    others = [value for value in field.parameters() if all(value is not table for table in tables)]
    groups = ((tables, settings.grid_rate), (others, settings.rate))
    return [{"params": values, "lr": rate, "first_rate": rate} for values, rate in groups]


def new_field(kind: str, config: BaselinesConfig, scene: Scene, views: int, seed: int) -> Field:
    """An untrained field; `views`: how many images have an appearance of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FIELDS[kind](getattr(config, kind), scene, views, config.light)


@torch.no_grad()
def render_rays(field: Field, rays: Rays) -> list[Rendered]:
    """What rays show before black, RAYS_AT_ONCE at a time."""
    return [
        render_samples(field.samples(rays.at(slice(start, start + RAYS_AT_ONCE))))
        for start in range(0, len(rays), RAYS_AT_ONCE)
    ]


def view_psnr(field: Field, view: TrainingView, stride: int = 1) -> float:
    """PSNR in dB over the usable pixels of a view, or of each `stride`-th along both axes."""
    device = next(field.parameters()).device
    shown = photograph(view)
    height, width = shown.image.shape[:2]
    grid = torch.arange(height * width).view(height, width)[::stride, ::stride]
    rays = camera_rays(view.camera, view.world_from_camera, device).at(grid.reshape(-1).to(device))
    colour = torch.cat([part.colour for part in render_rays(field, rays)]).cpu().view(*grid.shape, 3)
    mask = None if shown.mask is None else shown.mask[::stride, ::stride]
    return psnr(colour, shown.image[::stride, ::stride], mask)

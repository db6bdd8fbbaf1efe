"""Instant-NGP (Müller et al. 2022): a hash grid in a box, marched through where an occupancy grid says so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from splatscope.baselines.light import CameraLight
from splatscope.baselines.networks import RadianceField
from splatscope.baselines.occupancy import OccupancyGrid
from splatscope.baselines.rays import Rays, box_interval
from splatscope.baselines.scene import Scene
from splatscope.baselines.volume import Samples, render_samples, weights_of
from splatscope.config.baselines import NgpConfig
from splatscope.geometry import invert
from splatscope.splats.initialise import TrainingView

OPAQUE = -math.log(1e-4)  # optical depth behind which nothing is looked at
FAINT = 1e-3  # share of a pixel below which a sample's colour is not looked up in finished images
BLOCK = 16  # samples of a ray that are looked at before it is asked whether more are needed
HUBER = 0.1
FIRST_RAYS = 256


class InstantNgp(torch.nn.Module):
    """Trained on random rays; equal samples for equal rays."""

    def __init__(self, config: NgpConfig, scene: Scene, views: int, light: bool):
        super().__init__()
        self.config, self.scene = config, scene
        self.field = RadianceField(config.grid, config.hidden_width)
        self.occupancy = OccupancyGrid(config.occupancy_resolution, config.occupancy_decay)
        self.light = CameraLight(scene.extent) if light else None
        self.rays_per_step = min(FIRST_RAYS, config.max_rays)

    def look_at_views(self, views: Sequence[TrainingView]) -> None:
        """Leave out what no training view sees."""
        device = self.occupancy.density.device
        world = self.occupancy.middles() * self.scene.side + self._lowest()
        margin = self.scene.side / self.config.occupancy_resolution
        seen = torch.zeros(len(world), dtype=torch.bool, device=device)
        for view in views:
            pose = torch.from_numpy(invert(view.world_from_camera)).float().to(device)
            x, y, z = (world @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
            camera, depth = view.camera, z.clamp_min(1e-3)
            across, down = camera.fx * x / depth + camera.cx, camera.fy * y / depth + camera.cy
            border = margin * max(camera.fx, camera.fy) / depth
            inside = (across > -border) & (across < camera.width + border)
            seen |= inside & (down > -border) & (down < camera.height + border) & (z > 0)
        self.occupancy.mark_seen(seen)

    def training_loss(
        self, rays: Rays, target: torch.Tensor, generator: torch.Generator, progress: float
    ) -> torch.Tensor:
        """Huber loss of the rays' colours before random ones."""
        starts, visible = self._march(rays, None, generator)
        samples = self._shade(rays, starts, visible)
        used = max(int(visible.sum()), 1)
        wanted = int(len(rays) * self.config.samples_per_step / used)
        self.rays_per_step = min(max(wanted, len(rays) // 2, 1), 2 * len(rays), self.config.max_rays)
        drawn = render_samples(samples)
        background = torch.rand(len(rays), 3, generator=generator, device=target.device)
        colour = drawn.colour + (1 - drawn.alpha[:, None]) * background
        target_loss = torch.nn.functional.huber_loss(colour, target, delta=HUBER, reduction="sum")
        return target_loss / (3 * HUBER * len(rays))

    def after_step(self, iteration: int, generator: torch.Generator) -> None:
        number, rest = divmod(iteration, self.config.occupancy_every)
        if rest == 0:
            step = self.config.step_share * self.scene.nearest
            self.occupancy.update(self._density, number, self.config.occupied / step, generator)

    @torch.no_grad()
    def samples(self, rays: Rays, limits: tuple[torch.Tensor, torch.Tensor] | None = None) -> Samples:
        """What the rays meet, within `limits` [R], [R] (mm) where given."""
        return self._shade(rays, *self._march(rays, limits, None))

    @torch.no_grad()
    def _march(self, rays: Rays, limits, generator: torch.Generator | None):
        """Starts [R, S] in mm of the steps in occupied cells, moved to the front of each ray (0: no more of them), and
        bool [R, S]: those with no opaque matter before them. Without a generator (finished images) faint ones are out.
        """
        device = rays.origins.device
        first, last = box_interval(rays.origins, rays.directions, self._lowest(), self._lowest() + self.scene.side)
        near = first.clamp_min(self.config.near_share * self.scene.nearest)
        if limits is not None:
            near, last = torch.maximum(near, limits[0]), torch.minimum(last, limits[1])
        growth = math.log1p(self.config.step_share)
        reach = torch.log((last / near).clamp_min(1)).max().item() if len(rays) else 0.0
        steps = torch.arange(math.ceil(reach / growth) + 1, device=device, dtype=torch.float32)
        if generator is not None:
            steps = steps + torch.rand(len(rays), 1, generator=generator, device=device) - 0.5
        starts = (near[:, None] * torch.exp(growth * steps)).expand(len(rays), -1)
        middles = starts * (1 + self.config.step_share / 2)
        inside = (middles > near[:, None]) & (middles < last[:, None])
        ray, step = torch.nonzero(inside, as_tuple=True)
        at = middles[ray, step]
        cells = self.occupancy.cell_of(self._unit(rays.origins[ray] + at[:, None] * rays.directions[ray]))
        occupied = self.occupancy.occupied[cells]
        starts = _to_front(ray[occupied], starts[ray[occupied], step[occupied]], len(rays))
        return starts, self._not_hidden(rays, starts, finished=generator is None)

    def _not_hidden(self, rays: Rays, starts: torch.Tensor, finished: bool) -> torch.Tensor:
        """bool [R, S]: which steps light still reaches; looked at from the front, until nothing gets through."""
        density = torch.zeros_like(starts)
        there = starts > 0
        looked_at = torch.zeros_like(there)
        optical = density.new_zeros(len(rays))
        for first in range(0, starts.shape[1], BLOCK):
            block = slice(first, first + BLOCK)
            ray, step = torch.nonzero(there[:, block] & (optical < OPAQUE)[:, None], as_tuple=True)
            if not len(ray):
                break
            step = step + first
            lengths = starts[ray, step] * self.config.step_share
            middles = starts[ray, step] + lengths / 2
            found = self._density(self._unit(rays.origins[ray] + middles[:, None] * rays.directions[ray]))
            density[ray, step] = found
            looked_at[ray, step] = True
            optical.index_add_(0, ray, found * lengths)
        lengths = starts * self.config.step_share
        if finished:
            return weights_of(density, lengths) > FAINT
        before = torch.cumsum(density * lengths, 1) - density * lengths
        return looked_at & (before < OPAQUE)

    def _shade(self, rays: Rays, starts: torch.Tensor, visible: torch.Tensor) -> Samples:
        """Density and colour of the visible steps."""
        ray, step = torch.nonzero(visible, as_tuple=True)
        first = starts[ray, step]
        last = first * (1 + self.config.step_share)
        middles = (first + last) / 2
        density, geometry = self.field(self._unit(rays.origins[ray] + middles[:, None] * rays.directions[ray]))
        colour = self.field.colour(geometry, self.field.conditions(rays.directions, None)[ray])
        if self.light is not None:
            colour = colour * self.light(middles, rays.ahead[ray])[:, None]
        values = torch.cat([torch.stack([first, last, density / self.scene.extent], 1), colour], 1)
        packed = _to_front(ray, values, len(rays))
        return Samples(packed[..., 0], packed[..., 1], packed[..., 2], packed[..., 3:])

    def _density(self, points: torch.Tensor) -> torch.Tensor:
        """Density [N] per mm at points [N, 3] of the unit cube."""
        return self.field(points)[0] / self.scene.extent

    def _unit(self, points: torch.Tensor) -> torch.Tensor:
        """World mm to the unit cube."""
        return ((points - self._lowest()) / self.scene.side).clamp(0, 1)

    def _lowest(self) -> torch.Tensor:
        return torch.tensor(self.scene.lowest, device=self.occupancy.density.device)


def _to_front(ray: torch.Tensor, values: torch.Tensor, rays: int) -> torch.Tensor:
    """[R, S, ...] rows of values [N, ...] by the ray [N] (ascending) that each belongs to; the rest of a row is 0."""
    counts = torch.bincount(ray, minlength=rays)
    slot = torch.arange(len(ray), device=ray.device) - (torch.cumsum(counts, 0) - counts)[ray]
    width = max(int(counts.max()), 1) if rays else 1
    return values.new_zeros(rays, width, *values.shape[1:]).index_put((ray, slot), values)

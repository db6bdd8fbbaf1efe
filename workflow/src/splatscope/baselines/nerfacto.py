"""Nerfacto (Tancik et al. 2023, Nerfstudio): proposals say where to look, space is contracted, images have a light."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from splatscope.baselines.contraction import contract
from splatscope.baselines.light import CameraLight
from splatscope.baselines.losses import distortion_loss, interlevel_loss
from splatscope.baselines.networks import DensityField, RadianceField
from splatscope.baselines.rays import Rays
from splatscope.baselines.sampling import even_edges, resample, spaced, unspaced
from splatscope.baselines.scene import Scene
from splatscope.baselines.volume import Samples, render_samples, weights_of
from splatscope.config.baselines import NerfactoConfig
from splatscope.splats.initialise import TrainingView

ANNEAL_SLOPE = 10.0  # how fast the proposals' say grows (Mip-NeRF 360, eq. 18)
PROPOSAL_WARM_UP = 0.1  # share of the training in which the proposals learn at each step


class Nerfacto(torch.nn.Module):
    """Trained on random rays; equal samples for equal rays."""

    def __init__(self, config: NerfactoConfig, scene: Scene, views: int, light: bool):
        super().__init__()
        self.config, self.scene = config, scene
        self.proposals = torch.nn.ModuleList(DensityField(grid, config.proposal_width) for grid in config.proposals)
        self.field = RadianceField(config.grid, config.hidden_width, views, config.appearance_width)
        self.light = CameraLight(scene.extent) if light else None
        self.rays_per_step = config.rays_per_step
        self._iteration = 0

    def look_at_views(self, views: Sequence[TrainingView]) -> None:
        """All of space may hold something."""

    def training_loss(
        self, rays: Rays, target: torch.Tensor, generator: torch.Generator, progress: float
    ) -> torch.Tensor:
        """Squared error of the colours before random ones, interlevel and distortion loss."""
        config = self.config
        learning = progress < PROPOSAL_WARM_UP or self._iteration % config.proposal_update_every == 0
        share = min(progress / config.anneal_share, 1.0) if config.anneal_share else 1.0
        anneal = ANNEAL_SLOPE * share / ((ANNEAL_SLOPE - 1) * share + 1)
        histograms, edges, ends = self._propose(rays, None, generator, anneal, learning)
        samples = self._shade(rays, ends)
        drawn = render_samples(samples)
        background = torch.rand(len(rays), 3, generator=generator, device=target.device)
        colour = drawn.colour + (1 - drawn.alpha[:, None]) * background
        loss = torch.nn.functional.mse_loss(colour, target)
        loss = loss + config.distortion_weight * distortion_loss(drawn.weights, edges)
        if learning:
            for proposal_edges, proposal_weights in histograms:
                loss = loss + interlevel_loss(edges, drawn.weights, proposal_edges, proposal_weights)
        return loss

    def after_step(self, iteration: int, generator: torch.Generator) -> None:
        self._iteration = iteration

    @torch.no_grad()
    def samples(self, rays: Rays, limits: tuple[torch.Tensor, torch.Tensor] | None = None) -> Samples:
        """What the rays meet, within `limits` [R], [R] (mm) where given."""
        return self._shade(rays, self._propose(rays, limits, None, 1.0, False)[2])

    def _propose(self, rays: Rays, limits, generator: torch.Generator | None, anneal: float, learning: bool):
        """Edges and weights of each proposal's histogram over 0..1 between near and far, the edges [R, S + 1] of the
        last intervals there, and those in mm."""
        extent = self.scene.extent
        near = torch.full_like(rays.ahead, self.config.near_share * self.scene.nearest)
        far = torch.full_like(rays.ahead, self.config.far_extents * extent)
        if limits is not None:
            near = torch.maximum(near, limits[0])
            far = torch.maximum(torch.minimum(far, limits[1]), near)
        first, last = spaced(near / extent)[:, None], spaced(far / extent)[:, None]

        def in_mm(edges: torch.Tensor) -> torch.Tensor:
            return unspaced(first + (last - first) * edges) * extent

        histograms = []
        edges = even_edges(len(rays), self.config.proposal_samples[0], generator, rays.origins.device)
        following = (*self.config.proposal_samples[1:], self.config.samples)
        for proposal, count in zip(self.proposals, following):
            with torch.set_grad_enabled(learning):
                distance = in_mm(edges)
                density = proposal(self._unit(rays, distance)).view(len(rays), -1)
                weights = weights_of(density / extent, distance.diff(dim=1))
            histograms.append((edges, weights))
            edges = resample(edges, weights.detach() ** anneal, count, generator)
        return histograms, edges, in_mm(edges)

    def _shade(self, rays: Rays, distance: torch.Tensor) -> Samples:
        """Density and colour in the intervals between distances [R, S + 1]."""
        starts, ends = distance[:, :-1], distance[:, 1:]
        density, geometry = self.field(self._unit(rays, distance))
        conditions = self.field.conditions(rays.directions, rays.views)
        colour = self.field.colour(geometry, conditions.repeat_interleave(starts.shape[1], 0)).view(*starts.shape, 3)
        if self.light is not None:
            colour = colour * self.light((starts + ends) / 2, rays.ahead[:, None])[..., None]
        return Samples(starts, ends, density.view_as(starts) / self.scene.extent, colour)

    def _unit(self, rays: Rays, distance: torch.Tensor) -> torch.Tensor:
        """Points [R * S, 3] of the unit cube in the middles of the intervals between distances [R, S + 1]."""
        points = rays.points((distance[:, 1:] + distance[:, :-1]) / 2).view(-1, 3)
        centre = torch.tensor(self.scene.centre, device=points.device)
        return (contract((points - centre) / self.scene.extent) / 4 + 0.5).clamp(0, 1)

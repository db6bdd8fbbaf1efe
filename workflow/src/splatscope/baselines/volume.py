"""Volume rendering along rays by the quadrature of Max 1995 (NeRF, eq. 3): density constant within each interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Samples:
    """Intervals along R rays, S each; those of no length or density count for nothing."""

    starts: torch.Tensor  # [R, S] distance from the camera
    ends: torch.Tensor  # [R, S]
    density: torch.Tensor  # [R, S] per unit of that distance
    colour: torch.Tensor  # [R, S, 3]

    @property
    def middles(self) -> torch.Tensor:
        return (self.starts + self.ends) / 2


@dataclass(frozen=True)
class Rendered:
    """What R rays show."""

    colour: torch.Tensor  # [R, 3] before black
    alpha: torch.Tensor  # [R] accumulated opacity
    distance: torch.Tensor  # [R] expected distance; 0 where alpha is 0
    weights: torch.Tensor  # [R, S]


def weights_of(density: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """[R, S] share of each interval in the blending: alpha times the transmittance before it. They sum to at most 1."""
    optical = density * lengths
    before = torch.cumsum(optical, -1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def render_samples(samples: Samples) -> Rendered:
    weights = weights_of(samples.density, samples.ends - samples.starts)
    alpha = weights.sum(-1)
    distance = (weights * samples.middles).sum(-1) / alpha.clamp_min(1e-6)
    return Rendered((weights[..., None] * samples.colour).sum(-2), alpha, distance, weights)


def merge(parts: Sequence[Samples]) -> tuple[Samples, torch.Tensor]:
    """Several media along the same rays, by the order of their intervals' middles; and which medium [R, S] each is of.

    Transmittance is the product of the media's, as it is where densities add up; where intervals of two media overlap
    their order is right to the length of an interval.
    """
    order = torch.argsort(torch.cat([part.middles for part in parts], 1), dim=1, stable=True)
    owner = torch.cat([torch.full_like(part.starts, number, dtype=torch.long) for number, part in enumerate(parts)], 1)

    def sorted_column(name: str) -> torch.Tensor:
        return torch.cat([getattr(part, name) for part in parts], 1).gather(1, order)

    colour = torch.cat([part.colour for part in parts], 1).gather(1, order[..., None].expand(-1, -1, 3))
    joined = Samples(sorted_column("starts"), sorted_column("ends"), sorted_column("density"), colour)
    return joined, owner.gather(1, order)

"""Where along a ray to look: spacings and resampling by a histogram."""

from __future__ import annotations

import torch

HISTOGRAM_PADDING = 0.01  # added to each weight, so that no interval is out of reach


def spaced(distance: torch.Tensor) -> torch.Tensor:
    """Distance (in the scene's extents) to a coordinate in 0..1: linear up to 1, linear in disparity beyond."""
    return torch.where(distance < 1, distance / 2, 1 - 1 / (2 * distance.clamp_min(1)))


def unspaced(place: torch.Tensor) -> torch.Tensor:
    """The inverse of `spaced`."""
    return torch.where(place < 0.5, 2 * place, 1 / (2 - 2 * place).clamp(1e-6, 1))


def even_edges(rays: int, count: int, generator: torch.Generator | None, device: torch.device) -> torch.Tensor:
    """[R, S + 1] edges of equal intervals over 0..1; with a generator the inner ones are jittered by less than half."""
    edges = torch.linspace(0, 1, count + 1, device=device).expand(rays, -1)
    if generator is None:
        return edges
    shift = (torch.rand(rays, count + 1, generator=generator, device=device) - 0.5) / count
    shift[:, 0] = shift[:, -1] = 0
    return edges + shift


@torch.no_grad()
def resample(edges: torch.Tensor, weights: torch.Tensor, count: int, generator: torch.Generator | None) -> torch.Tensor:
    """[R, S + 1] new edges, drawn by inverting the distribution of weights [R, K] over intervals with edges [R, K + 1].

    Evenly spaced quantiles; with a generator all of a ray's are shifted by one random part of their spacing.
    """
    weights = weights + HISTOGRAM_PADDING
    cumulated = torch.cumsum(weights / weights.sum(-1, keepdim=True), -1)
    cumulated = torch.cat([torch.zeros_like(cumulated[:, :1]), cumulated[:, :-1], torch.ones_like(cumulated[:, :1])], 1)
    quantiles = torch.linspace(0, 1, count + 1, device=edges.device).expand(len(edges), -1)
    if generator is not None:
        shift = (torch.rand(len(edges), 1, generator=generator, device=edges.device) - 0.5) / count
        quantiles = (quantiles + shift).clamp(0, 1)
    above = torch.searchsorted(cumulated, quantiles.contiguous(), right=True).clamp(1, edges.shape[1] - 1)
    low, high = cumulated.gather(1, above - 1), cumulated.gather(1, above)
    share = ((quantiles - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    first, second = edges.gather(1, above - 1), edges.gather(1, above)
    return first + share * (second - first)

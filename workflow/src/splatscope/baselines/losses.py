"""Losses on the weights along rays, of Mip-NeRF 360 (Barron et al. 2022)."""

from __future__ import annotations

import torch


def distortion_loss(weights: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Eq. 15, mean over R rays: how far the weights [R, S] of intervals with edges [R, S + 1] lie apart.

    sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (length of i), m the middles. Sorted middles make the double sum one of
    cumulated sums.
    """
    middles, lengths = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
    mass, moment = weights, weights * middles
    mass_before, moment_before = torch.cumsum(mass, -1) - mass, torch.cumsum(moment, -1) - moment
    between = 2 * (weights * (middles * mass_before - moment_before)).sum(-1)
    within = (weights.square() * lengths).sum(-1) / 3
    return (between + within).mean()


def interlevel_loss(
    edges: torch.Tensor, weights: torch.Tensor, proposal_edges: torch.Tensor, proposal_weights: torch.Tensor
) -> torch.Tensor:
    """Eq. 13, mean over R rays: weights [R, S] that exceed what a proposal's histogram [R, K] holds where they overlap.

    Only the proposal learns by it.
    """
    edges, weights = edges.detach(), weights.detach()
    bound = overlapping(edges, proposal_edges.detach(), proposal_weights)
    return ((weights - bound).clamp_min(0).square() / (weights + 1e-7)).sum(-1).mean()


def overlapping(edges: torch.Tensor, other_edges: torch.Tensor, other_weights: torch.Tensor) -> torch.Tensor:
    """[R, S] sum of the other histogram's weights [R, K] in all its intervals that overlap each of these."""
    cumulated = torch.cat([torch.zeros_like(other_weights[:, :1]), torch.cumsum(other_weights, -1)], 1)
    last = other_weights.shape[1]
    first = torch.searchsorted(other_edges.contiguous(), edges[:, :-1].contiguous(), right=True) - 1
    beyond = torch.searchsorted(other_edges.contiguous(), edges[:, 1:].contiguous(), right=False)
    return cumulated.gather(1, beyond.clamp(0, last)) - cumulated.gather(1, first.clamp(0, last))

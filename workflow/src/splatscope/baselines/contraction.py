"""Scene contraction: all of space in a cube of side 4 (Mip-NeRF 360, Barron et al. 2022, eq. 10; L-infinity norm as in
Nerfacto, so that the result fills a cube)."""

from __future__ import annotations

import torch


def contract(points: torch.Tensor) -> torch.Tensor:
    """Points [..., 3]: inside the cube of side 2 as they are, those outside between it and the cube of side 4."""
    norm = points.abs().amax(-1, keepdim=True).clamp_min(1)
    return points * ((2 - 1 / norm) / norm)


def uncontract(points: torch.Tensor) -> torch.Tensor:
    """The inverse of `contract` for points [..., 3] inside the cube of side 4."""
    norm = points.abs().amax(-1, keepdim=True).clamp_min(1)
    return points / (norm * (2 - norm))

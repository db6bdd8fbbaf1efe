"""The occupancy grid of Instant-NGP (Müller et al. 2022, appendix C): where in the box there is anything to see."""

from __future__ import annotations

from collections.abc import Callable

import torch

TURNS = 8  # updates in which every cell is looked at once


class OccupancyGrid(torch.nn.Module):
    """Remembered density of C^3 cells over the unit cube; those above a threshold are occupied.

    So are cells that were never looked at; those that no training camera sees never are.
    """

    def __init__(self, resolution: int, decay: float):
        super().__init__()
        self.resolution, self.decay = resolution, decay
        self.register_buffer("density", torch.full((resolution**3,), -1.0))  # -1: unknown
        self.register_buffer("occupied", torch.ones(resolution**3, dtype=torch.bool))
        self.register_buffer("seen", torch.ones(resolution**3, dtype=torch.bool))

    def cell_of(self, points: torch.Tensor) -> torch.Tensor:
        """int64 [...]: the cell that holds each point [..., 3] of the unit cube."""
        x, y, z = (points * self.resolution).long().clamp(0, self.resolution - 1).unbind(-1)
        return x + self.resolution * (y + self.resolution * z)

    def corners(self, cells: torch.Tensor) -> torch.Tensor:
        """[N, 3] lowest corner of cells [N], in cells."""
        side = self.resolution
        return torch.stack([cells % side, cells // side % side, cells // side**2], -1).float()

    def middles(self) -> torch.Tensor:
        """[C^3, 3] middles of all cells in the unit cube."""
        cells = torch.arange(self.resolution**3, device=self.density.device)
        return (self.corners(cells) + 0.5) / self.resolution

    def mark_seen(self, seen: torch.Tensor) -> None:
        """Leave out for ever the cells that no training camera sees; bool [C^3]."""
        self.seen.copy_(seen)
        self.occupied.copy_(seen)

    @torch.no_grad()
    def update(
        self,
        density: Callable[[torch.Tensor], torch.Tensor],
        number: int,
        threshold: float,
        generator: torch.Generator,
    ) -> None:
        """The update of this `number`: look at each TURNS-th seen cell, every one in its turn, at a random point, and
        remember what is more, the density [N] found at points [N, 3] or the decayed old one. `threshold`: density from
        which a cell is occupied; where the mean is lower it is the mean, so that thin beginnings are not lost."""
        cells = torch.nonzero(self.seen)[number % TURNS :: TURNS, 0]
        inside = torch.rand(len(cells), 3, generator=generator, device=cells.device)
        found = density((self.corners(cells) + inside) / self.resolution)
        self.density[cells] = torch.maximum(self.density[cells].clamp_min(0) * self.decay, found)
        known = self.density >= 0
        limit = min(threshold, float(self.density[known].mean()))
        self.occupied.copy_(self.seen & (~known | (self.density > limit)))

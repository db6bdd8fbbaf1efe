"""The small networks behind a hash grid."""

from __future__ import annotations

import itertools

import torch

from splatscope.baselines.hash_grid import HashGrid
from splatscope.config.baselines import HashGridConfig
from splatscope.splats.spherical_harmonics import basis

GEOMETRY_WIDTH = 16  # outputs of the density network: the log density, and what the colour network is told
DIRECTION_DEGREE = 3  # of the spherical harmonics of the viewing direction: 16 numbers
MAX_LOG_DENSITY = 12.0


class RadianceField(torch.nn.Module):
    """Density and colour at points of the unit cube (Müller et al. 2022, section 5.4): grid, density network of one
    hidden layer, colour network of two that also sees the direction, and the appearance of the image if there is one.
    """

    def __init__(self, grid: HashGridConfig, width: int, appearances: int = 0, appearance_width: int = 0):
        super().__init__()
        self.grid = HashGrid(grid)
        self.density_network = network(self.grid.width, width, 1, GEOMETRY_WIDTH)
        inputs = GEOMETRY_WIDTH + (DIRECTION_DEGREE + 1) ** 2 + appearance_width
        self.colour_network = network(inputs, width, 2, 3)
        self.appearance = torch.nn.Embedding(appearances, appearance_width) if appearance_width else None
        if self.appearance is not None:  # so that the mean is at first what each image has
            torch.nn.init.zeros_(self.appearance.weight)

    def forward(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Density [N] and what the colour depends on [N, 16], at points [N, 3]."""
        geometry = self.density_network(self.grid(points))
        return density_of(geometry[:, 0]), geometry

    def colour(self, geometry: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Colours [N, 3] in 0..1."""
        return torch.sigmoid(self.colour_network(torch.cat([geometry, conditions], 1)))

    def conditions(self, directions: torch.Tensor, views: torch.Tensor | None) -> torch.Tensor:
        """[R, C]: what the colours along rays with unit directions [R, 3] have in common. Rays of no training view
        have the mean appearance."""
        values = [basis(DIRECTION_DEGREE, directions)]
        if self.appearance is not None:
            mean = self.appearance.weight.mean(0).expand(len(directions), -1)
            values.append(mean if views is None else self.appearance(views))
        return torch.cat(values, 1)


class DensityField(torch.nn.Module):
    """Density alone: a proposal."""

    def __init__(self, grid: HashGridConfig, width: int):
        super().__init__()
        self.grid = HashGrid(grid)
        self.network = network(self.grid.width, width, 1, 1)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Density [N] at points [N, 3] of the unit cube."""
        return density_of(self.network(self.grid(points))[:, 0])


def network(inputs: int, width: int, hidden_layers: int, outputs: int) -> torch.nn.Sequential:
    """Fully connected layers without biases, ReLU between them; weights start as He et al. 2015 have them."""
    widths = [inputs, *[width] * hidden_layers, outputs]
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [torch.nn.Linear(before, after, bias=False), torch.nn.ReLU(inplace=True)]
        torch.nn.init.kaiming_uniform_(layers[-2].weight, nonlinearity="relu")
    return torch.nn.Sequential(*layers[:-1])


def density_of(raw: torch.Tensor) -> torch.Tensor:
    """Density from its logarithm."""
    return torch.exp(raw.clamp(max=MAX_LOG_DENSITY))

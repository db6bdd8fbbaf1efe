"""The multiresolution hash encoding of Müller et al. 2022 (Instant-NGP), four features a level.

Four features at eight levels instead of two at sixteen (the paper compares such settings) are half the look-ups, each
of one vector: on a CPU the faster choice at equal memory.
"""

from __future__ import annotations

import numpy as np
import torch
import warp as wp

from splatscope.baselines import hash_kernels
from splatscope.config.baselines import HashGridConfig

FEATURES = 4  # per level
START = 1e-4  # entries begin uniform within this of 0, as in the paper


class HashGrid(torch.nn.Module):
    """Features [N, levels * 4] at points [N, 3] in the unit cube; differentiable by the table, not by the points."""

    def __init__(self, config: HashGridConfig):
        super().__init__()
        wp.init()  # here and not on import: it says so on the terminal
        growth = (config.finest_resolution / config.base_resolution) ** (1 / max(config.levels - 1, 1))
        self.cells = [int(config.base_resolution * growth**level + 1e-6) for level in range(config.levels)]
        self.sizes = [min((cells + 1) ** 3, 2**config.log2_table_size) for cells in self.cells]
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self.table = torch.nn.Parameter(torch.empty(int(self.starts[-1]), FEATURES).uniform_(-START, START))
        self._layout = {}

    @property
    def width(self) -> int:
        """Number of features of a point."""
        return FEATURES * len(self.cells)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return _Lookup.apply(self.table, points.contiguous(), self)

    def layout(self, device: torch.device) -> list[wp.array]:
        """Cells, sizes and starts of the levels, for the kernels."""
        if device not in self._layout:
            place = wp.device_from_torch(device)
            columns = ((self.cells, wp.uint32), (self.sizes, wp.uint32), (self.starts[:-1], wp.int32))
            self._layout[device] = [wp.array(np.array(values), dtype=kind, device=place) for values, kind in columns]
        return self._layout[device]

    def launch(self, kernel, before: list, after: list, count: int) -> None:
        device = self.table.device
        stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None
        wp.launch(
            kernel,
            dim=(len(self.cells), count),
            inputs=[*before, *self.layout(device), *after],
            device=wp.device_from_torch(device),
            stream=stream,
        )


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, table: torch.Tensor, points: torch.Tensor, grid: HashGrid) -> torch.Tensor:
        ctx.grid, ctx.rows = grid, len(table)
        ctx.save_for_backward(points)
        features = points.new_empty(len(points), len(grid.cells), FEATURES)
        if len(points):
            arrays = [wp.from_torch(points.detach(), dtype=wp.vec3), wp.from_torch(table.detach(), dtype=wp.vec4)]
            grid.launch(hash_kernels.interpolate, arrays, [wp.from_torch(features, dtype=wp.vec4)], len(points))
        return features.view(len(points), grid.width)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (points,) = ctx.saved_tensors
        grid = ctx.grid
        table_gradient = points.new_zeros(ctx.rows, FEATURES)
        if len(points):
            given = gradient.contiguous().view(len(points), len(grid.cells), FEATURES)
            arrays = [wp.from_torch(points.detach(), dtype=wp.vec3), wp.from_torch(given, dtype=wp.vec4)]
            grid.launch(hash_kernels.scatter, arrays, [wp.from_torch(table_gradient, dtype=wp.vec4)], len(points))
        return table_gradient, None, None

"""Per-vertex arrays on one device that grow together when cuts make vertices."""

from __future__ import annotations

import numpy as np
import warp as wp


class VertexFields:
    """Named arrays with one value per vertex and room for more."""

    def __init__(self, count: int, device: str):
        self.count, self.device = count, device
        self._capacity = count + count // 8 + 512
        self._arrays: dict[str, wp.array] = {}

    def add(self, name: str, values: np.ndarray, dtype) -> None:
        """A field from values [count] or [count, 3]."""
        self._arrays[name] = self._allocate(values, dtype)

    def _allocate(self, values: np.ndarray, dtype) -> wp.array:
        room = np.zeros((self._capacity, *values.shape[1:]), values.dtype)
        room[: len(values)] = values
        return wp.array(room, dtype=dtype, device=self.device)

    def __getitem__(self, name: str) -> wp.array:
        """The device array, longer than `count`; another array after `inherit` had to make room."""
        return self._arrays[name]

    def read(self, name: str) -> np.ndarray:
        """A copy of the values of the vertices that exist."""
        return self._arrays[name].numpy()[: self.count].copy()

    def write(self, name: str, values: np.ndarray) -> None:
        whole = self._arrays[name].numpy()
        whole[: self.count] = values
        self._arrays[name].assign(whole)

    def inherit(self, parents: np.ndarray) -> bool:
        """Append vertices with the values of `parents` [N]. True when the arrays had to be allocated anew."""
        values = {name: self.read(name) for name in self._arrays}
        grown = self.count + len(parents) > self._capacity
        if grown:
            self._capacity = 2 * (self.count + len(parents))
        self.count += len(parents)
        for name, before in values.items():
            after = np.concatenate([before, before[parents]])
            if grown:
                self._arrays[name] = self._allocate(after, self._arrays[name].dtype)
            else:
                self.write(name, after)
        return grown

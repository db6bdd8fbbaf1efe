"""Texture tiles at every resolution down to a few texels, laid out so that neighbours lie together in memory."""

from __future__ import annotations

import numpy as np

BLOCK = 4  # texels: a level is stored in squares of this side, which the cache finds whichever way a surface runs
LEVELS = 6  # at most; the coarsest of a tile of 1024 texels has 32


def pyramid(texels: np.ndarray) -> np.ndarray:
    """float32 [N, C] of a tile [S, S, C] that repeats, S a power of two: its levels, each half as wide as the last.

    The texels of a level are the means of four of the level before.
    """
    size, channels = len(texels), texels.shape[2]
    sides = [size >> level for level in range(level_count(size))]
    result = np.empty((sum(side**2 for side in sides), channels), np.float32)
    levels = np.split(result, np.cumsum([side**2 for side in sides[:-1]]))
    for side, level in zip(sides, levels):
        count = side // BLOCK
        blocks = texels.reshape(count, BLOCK, count, BLOCK, channels).transpose(0, 2, 1, 3, 4)
        level.reshape(blocks.shape)[:] = blocks
        texels = (texels[::2, ::2] + texels[::2, 1::2] + texels[1::2, ::2] + texels[1::2, 1::2]) / 4
    return result


def level_count(size: int) -> int:
    """Number of levels that `pyramid` makes of a tile of `size` texels a side."""
    return min(LEVELS, int(np.log2(size // BLOCK)) + 1)

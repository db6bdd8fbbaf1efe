"""Texture tiles at every resolution down to a few texels, laid out so that neighbours lie together in memory."""

from __future__ import annotations

import numpy as np

BLOCK = 4  # texels: a level is stored in squares of this side, which the cache finds whichever way a surface runs
LEVELS = 6  # at most; the coarsest of a tile of 1024 texels has 32


def pyramid(texels: np.ndarray) -> np.ndarray:
    """float32 [N, C] of a tile [S, S, C] that repeats, S a power of two: its levels, each half as wide as the last.

    The texels of a level are the means of four of the level before.
    """
    levels = []
    while len(levels) < LEVELS and len(texels) >= BLOCK:
        side, channels = len(texels) // BLOCK, texels.shape[2]
        blocks = texels.reshape(side, BLOCK, side, BLOCK, channels).transpose(0, 2, 1, 3, 4)
        levels.append(blocks.reshape(-1, channels))
        texels = (texels[::2, ::2] + texels[::2, 1::2] + texels[1::2, ::2] + texels[1::2, 1::2]) / 4
    return np.concatenate(levels).astype(np.float32)


def level_count(size: int) -> int:
    """Number of levels that `pyramid` makes of a tile of `size` texels a side."""
    return min(LEVELS, int(np.log2(size // BLOCK)) + 1)

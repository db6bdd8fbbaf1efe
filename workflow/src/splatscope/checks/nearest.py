"""The nearest one of many vectors, in blocks of matrix products: 100,000 thumbnails take a minute and little memory."""

from __future__ import annotations

import numpy as np

BLOCK = 2048  # rows and columns of a matrix product


def nearest(rows: np.ndarray, others: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Of each of `rows` [N, D] the nearest of `others` [M, D], or without them the nearest of the rows before it.

    int64 [N] (-1: there is none) and float64 [N], squared Euclidean distance (infinite where there is none); of equally
    near ones the first. Exact for whole numbers whose squares add up to less than 2^24, such as 768 of 8 bits.
    """
    before = others is None
    others = rows if before else others
    index = np.full(len(rows), -1)
    distance = np.full(len(rows), np.inf)
    for top in range(0, len(rows), BLOCK):
        block = rows[top : top + BLOCK].astype(np.float32)
        # of |a|^2 - 2 a.b + |b|^2 the first part changes nothing in a row
        best = np.full(len(block), np.inf)
        for left in range(0, min(len(others), top + BLOCK) if before else len(others), BLOCK):
            other = others[left : left + BLOCK].astype(np.float32)
            part = np.square(other).sum(1, dtype=np.float64) - 2 * (block @ other.T)
            if before and left == top:
                part[np.triu_indices_from(part)] = np.inf
            column = part.argmin(1)
            value = part[np.arange(len(block)), column]
            nearer = value < best
            best[nearer], index[top : top + BLOCK][nearer] = value[nearer], left + column[nearer]
        distance[top : top + BLOCK] = best + np.square(block).sum(1, dtype=np.float64)
    return index, np.maximum(distance, 0)

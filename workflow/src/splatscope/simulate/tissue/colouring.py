"""Graph colouring: constraints of one colour share no vertex, so they can be solved at the same time."""

from __future__ import annotations

import numpy as np


def colour(elements: np.ndarray, vertex_count: int) -> np.ndarray:
    """Greedy colours int32 [N] of elements [N, K] of vertices: no two elements of one colour share a vertex."""
    taken = [0] * vertex_count  # per vertex, a bit for each colour in use
    colours = np.empty(len(elements), np.int32)
    for index, vertices in enumerate(elements.tolist()):
        used = 0
        for vertex in vertices:
            used |= taken[vertex]
        free = ~used & (used + 1)  # the lowest bit that is not set
        colours[index] = free.bit_length() - 1
        for vertex in vertices:
            taken[vertex] |= free
    return colours


def is_valid(elements: np.ndarray, colours: np.ndarray) -> bool:
    """Whether no two elements [N, K] of one colour [N] share a vertex."""
    keys = colours[:, None].astype(np.int64) * (int(elements.max(initial=0)) + 1) + elements
    return len(np.unique(keys)) == keys.size


def by_colour(colours: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The order that puts equal colours together, and each colour's (start, end) in it."""
    order = np.argsort(colours, kind="stable")
    ends = np.cumsum(np.bincount(colours)) if len(colours) else []
    return order, [(int(start), int(end)) for start, end in zip([0, *ends], ends)]

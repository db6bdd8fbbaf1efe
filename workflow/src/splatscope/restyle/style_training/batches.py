"""The order in which frames are shown: a function of the seed and the batch's number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class BatchOrder:
    """Batches of frames of one size each. In a round every frame comes once; the last batch of a size may be smaller.

    Args:
        sizes: of each frame, (width, height).
        batch_size: most frames in a batch.
        seed: of the order, which differs from round to round.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], batch_size: int, seed: int):
        if not sizes:
            raise ValueError("expected at least one frame, got none")
        self._batch_size, self._seed = batch_size, seed
        self._buckets = [
            np.array([index for index, size in enumerate(sizes) if size == bucket]) for bucket in sorted(set(sizes))
        ]
        self.batches_a_round = sum(-(-len(bucket) // batch_size) for bucket in self._buckets)
        self._round: tuple[int, list[list[int]]] = (-1, [])

    def __getitem__(self, number: int) -> list[int]:
        """Which frames the batch of this number, from 0, holds."""
        turn, position = divmod(number, self.batches_a_round)
        if self._round[0] != turn:
            self._round = turn, self._shuffle(turn)
        return self._round[1][position]

    def _shuffle(self, turn: int) -> list[list[int]]:
        rng = np.random.default_rng([self._seed, turn])
        batches = []
        for bucket in self._buckets:
            order = rng.permutation(bucket).tolist()
            batches += [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        return [batches[index] for index in rng.permutation(len(batches))]

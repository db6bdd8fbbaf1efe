"""Which images are worth matching with each other."""

from __future__ import annotations

import numpy as np

STRIDE = 3  # of the nearest views every third is taken: neighbours in time alone give no baseline
TURN_RADIANS = 0.5  # a turn this large counts as much as moving by the spread of all positions
SKETCH_FEATURES = 192  # features of an image that take part in the search by appearance


def all_pairs(count: int) -> np.ndarray:
    """Every pair [P, 2] of `count` images, the smaller index first."""
    return np.stack(np.triu_indices(count, 1), axis=1)


def pairs_by_pose(poses: np.ndarray, neighbours: int) -> np.ndarray:
    """Pairs [P, 2] of views close in position and orientation.

    `poses` [N, 4, 4] in one frame, of the cameras or of anything fixed to them, in any unit; NaN where unknown. Images
    without a pose are paired with the images around them in the list.
    """
    pairs = set()
    known = np.flatnonzero(np.isfinite(poses).all((1, 2)))
    if len(known) > 1:
        position, rotation = poses[known, :3, 3], poses[known, :3, :3]
        spread = np.sqrt(position.var(0).sum()) or 1.0
        trace = np.einsum("iab,jab->ij", rotation, rotation)
        turn = np.arccos(np.clip((trace - 1) / 2, -1, 1)) / TURN_RADIANS
        distance = np.linalg.norm(position[:, None] - position[None], axis=-1) / spread
        pairs |= _nearest(np.hypot(distance, turn), neighbours, known)
    unknown = np.setdiff1d(np.arange(len(poses)), known)
    reach = neighbours // 2
    for index in unknown:
        pairs |= {_ordered(index, other) for other in range(max(0, index - reach), min(len(poses), index + reach + 1))}
    return _sorted_pairs(pairs | _successive(len(poses)))


def pairs_by_appearance(descriptors: list[np.ndarray], neighbours: int) -> np.ndarray:
    """Pairs [P, 2] of images that share most features, and of images next to each other in the list.

    `descriptors`: one float32 [F, 128] array of unit vectors per image, the coarsest features first.
    """
    count = len(descriptors)
    sketches = [descriptor[:SKETCH_FEATURES] for descriptor in descriptors]
    shared = np.zeros((count, count))
    for i in range(count):
        if not len(sketches[i]):
            continue
        for j in range(i + 1, count):
            if len(sketches[j]):
                similarity = sketches[i] @ sketches[j].T
                forward, backward = similarity.argmax(1), similarity.argmax(0)
                mutual = backward[forward] == np.arange(len(forward))
                strong = similarity[np.arange(len(forward)), forward] > 0.85
                shared[i, j] = shared[j, i] = np.count_nonzero(mutual & strong)
    return _sorted_pairs(_nearest(-shared, neighbours, np.arange(count), stride=1) | _successive(count))


def _nearest(cost: np.ndarray, neighbours: int, names: np.ndarray, stride: int = STRIDE) -> set[tuple[int, int]]:
    cost = cost.copy()
    np.fill_diagonal(cost, np.inf)
    order = np.argsort(cost, axis=1, kind="stable")[:, :-1]
    chosen = order[:, : neighbours * stride : stride]
    return {_ordered(names[i], names[j]) for i, row in enumerate(chosen) for j in row}


def _successive(count: int) -> set[tuple[int, int]]:
    return {(i, i + step) for step in (1, 2) for i in range(count - step)}


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (int(min(i, j)), int(max(i, j)))


def _sorted_pairs(pairs: set[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted((i, j) for i, j in pairs if i != j), dtype=np.int64).reshape(-1, 2)

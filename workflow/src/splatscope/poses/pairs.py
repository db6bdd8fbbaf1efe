"""Which images are worth matching with each other."""

from __future__ import annotations

import numpy as np

STRIDE = 3  # of the nearest views every third is taken: neighbours in time alone give no baseline
TURN_RADIANS = 0.5  # a turn this large counts as much as moving by the spread of all positions
SKETCH_FEATURES = 192  # features of an image that take part in the search by appearance


def all_pairs(builds: np.ndarray) -> np.ndarray:
    """Every pair [P, 2] of images, the smaller index first, of which at least one builds the model (`builds` [N])."""
    return _useful(set(zip(*(index.tolist() for index in np.triu_indices(len(builds), 1)))), builds)


def pairs_by_pose(poses: np.ndarray, builds: np.ndarray, neighbours: int) -> np.ndarray:
    """Pairs [P, 2] of views close in position and orientation.

    `poses` [N, 4, 4] in one frame, of the cameras or of anything fixed to them, in any unit; NaN where unknown. Images
    without a pose are paired with the images around them in the list. `builds` bool [N]: images that build the model;
    the others, which are only placed in it, are paired with these alone.
    """
    known = np.isfinite(poses).all((1, 2))
    position, rotation = poses[:, :3, 3], poses[:, :3, :3]
    spread = np.sqrt(position[known].var(0).sum()) if known.any() else 1.0
    turn = np.arccos(np.clip((np.einsum("iab,jab->ij", rotation, rotation) - 1) / 2, -1, 1)) / TURN_RADIANS
    cost = np.hypot(np.linalg.norm(position[:, None] - position[None], axis=-1) / (spread or 1.0), turn)
    cost[~np.isfinite(cost)] = np.inf
    pairs = _nearest(cost, builds, neighbours, STRIDE) | _successive(builds)
    builders = np.flatnonzero(builds)
    for index in np.flatnonzero(~known):
        around = builders[np.argsort(np.abs(builders - index), kind="stable")[: neighbours + 1]]
        pairs |= {_ordered(index, other) for other in around}
    return _useful(pairs, builds)


def pairs_by_appearance(descriptors: list[np.ndarray], builds: np.ndarray, neighbours: int) -> np.ndarray:
    """Pairs [P, 2] of images that share most features, and of images next to each other in the list.

    `descriptors`: one float32 [F, 128] array of unit vectors per image, the coarsest features first. `builds` as in
    `pairs_by_pose`.
    """
    count = len(descriptors)
    sketches = [descriptor[:SKETCH_FEATURES] for descriptor in descriptors]
    cost = np.full((count, count), np.inf)
    for i, j in all_pairs(builds):
        if len(sketches[i]) and len(sketches[j]):
            similarity = sketches[i] @ sketches[j].T
            forward, backward = similarity.argmax(1), similarity.argmax(0)
            mutual = backward[forward] == np.arange(len(forward))
            strong = similarity[np.arange(len(forward)), forward] > 0.85
            cost[i, j] = cost[j, i] = -np.count_nonzero(mutual & strong)
    return _useful(_nearest(cost, builds, neighbours, 1) | _successive(builds), builds)


def _nearest(cost: np.ndarray, builds: np.ndarray, neighbours: int, stride: int) -> set[tuple[int, int]]:
    """Every `stride`-th of the nearest building images of each image."""
    cost = np.where(builds[None], cost, np.inf)
    np.fill_diagonal(cost, np.inf)
    pairs = set()
    for index, order in enumerate(np.argsort(cost, axis=1, kind="stable")):
        order = order[np.isfinite(cost[index, order])]
        pairs |= {_ordered(index, other) for other in order[: neighbours * stride : stride]}
    return pairs


def _successive(builds: np.ndarray) -> set[tuple[int, int]]:
    builders = np.flatnonzero(builds)
    return {_ordered(*pair) for step in (1, 2) for pair in zip(builders, builders[step:])}


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (int(min(i, j)), int(max(i, j)))


def _useful(pairs: set[tuple[int, int]], builds: np.ndarray) -> np.ndarray:
    useful = sorted((i, j) for i, j in pairs if i != j and (builds[i] or builds[j]))
    return np.array(useful, dtype=np.int64).reshape(-1, 2)

"""Frames for tests of shards."""

import numpy as np

from splatscope.shards import Frame


def some_frame(key: str) -> Frame:
    rng = np.random.default_rng(int(key))
    return Frame(
        key,
        rng.integers(0, 256, (6, 8, 3), np.uint8),
        {"frame": int(key)},
        class_map=rng.integers(0, 3, (6, 8), np.uint8),
        instance_map=rng.integers(0, 3, (6, 8), np.uint8),
        amodal_bits=rng.integers(0, 4, (6, 8)).astype(np.uint16),
        depth_mm=rng.uniform(0, 200, (6, 8)).astype(np.float32),
        alpha=rng.integers(0, 256, (6, 8), np.uint8),
        normals=rng.uniform(-1, 1, (6, 8, 3)).astype(np.float32),
        flow_forward=flow(rng),
        flow_backward=flow(rng),
        surface_points=np.dstack([rng.integers(0, 9, (6, 8)), rng.uniform(-600, 600, (6, 8, 3))]).astype(np.float32),
    )


def flow(rng) -> np.ndarray:
    return np.dstack([rng.uniform(-900, 900, (6, 8, 2)), rng.integers(0, 3, (6, 8))]).astype(np.float32)

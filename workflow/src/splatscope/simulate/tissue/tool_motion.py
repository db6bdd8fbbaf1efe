"""Where every instrument is at every substep: linear and spherical interpolation between two states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation, Slerp

from splatscope.geometry import apply, make_transform
from splatscope.simulate.tissue.tool_state import ToolState

MAX_CAPSULES = 31  # a face notes the capsules near it in the bits of an int32


class ToolMotion:
    """Capsules and poses of all tools at the ends of `steps` substeps, row 0 being the start; on a device.

    A tool that was not there before stands still at its new state. Raises ValueError for too many capsules.
    """

    def __init__(self, before: Mapping[str, ToolState], now: Mapping[str, ToolState], steps: int, device: str):
        self.names = list(now)
        self.steps = steps
        starts, ends, radii, owners, poses = [], [], [], [], []
        share = np.linspace(0, 1, steps + 1)
        for index, (name, state) in enumerate(now.items()):
            old = before.get(name, state)
            path = _poses_between(old.world_from_tool, state.world_from_tool, share)
            poses.append(path)
            capsules = np.asarray(state.capsules, float)
            earlier = np.asarray(old.capsules, float) if np.shape(old.capsules) == capsules.shape else capsules
            local = earlier + share[:, None, None] * (capsules - earlier)
            starts.append(apply(path, local[..., :3]))
            ends.append(apply(path, local[..., 3:6]))
            radii.append(capsules[:, 6])
            owners += [index] * len(capsules)
        self.capsule_tool = np.array(owners, np.int32)
        if len(owners) > MAX_CAPSULES:
            raise ValueError(f"expected at most {MAX_CAPSULES} capsules of all tools together, got {len(owners)}")
        radius = np.concatenate(radii) if radii else np.zeros(0)
        start, end = (np.concatenate(parts, 1) if parts else np.zeros((steps + 1, 0, 3)) for parts in (starts, ends))
        middle = steps // 2
        travel = [np.linalg.norm(rows - rows[middle], axis=-1).max(0, initial=0) for rows in (start, end)]

        def upload(values, dtype):
            return wp.array(np.ascontiguousarray(values, np.float32), dtype=dtype, device=device)

        self.starts, self.ends = (upload(rows.reshape(-1, 3), wp.vec3) for rows in (start, end))
        self.radii = upload(radius, float)
        self.reaches = upload(radius + np.maximum(*travel), float)
        self.poses = upload(_warp_transforms(poses, steps), wp.transform)
        self.middle = middle


def _poses_between(first: np.ndarray, last: np.ndarray, share: np.ndarray) -> np.ndarray:
    rotations = Slerp([0, 1], Rotation.from_matrix(np.stack([first[:3, :3], last[:3, :3]])))(share).as_matrix()
    return make_transform(rotations, first[:3, 3] + share[:, None] * (last[:3, 3] - first[:3, 3]))


def _warp_transforms(poses: list[np.ndarray], steps: int) -> np.ndarray:
    """float [(steps + 1) * tools, 7]: translation, quaternion x, y, z, w."""
    if not poses:
        return np.zeros((0, 7))
    stacked = np.stack(poses, 1).reshape(-1, 4, 4)
    quaternions = Rotation.from_matrix(stacked[:, :3, :3]).as_quat()
    return np.concatenate([stacked[:, :3, 3], quaternions], 1)

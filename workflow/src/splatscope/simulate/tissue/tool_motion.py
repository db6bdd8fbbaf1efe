"""Where every instrument is at every substep: linear and spherical interpolation between two states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import warp as wp

from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.tool_kernels import carry_capsules, interpolate_poses

MAX_CAPSULES = 31  # a face notes the capsules near it in the bits of an int32


class ToolMotion:
    """Poses [steps + 1, tools] and capsules' ends [steps + 1, C] of all tools before and after each of `steps`
    substeps, on a device.

    A tool that was not there before stands still at its new state. Raises ValueError for too many capsules.
    """

    def __init__(self, before: Mapping[str, ToolState], now: Mapping[str, ToolState], steps: int, device: str):
        self.names, self.steps = list(now), steps
        states = list(now.values())
        old = [before.get(name, state) for name, state in now.items()]
        capsules = [np.asarray(state.capsules, np.float32) for state in states]
        earlier = [np.asarray(state.capsules, np.float32) for state in old]
        earlier = [was if was.shape == new.shape else new for was, new in zip(earlier, capsules)]
        counts = [len(group) for group in capsules]
        self.capsule_tool = np.repeat(np.arange(len(states), dtype=np.int32), counts)
        if sum(counts) > MAX_CAPSULES:
            raise ValueError(f"expected at most {MAX_CAPSULES} capsules of all tools together, got {sum(counts)}")
        shape = steps + 1, sum(counts)
        self.poses = wp.empty((steps + 1, len(states)), dtype=wp.transform, device=device)
        self.starts, self.ends = (wp.empty(shape, dtype=wp.vec3, device=device) for _ in range(2))
        radii = np.concatenate([group[:, 6] for group in capsules]) if states else np.zeros(0)
        self.radii = upload(radii, float, device)
        if not states:
            return

        def matrices(tools):
            return upload(np.stack([state.world_from_tool for state in tools]), wp.mat44, device)

        wp.launch(
            interpolate_poses,
            dim=self.poses.shape,
            inputs=[matrices(old), matrices(states), steps],
            outputs=[self.poses],
            device=device,
        )

        def both_ends(groups):
            return upload(np.concatenate(groups)[:, :6].reshape(-1, 2, 3), wp.vec3, device)

        wp.launch(
            carry_capsules,
            dim=shape,
            inputs=[self.poses, upload(self.capsule_tool, wp.int32, device), both_ends(earlier), both_ends(capsules)],
            outputs=[self.starts, self.ends],
            device=device,
        )

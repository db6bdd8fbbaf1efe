"""Camera-pose refinement: a small rigid motion for each training view, learned beside the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from splatscope.splats.optimizer import Adam


class PoseRefinement:
    """Motions of the world before each of M cameras, as twists [M, 6]: rotation in radians, translation in extents.

    They turn about the place that the cameras look at, where a rotation and a shift of the image are different things.
    What all have in common is taken out again, and so is their common change of scale: the model could follow both.
    All this stays on the CPU, where so few numbers take less time than beginning to work on them elsewhere would.
    """

    def __init__(self, world_from_camera: Sequence[np.ndarray], extent: float):
        poses = np.stack(world_from_camera)  # [M, 4, 4]
        centre = (poses[:, :3, 3] + extent * poses[:, :3, 2]).mean(0)
        world_from_scene = np.diag([extent, extent, extent, 1.0])
        world_from_scene[:3, 3] = centre
        self.scene_from_world = torch.from_numpy(np.linalg.inv(world_from_scene))
        self.camera_from_scene = torch.from_numpy(np.linalg.inv(poses) @ world_from_scene)
        positions = torch.from_numpy((poses[:, :3, 3] - centre) / extent).float()
        self.spread = positions - positions.mean(0)
        self.optimizer = Adam({"twists": torch.zeros(len(poses), 6, requires_grad=True)})

    def camera_from_world(self, view: int) -> torch.Tensor:
        """float32 [1, 4, 4], differentiable."""
        motion = torch.linalg.matrix_exp(_generator(self.optimizer.values["twists"][view].double()))
        return (self.camera_from_scene[view] @ motion @ self.scene_from_world).float()[None]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.optimizer.step({"twists": rate})
        twists = self.optimizer.values["twists"]
        twists -= twists.mean(0)
        shifts = twists[:, 3:]
        shifts -= (shifts * self.spread).sum() / self.spread.square().sum().clamp_min(1e-12) * self.spread

    @torch.no_grad()
    def world_from_camera(self, view: int) -> np.ndarray:
        """float64 [4, 4]."""
        return np.linalg.inv(self.camera_from_world(view)[0].double().numpy())


def _generator(twist: torch.Tensor) -> torch.Tensor:
    """[4, 4] of a twist [6], whose matrix exponential is the rigid motion."""
    x, y, z, *shift = twist
    zero = torch.zeros_like(x)
    rows = [zero, -z, y, shift[0], z, zero, -x, shift[1], -y, x, zero, shift[2], zero, zero, zero, zero]
    return torch.stack(rows).view(4, 4)

"""Rays of cameras, and the pixels that a field learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from splatscope.geometry import Camera
from splatscope.images import to_uint8
from splatscope.splats.initialise import TrainingView


@dataclass(frozen=True)
class Rays:
    """R rays in world mm."""

    origins: torch.Tensor  # float32 [R, 3]
    directions: torch.Tensor  # [R, 3] unit
    ahead: torch.Tensor  # [R] cosine of the angle to the camera's optical axis: depth over distance
    views: torch.Tensor | None = None  # int64 [R]: whose appearance they have; None: the mean

    def __len__(self) -> int:
        return len(self.origins)

    def at(self, chosen: torch.Tensor | slice) -> Rays:
        """Some of the rays."""
        views = None if self.views is None else self.views[chosen]
        return Rays(self.origins[chosen], self.directions[chosen], self.ahead[chosen], views)

    def points(self, distance: torch.Tensor) -> torch.Tensor:
        """[R, S, 3] at distances [R, S]."""
        return self.origins[:, None] + distance[..., None] * self.directions[:, None]

    def moved(self, transform: np.ndarray) -> Rays:
        """The rays under a rigid transform [4, 4]; their angle to the optical axis stays."""
        matrix = torch.from_numpy(np.ascontiguousarray(transform)).to(self.origins)
        origins = self.origins @ matrix[:3, :3].T + matrix[:3, 3]
        return Rays(origins, self.directions @ matrix[:3, :3].T, self.ahead, self.views)


def camera_rays(camera: Camera, world_from_camera: np.ndarray, device: torch.device | str = "cpu") -> Rays:
    """A ray through the centre of each pixel, row by row, of a camera without distortion."""
    plane = torch.from_numpy(camera.pixel_rays().reshape(-1, 2)).float().to(device)
    poses = torch.from_numpy(world_from_camera).float().to(device)[None].expand(len(plane), 4, 4)
    return _rays(plane, poses, None)


def _rays(plane: torch.Tensor, poses: torch.Tensor, views: torch.Tensor | None) -> Rays:
    """Rays through points [R, 2] of the image plane at depth 1, of cameras at world_from_camera [R, 4, 4]."""
    ahead = (plane.square().sum(-1) + 1).rsqrt()
    local = torch.cat([plane, torch.ones_like(plane[:, :1])], 1) * ahead[:, None]
    directions = (poses[:, :3, :3] @ local[..., None])[..., 0]
    return Rays(poses[:, :3, 3].contiguous(), directions, ahead, views)


class PixelPool:
    """All usable pixels of the training views, to draw from."""

    def __init__(self, views: Sequence[TrainingView], device: torch.device):
        planes, colours, owners = [], [], []
        for number, view in enumerate(views):
            usable = np.ones(view.image.shape[:2], bool) if view.mask is None else view.mask
            image = view.image if view.image.dtype == np.uint8 else to_uint8(view.image)
            planes.append(view.camera.pixel_rays()[usable].astype(np.float32))
            colours.append(image[usable])
            owners.append(np.full(len(planes[-1]), number))
        self.planes, self.colours, self.owners = (
            torch.from_numpy(np.concatenate(parts)).to(device) for parts in (planes, colours, owners)
        )
        self.poses = torch.from_numpy(np.stack([view.world_from_camera for view in views])).float().to(device)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Rays, torch.Tensor]:
        """Random rays and the colours [R, 3] in 0..1 that they should show."""
        chosen = torch.randint(len(self.owners), (count,), generator=generator, device=self.owners.device)
        owners = self.owners[chosen]
        return _rays(self.planes[chosen], self.poses[owners], owners), self.colours[chosen].float() / 255


def box_interval(
    origins: torch.Tensor, directions: torch.Tensor, lowest: torch.Tensor, highest: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances [R] at which rays enter and leave a box (slab method); where they miss it, the end is not beyond the
    start. Entries behind the origin are negative."""
    safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    first, second = (lowest - origins) / safe, (highest - origins) / safe
    return torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)

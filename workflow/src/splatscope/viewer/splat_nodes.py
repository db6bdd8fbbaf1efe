"""Gaussians as the browser draws them: one colour each, whichever side it is seen from."""

from __future__ import annotations

import numpy as np
import torch
import viser

from splatscope.geometry import apply, invert, quaternion_to_matrix
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.reference import brightness
from splatscope.splats.spherical_harmonics import basis

LARGEST_MM = 200.0  # standard deviation; the page has its covariances in half precision


def add_splat(server: viser.ViserServer, name: str, gaussians: Gaussians, world_from_camera: np.ndarray) -> None:
    """Add a splat to the scene, coloured as cameras [C, 4, 4] in its own frame see it on average."""
    gaussians = gaussians.to("cpu")
    rotation = quaternion_to_matrix(gaussians.quaternions.double().numpy())
    scales = np.exp(gaussians.log_scales.double().numpy()).clip(max=LARGEST_MM)
    axes = rotation * scales[:, None, :]
    server.scene.add_gaussian_splats(
        name,
        gaussians.means.numpy(),
        axes @ axes.transpose(0, 2, 1),
        mean_colours(gaussians, world_from_camera),
        torch.sigmoid(gaussians.opacity_logits).numpy()[:, None],
    )


def mean_colours(gaussians: Gaussians, world_from_camera: np.ndarray) -> np.ndarray:
    """float32 [N, 3] in 0..1: the mean over cameras [C, 4, 4] of what each sees, lit by the light that it carries.

    Cameras behind which a Gaussian lies do not count for it; where all do, it has its colour without light.
    """
    means = gaussians.means.double()
    total, weight = torch.zeros(len(means), 3).double(), torch.zeros(len(means), 1).double()
    for camera in world_from_camera:
        in_camera = torch.from_numpy(apply(invert(camera), means.numpy()))
        colours = _colours(gaussians, torch.nn.functional.normalize(means - torch.from_numpy(camera[:3, 3])))
        if gaussians.light is not None:
            colours = colours * brightness(in_camera, gaussians.light.double())[:, None]
        before = in_camera[:, 2:] > 0
        total += torch.where(before, colours.clamp(0, 1), 0)
        weight += before
    alone = _colours(gaussians, torch.tensor([[0.0, 0.0, 1.0]]).double().expand(len(means), 3)).clamp(0, 1)
    return torch.where(weight > 0, total / weight.clamp(min=1), alone).float().numpy()


def _colours(gaussians: Gaussians, directions: torch.Tensor) -> torch.Tensor:
    values = basis(gaussians.sh_degree, directions)
    return (torch.einsum("nk,nkc->nc", values, gaussians.sh.double()) + 0.5).clamp(min=0)

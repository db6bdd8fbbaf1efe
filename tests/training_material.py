"""A small made-up scene to train on, and what the tests of training share."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from splatscope.config.splat import SplatConfig
from splatscope.geometry import Camera, invert, look_at
from splatscope.images import to_uint8
from splatscope.splats import native
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import PointCloud, TrainingView
from splatscope.splats.rasterizer import render

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, 60.0, 60.0, 31.0, 25.0)
QUICK = SplatConfig(
    iterations=250,
    max_gaussians=900,
    initial_gaussians=500,
    sh_degree=1,
    sh_interval=80,
    refine_every=40,
    evaluate_every=125,
    checkpoint_every=100,
    random_background=False,  # the scene has holes, before black
)

needs_native = pytest.mark.skipif(not native.available(), reason="the C++ rasterizer was not built")


def make_truth(scale: float = 1.0) -> Gaussians:
    """A bumpy, colourful patch, 40 mm wide, 60 mm before the cameras (times `scale`)."""
    rng = np.random.default_rng(0)
    count = 700
    means = rng.uniform(-1, 1, (count, 3)) * [26, 20, 0]
    means[:, 2] = 3 * np.sin(means[:, 0] / 6) * np.cos(means[:, 1] / 5)
    sh = np.zeros((count, 4, 3))
    sh[:, 0] = np.stack([np.sin(means[:, 0] / 3), np.cos(means[:, 1] / 4), np.sin(means[:, :2].sum(1) / 5)], -1)
    values = (
        means * scale,
        rng.normal(size=(count, 4)),
        np.full((count, 3), np.log(1.5 * scale)),
        np.full(count, 3.0),
        sh,
    )
    return Gaussians(*(torch.from_numpy(value.astype(np.float32)) for value in values))


def make_views(
    count: int = 16, scale: float = 1.0, light=None, swing: float = 6, spread: float = 1
) -> list[TrainingView]:
    truth, views = make_truth(scale), []
    if light is not None:
        truth = replace(truth, light=torch.tensor([light]).repeat(len(truth), 1))
    for index in range(count):
        angle = 2 * np.pi * index / count
        across, down = 14 * spread * np.cos(angle), 10 * spread * np.sin(angle)
        eye = np.array([across, down, -60 + swing * np.sin(2 * angle)]) * scale
        pose = look_at(eye, np.zeros(3), np.array([0, -1.0, 0]))
        drawn = render(
            truth,
            torch.from_numpy(invert(pose)).float()[None],
            torch.from_numpy(CAMERA.matrix).float()[None],
            WIDTH,
            HEIGHT,
        )
        views.append(TrainingView(to_uint8(drawn.color[0].numpy()), None, pose, CAMERA))
    return views


def make_points(scale: float = 1.0) -> PointCloud:
    truth = make_truth(scale)
    return PointCloud(truth.means.numpy().astype(np.float64), np.full((len(truth), 3), 0.5))


def assert_equal_models(first: Gaussians, second: Gaussians) -> None:
    for name in ("means", "quaternions", "log_scales", "opacity_logits", "sh"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name

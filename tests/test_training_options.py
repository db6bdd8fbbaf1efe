"""What training can learn or do besides: exposure, camera poses, coarse to fine, an early end, and going on exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from splatscope.config.splat import SplatConfig
from splatscope.geometry import Camera, invert, pose_difference, pose_from_quaternion
from splatscope.splats.exposure import Exposure
from splatscope.splats.initialise import TrainingView
from splatscope.splats.photographs import photograph, psnr
from splatscope.splats.pose_refinement import PoseRefinement
from splatscope.splats.rasterizer import render
from splatscope.splats.trainer import heldout_views, train_gaussians
from training_material import CAMERA, HEIGHT, QUICK, WIDTH, assert_equal_models, make_points, make_views

SHORT = QUICK.model_copy(update={"iterations": 120, "evaluate_every": 40, "checkpoint_every": 50, "refine_every": 20})


@pytest.fixture(scope="module")
def views():
    return make_views()


def training_psnr(views, result) -> float:
    """Mean over the training views, drawn from the poses that training ended with."""
    values = []
    for index in set(range(len(views))) - set(result.heldout):
        pose = torch.from_numpy(invert(result.world_from_camera[index])).float()[None]
        matrix = torch.from_numpy(CAMERA.matrix).float()[None]
        drawn = render(result.gaussians, pose, matrix, WIDTH, HEIGHT).color[0]
        values.append(psnr(drawn, photograph(views[index]).image))
    return float(np.mean(values))


# --- exposure


def test_exposure_takes_up_what_differs_between_images():
    views = [replace(view, image=(0.6 * view.image).astype(np.uint8)) for view in make_views()]
    held, gains = heldout_views(16, 8), np.exp(np.random.default_rng(0).normal(0, 0.3, (16, 3)))
    gains /= np.delete(gains, held, 0).mean(0)
    gains[held] = 1
    changed = [
        replace(view, image=np.clip(view.image * gain, 0, 255).astype(np.uint8)) for view, gain in zip(views, gains)
    ]
    config = QUICK.model_copy(update={"iterations": 400})
    without = train_gaussians(changed, make_points(), config, seed=1)
    config = config.model_copy(update={"exposure": True})
    with_maps = train_gaussians(changed, make_points(), config, seed=1)
    assert np.mean(with_maps.heldout_psnr) > np.mean(without.heldout_psnr) + 1


def test_the_mean_exposure_stays_the_identity():
    exposure, image = Exposure(5), torch.rand(4, 6, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(exposure.apply(image, 2), image)
    for step in range(10):
        exposure.apply(image, step % 3).sum().backward()
        exposure.step(1e-2)
    maps = exposure.optimizer.values["maps"].detach()
    torch.testing.assert_close(maps.mean(0), torch.eye(3, 4))
    assert (maps - torch.eye(3, 4)).abs().max() > 1e-2


# --- camera poses


def perturbed(views: list[TrainingView], angle: float, distance: float) -> list[TrainingView]:
    """Each training camera turned by `angle` (radians) and moved by `distance`, about (standard deviations)."""
    rng, held = np.random.default_rng(3), heldout_views(len(views), 8)
    moved = []
    for index, view in enumerate(views):
        half = rng.normal(0, angle / 2, 3)
        motion = pose_from_quaternion(np.array([1, *half]), rng.normal(0, distance, 3))
        moved.append(view if index in held else replace(view, world_from_camera=view.world_from_camera @ motion))
    return moved


def relative_errors(poses, truth) -> tuple[float, float]:
    """Mean distance and angle (degrees) by which motions between pairs of cameras are wrong."""
    relative = [np.stack([invert(a) @ b for a in given for b in given]) for given in (poses, truth)]
    distance, angle = pose_difference(*relative)
    return float(distance.mean()), float(angle.mean())


def test_pose_refinement_finds_the_cameras():
    views = make_views(spread=3)
    wrong = perturbed(views, 0.012, 0.7)
    config = QUICK.model_copy(update={"iterations": 500, "sh_degree": 0, "light": False})
    given = train_gaussians(wrong, make_points(), config, seed=1)
    refined = train_gaussians(wrong, make_points(), config.model_copy(update={"pose_refinement": True}), seed=1)
    trained = [index for index in range(len(views)) if index not in refined.heldout]
    before, after = (
        relative_errors([poses[index] for index in trained], [views[index].world_from_camera for index in trained])
        for poses in (given.world_from_camera, refined.world_from_camera)
    )
    assert after[0] < before[0] / 2 and after[1] < before[1] / 2
    assert training_psnr(wrong, refined) > training_psnr(wrong, given) + 5
    assert np.mean(refined.heldout_psnr) > np.mean(given.heldout_psnr) + 1
    for index in refined.heldout:
        assert refined.world_from_camera[index] is wrong[index].world_from_camera


def test_the_motions_of_all_cameras_together_are_taken_out(views):
    poses = [view.world_from_camera for view in views]
    refinement = PoseRefinement(poses, 60.0)
    for view in range(16):
        torch.testing.assert_close(
            refinement.camera_from_world(view)[0], torch.from_numpy(invert(poses[view])).float(), atol=1e-4, rtol=1e-5
        )
    twists = refinement.optimizer.values["twists"]
    twists.grad = torch.tensor([1.0, 2, 3, 4, 5, 6]).repeat(16, 1)
    twists.grad[:, 3:] += 10 * refinement.spread  # farther apart: a larger scene
    twists.grad += 1e-3 * torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        twists += 1e-2 * twists.grad
    refinement.step(1e-9)
    assert twists.abs().max() < 1e-4


# --- coarse to fine


def test_a_reduced_photograph_is_the_mean_of_what_it_covers():
    rng = np.random.default_rng(0)
    image, mask = rng.uniform(size=(11, 14, 3)).astype(np.float32), np.ones((11, 14), bool)
    mask[0, 5] = False
    camera = Camera(14, 11, 20.0, 22.0, 6.5, 5.0)
    full, half = (photograph(TrainingView(image, mask, np.eye(4), camera), level) for level in (0, 1))
    assert full.size == (14, 11) and half.size == (7, 6)
    torch.testing.assert_close(full.intrinsics[0], torch.from_numpy(camera.matrix).float())
    torch.testing.assert_close(
        half.intrinsics[0], torch.tensor([[10, 0, 3.25], [0, 22 * 6 / 11, 5 * 6 / 11], [0, 0, 1]])
    )
    assert not half.mask[0, 2] and half.mask.sum() == 41
    torch.testing.assert_close(half.image.mean(), torch.from_numpy(np.where(mask[..., None], image, 0)).mean())


@pytest.mark.parametrize("levels", [0, 3])
def test_every_number_of_resolutions_learns_the_scene(views, levels):
    result = train_gaussians(views, make_points(), QUICK.model_copy(update={"coarse_to_fine": levels}), seed=1)
    assert np.mean(result.heldout_psnr) > 27


# --- an early end


def test_training_ends_where_nothing_is_gained_any_more(views, tmp_path):
    config = SHORT.model_copy(update={"patience": 2, "min_gain": 3.0, "evaluate_every": 10, "iterations": 400})
    result = train_gaussians(views, make_points(), config, seed=1)
    values = [row["psnr_heldout"] for row in result.curve]
    ended = result.curve[-1]["iteration"]
    assert ended < 400 and max(values[-2:]) < max(values[:-2]) + 3
    stopped = train_gaussians(views, make_points(), config.model_copy(update={"patience": 0}), seed=1, stop_at=ended)
    assert_equal_models(result.gaussians, stopped.gaussians)
    checkpoint = tmp_path / "checkpoint.pt"
    train_gaussians(views, make_points(), config, seed=1, checkpoint=checkpoint, stop_at=ended - 5)
    again = train_gaussians(views, make_points(), config, seed=1, checkpoint=checkpoint)
    assert_equal_models(again.gaussians, result.gaussians)
    assert again.curve[-1]["iteration"] == ended


def test_without_held_out_views_training_does_not_end_early(views):
    config = SHORT.model_copy(update={"patience": 1, "evaluate_every": 10, "iterations": 60})
    assert train_gaussians(views[:4], make_points(), config, seed=1).curve[-1]["iteration"] == 60


# --- going on


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "default", "opacity_reset_every": 40},
        {"strategy": "mcmc"},
        {"exposure": True, "pose_refinement": True, "coarse_to_fine": 3},
    ],
    ids=["default", "mcmc", "exposure, poses, coarse to fine"],
)
def test_every_way_of_training_goes_on_with_the_same_bytes(views, tmp_path, options):
    config, checkpoint = SHORT.model_copy(update=options), tmp_path / "checkpoint.pt"
    whole = train_gaussians(views, make_points(), config, seed=1)
    torch.manual_seed(7)  # nothing may come from the global generator
    train_gaussians(views, make_points(), config, seed=1, checkpoint=checkpoint, stop_at=70)
    went_on = train_gaussians(views, make_points(), config, seed=1, checkpoint=checkpoint)
    assert_equal_models(went_on.gaussians, whole.gaussians)
    assert went_on.heldout_psnr == whole.heldout_psnr
    np.testing.assert_array_equal(went_on.world_from_camera, whole.world_from_camera)


# --- settings that do not fit together


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "default", "opacity_reset_every": 150}, "multiple of refine_every, got 150 and 100"),
        ({"strategy": "adaptive"}, "'budget', 'default' or 'mcmc'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SplatConfig(**settings)

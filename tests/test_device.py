"""Training and drawing on CUDA; what of that a machine without it can test, it tests on the CPU."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import gsplat_on_cpu
from splat_samples import CAMERA, box_points, gaussians_at, plane_splat
from splatscope.compose.scene_list import Placement, Scene, SceneHeader
from splatscope.config.render import RenderConfig
from splatscope.errors import InputError
from splatscope.geometry import look_at
from splatscope.render import render_frame
from splatscope.splats import cuda, device, exposure, losses, trainer
from splatscope.splats.device import choose_device
from splatscope.splats.fused_adam import FusedAdam
from splatscope.splats.losses import depth_variance, image_loss
from splatscope.splats.optimizer import Adam
from splatscope.splats.rasterizer import Render
from splatscope.splats.trainer import train_gaussians
from training_material import QUICK, assert_equal_models, make_points, make_views, needs_native

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")


# --- the choice


def test_cuda_is_taken_where_it_can_be_had(monkeypatch):
    for reason, expected in ((None, "cuda"), ("PyTorch finds no CUDA device", "cpu")):
        monkeypatch.setattr(device, "cuda_missing", lambda reason=reason: reason)
        assert choose_device("auto").type == expected
        assert choose_device("cpu").type == "cpu"


def test_cuda_that_cannot_be_had_is_refused(monkeypatch):
    monkeypatch.setattr(device, "cuda_missing", lambda: "PyTorch finds no CUDA device")
    with pytest.raises(InputError, match=r"cuda, but PyTorch finds no CUDA device(.|\n)*set device to auto or cpu"):
        choose_device("cuda")


def test_a_cuda_device_that_gsplat_cannot_use_is_told_of(monkeypatch):
    monkeypatch.setattr(device, "cuda_missing", lambda: "gsplat has no kernels")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.warns(UserWarning, match="there is a CUDA device, but gsplat has no kernels: using the CPU"):
        assert choose_device("auto").type == "cpu"


# --- the optimiser


def optimisers(count=50, coefficients=16):
    """Two that should do the same."""
    generator = torch.Generator().manual_seed(0)
    start = {"means": torch.randn(count, 3, generator=generator)}
    start["sh"] = torch.randn(count, coefficients, 3, generator=generator)
    start["sh"][:, 4:] = 0  # bands that were never active
    plain = Adam({name: value.clone().requires_grad_() for name, value in start.items()})
    return plain, FusedAdam({name: value.clone().requires_grad_() for name, value in start.items()}, "cpu"), generator


def step_both(plain, fused, generator, **options):
    gradients = {name: torch.randn(value.shape, generator=generator) for name, value in plain.whole().items()}
    gradients["sh"][:, 4:] = 0
    for optimizer in (plain, fused):
        sum((value * gradients[name]).sum() for name, value in optimizer.whole().items()).backward()
        optimizer.step({"means": 0.01, "sh": 0.02}, 0.003, 4, tail_decay=0.03, **options)


def assert_same(plain, fused):
    for part, ours in plain.state().items():
        theirs = fused.state()[part]
        if part == "steps":
            assert ours == theirs
            continue
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(theirs[name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("coefficients", [1, 16])
def test_fused_adam_does_what_adam_does(coefficients):
    plain, fused, generator = optimisers(coefficients=coefficients)
    for _ in range(4):
        step_both(plain, fused, generator)
    assert_same(plain, fused)
    assert all(value.grad is None and value.is_leaf for value in fused.values.values())


def test_fused_adam_steps_only_what_was_seen():
    plain, fused, generator = optimisers()
    seen = torch.arange(50) % 3 > 0
    before = fused.state()["values"]["sh"].clone()
    for _ in range(3):
        step_both(plain, fused, generator, seen=seen)
    assert_same(plain, fused)
    assert torch.equal(fused.state()["values"]["sh"][~seen], before[~seen])


def test_optimisers_take_over_each_others_state_and_growth():
    plain, fused, generator = optimisers()
    step_both(plain, fused, generator)
    states = plain.state(), fused.state()
    fresh = optimisers()
    fresh[0].restore(states[1])
    fresh[1].restore(states[0])
    assert_same(*fresh[:2])
    kept = torch.arange(50) % 2 > 0
    for optimizer in fresh[:2]:
        optimizer.keep_rows(kept)
        optimizer.append_rows({name: value.detach()[:7].clone() for name, value in optimizer.values.items()})
    for _ in range(2):
        step_both(*fresh[:2], generator)
    assert_same(*fresh[:2])
    assert fresh[1].whole()["sh"].shape == (32, 16, 3)


# --- the loss


@needs_native
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_on_cuda_is_that_of_the_cpu(monkeypatch, masked):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(40, 53, 3, generator=generator)
    image = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    mask = torch.rand(40, 53, generator=generator) > 0.3 if masked else None
    found = []
    for grouped in (False, True):
        if grouped:  # as tensors on CUDA take it
            monkeypatch.setattr(losses.native, "available", lambda: False)
            monkeypatch.setattr(losses, "_blurred", losses._blurred_as_channels)
        leaf = image.clone().requires_grad_()
        loss = image_loss(leaf, target, mask)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-8, rtol=1e-3)


@needs_cuda
def test_losses_on_the_device_are_those_of_the_cpu():
    generator = torch.Generator().manual_seed(0)
    image, target = (torch.rand(60, 70, 3, generator=generator) for _ in range(2))
    layers = torch.rand(3, 1, 60, 70, generator=generator)
    found = []
    for place in ("cpu", "cuda"):
        leaf = image.clone().to(place).requires_grad_()
        loss = image_loss(leaf, target.to(place))
        loss.backward()
        alpha, depth, squares = layers.to(place)
        variance = depth_variance(Render(None, alpha, 60 * depth, squares[..., None]), 60.0)
        found.append((loss.detach().cpu(), leaf.grad.cpu(), variance.cpu()))
    for cpu, cuda_ in zip(*found):
        torch.testing.assert_close(cuda_, cpu, atol=1e-6, rtol=1e-3)


# --- training

SHORT = QUICK.model_copy(update={"iterations": 24, "evaluate_every": 12, "checkpoint_every": 10, "refine_every": 8})


@pytest.fixture(scope="module")
def views():
    return make_views()


@pytest.fixture
def as_on_cuda(monkeypatch):
    """Training on the CPU by the code that trains on CUDA: gsplat, the fused optimiser, the loss of its own."""
    gsplat_on_cpu.install(monkeypatch)
    monkeypatch.setattr(cuda, "require", lambda gaussians: None)
    monkeypatch.setattr(trainer, "render", partial(trainer.render, backend="gsplat"))
    for module in (trainer, exposure):
        monkeypatch.setattr(module, "adam_on", lambda place, values: FusedAdam(values, place))
    monkeypatch.setattr(losses.native, "available", lambda: False)
    monkeypatch.setattr(losses, "_blurred", losses._blurred_as_channels)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # else gradients are added up in any order
    yield
    torch.set_num_threads(threads)


@needs_native
@pytest.mark.parametrize(
    "options",
    [{}, {"strategy": "default"}, {"strategy": "mcmc", "exposure": True, "pose_refinement": True, "sparse_adam": True}],
    ids=["budget", "default", "mcmc and all options"],
)
def test_training_by_gsplat_is_that_of_the_cpu(request, views, options):
    config = SHORT.model_copy(update=options)
    ours = train_gaussians(views, make_points(), config, seed=1)
    request.getfixturevalue("as_on_cuda")
    theirs = train_gaussians(views, make_points(), config, seed=1)
    assert len(theirs.gaussians) == pytest.approx(len(ours.gaussians), rel=0.05)
    assert np.mean(theirs.heldout_psnr) == pytest.approx(np.mean(ours.heldout_psnr), abs=0.2)
    assert [row["iteration"] for row in theirs.curve] == [12, 24]


def test_training_by_gsplat_goes_on_with_the_same_bytes(views, as_on_cuda, tmp_path):
    checkpoint, said = tmp_path / "checkpoint.pt", []
    whole = train_gaussians(views, make_points(), SHORT, seed=1)
    train_gaussians(views, make_points(), SHORT, seed=1, checkpoint=checkpoint, stop_at=14)
    went_on = train_gaussians(views, make_points(), SHORT, seed=1, checkpoint=checkpoint, report=said.append)
    assert "going on" in said[0]
    assert_equal_models(went_on.gaussians, whole.gaussians)


@needs_cuda
@pytest.mark.parametrize("strategy", ["budget", "default", "mcmc"])
def test_training_on_cuda_learns_the_scene(views, strategy, tmp_path):
    checkpoint, said = tmp_path / "checkpoint.pt", []
    config = QUICK.model_copy(update={"strategy": strategy, "exposure": True, "pose_refinement": True})
    expected = train_gaussians(views, make_points(), config, seed=1)
    # begun on one device, ended on the other
    train_gaussians(views, make_points(), config, seed=1, checkpoint=checkpoint, stop_at=130)
    result = train_gaussians(
        views, make_points(), config, seed=1, device="cuda", checkpoint=checkpoint, report=said.append
    )
    assert "going on" in said[0] and result.gaussians.device.type == "cuda"
    assert np.mean(result.heldout_psnr) == pytest.approx(np.mean(expected.heldout_psnr), abs=0.7)
    result = train_gaussians(views, make_points(), config, seed=1, device="cuda")
    assert np.mean(result.heldout_psnr) == pytest.approx(np.mean(expected.heldout_psnr), abs=0.7)


# --- the dataset

ABOVE = look_at(np.array([0.0, 0, 100]), np.zeros(3), np.array([0.0, 1, 0]))


@needs_cuda
def test_frames_drawn_on_cuda_are_those_of_the_cpu():
    rng = np.random.default_rng(5)
    bar = gaussians_at(box_points(rng, 900, [-30, -6, -1], [30, 6, 1]), 1.0, (0.8, 0.8, 0.9))
    site = plane_splat(np.random.default_rng(0), 900, 100, scale=6.0)
    bar, site = (replace(those, light=torch.tensor([[90.0, 1, 1]]).repeat(len(those), 1)) for those in (bar, site))
    header = SceneHeader("sampled", "exact", {"background": CAMERA}, {"bar": "needle driver"}, {"bar": np.eye(4)})
    pose = np.eye(4)
    pose[2, 3] = 20
    scene = Scene(0, 0, 11, ABOVE, (Placement("bar", 1, 14, pose),), "background")
    cpu, gpu = (
        render_frame(scene, header, site.to(place), {"bar": bar.to(place)}, RenderConfig()) for place in ("cpu", "cuda")
    )
    assert np.abs(cpu.rgb.astype(float) - gpu.rgb).mean() / 255 < 1e-4
    assert np.abs(cpu.depth_mm - gpu.depth_mm).mean() < 1e-2
    assert (cpu.instance_map != gpu.instance_map).mean() < 1e-3 and (cpu.amodal_bits != gpu.amodal_bits).mean() < 1e-3

"""Loss, optimiser, the trainer and the splat stage around it."""

import json
from dataclasses import replace

import av
import numpy as np
import pandas as pd
import plyfile
import pytest
import torch
import torchmetrics

from splatscope.errors import InputError
from splatscope.files import write_bytes, write_json, write_table
from splatscope.geometry import invert, pose_columns
from splatscope.images import decode_image, encode_png
from splatscope.shards import Frame, write_shard
from splatscope.splats import losses, native
from splatscope.splats.floaters import FreeSpace
from splatscope.splats.gaussians import Gaussians, read_ply, write_ply
from splatscope.splats.initialise import initial_gaussians, look_distance
from splatscope.splats.losses import depth_variance, image_loss
from splatscope.splats.optimizer import Adam
from splatscope.splats.rasterizer import Render, render
from splatscope.splats.stage import train_splat
from splatscope.splats.trainer import heldout_views, train_gaussians
from splatscope.splats.turntable import turntable_poses, write_turntable
from training_material import (
    CAMERA,
    HEIGHT,
    QUICK,
    WIDTH,
    assert_equal_models,
    make_points,
    make_truth,
    make_views,
    needs_native,
)


@pytest.fixture(scope="module")
def views():
    return make_views()


@pytest.fixture(scope="module")
def trained(views):
    return train_gaussians(views, make_points(), QUICK, seed=1)


def random_images(seed=0, height=40, width=53):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(height, width, 3, generator=generator)
    return (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


def test_ssim_agrees_with_torchmetrics():
    image, target = random_images()
    planar = [value.permute(2, 0, 1)[None] for value in (image, target)]
    _, full = torchmetrics.functional.structural_similarity_index_measure(
        *planar, data_range=1.0, return_full_image=True
    )
    expected = full[..., 5:-5, 5:-5].mean()  # torchmetrics also counts windows that hang over a reflected border
    torch.testing.assert_close(losses.ssim(image, target), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(1 - image_loss(image, target, ssim_weight=1.0), expected, atol=1e-5, rtol=0)


@needs_native
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [(40, 53), (11, 11), (17, 100)])
def test_native_loss_agrees_with_torch(masked, size):
    image, target = random_images(1, *size)
    mask = torch.rand(size, generator=torch.Generator().manual_seed(2)) > 0.3 if masked else None
    image.requires_grad_()
    exact = image.detach().double().requires_grad_()
    value = image_loss(image, target, mask, threads=2)
    expected = image_loss(exact, target.double(), mask)
    (3 * value).backward()
    (3 * expected).backward()
    torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-5)
    assert (image.grad - exact.grad).norm() < 1e-5 * exact.grad.norm()
    if masked:
        assert not image.grad[~mask].any()


def test_small_images_have_no_ssim():
    image, target = random_images(0, 8, 30)
    torch.testing.assert_close(image_loss(image, target), (image - target).abs().mean())


@pytest.mark.parametrize("built", [pytest.param(True, marks=needs_native), False])
def test_adam_leaves_out_what_was_not_seen(built, monkeypatch):
    monkeypatch.setattr(native, "available", lambda: built)
    seen = torch.tensor([True, False, True, True])
    steps = {}
    for name, mask in (("all", None), ("seen", seen)):
        start = torch.arange(12.0).view(4, 3).requires_grad_()
        optimizer = Adam({"means": start})
        for _ in range(3):
            start.grad = torch.full((4, 3), 0.5)
            optimizer.step({"means": 0.1}, seen=mask)
        steps[name] = start.detach()
    assert torch.equal(steps["seen"][seen], steps["all"][seen])
    assert torch.equal(steps["seen"][1], torch.tensor([3.0, 4, 5]))


@pytest.mark.parametrize("built", [pytest.param(True, marks=needs_native), False])
def test_adam_agrees_with_torch(built, monkeypatch):
    if not built:
        monkeypatch.setattr(native, "available", lambda: False)
    generator = torch.Generator().manual_seed(0)
    ours = {"means": torch.randn(50, 3, generator=generator), "sh": torch.randn(50, 16, 3, generator=generator)}
    theirs = [value.clone().requires_grad_() for value in (ours["means"], ours["sh"][:, :1], ours["sh"][:, 1:4])]
    expected = torch.optim.Adam([{"params": [p], "lr": lr} for p, lr in zip(theirs, (0.01, 0.02, 0.003))], eps=1e-15)
    untouched = ours["sh"][:, 4:].clone()
    optimizer = Adam(ours)
    for _ in range(4):
        ours["means"].grad = torch.randn(50, 3, generator=generator)
        ours["sh"].grad = torch.randn(50, 16, 3, generator=generator)
        theirs[0].grad = ours["means"].grad.clone()
        theirs[1].grad, theirs[2].grad = ours["sh"].grad[:, :1].clone(), ours["sh"].grad[:, 1:4].clone()
        expected.step()
        optimizer.step({"means": 0.01, "sh": 0.02}, 0.003, active_coefficients=4, threads=1)
    torch.testing.assert_close(ours["means"], theirs[0].detach(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(ours["sh"][:, :1], theirs[1].detach(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(ours["sh"][:, 1:4], theirs[2].detach(), atol=1e-6, rtol=1e-6)
    assert torch.equal(ours["sh"][:, 4:], untouched)


def test_training_learns_the_scene(trained):
    assert np.mean(trained.heldout_psnr) > 27
    assert 0.9 * QUICK.max_gaussians < len(trained.gaussians) <= QUICK.max_gaussians
    assert [row["iteration"] for row in trained.curve] == [125, 250]
    assert trained.curve[1]["psnr_heldout"] > trained.curve[0]["psnr_heldout"]


def test_the_light_at_the_camera_is_learned():
    lit = make_views(light=(60.0, 1.2, 0.0), swing=15)
    config = QUICK.model_copy(update={"iterations": 400, "light_falloff": 0.0, "light_cone": 0.0, "light_rate": 1e-2})
    with_light = train_gaussians(lit, make_points(), config, seed=1)
    without = train_gaussians(lit, make_points(), config.model_copy(update={"light": False}), seed=1)
    assert abs(with_light.light[0] - 1.2) < 0.25
    assert without.light is None and without.gaussians.light is None
    assert np.mean(with_light.heldout_psnr) > np.mean(without.heldout_psnr) + 1


def test_depth_variance_is_that_of_the_blended_layers():
    near, far, opacities = 40.0, 70.0, torch.tensor([0.5, 0.6])
    layers = Gaussians(
        torch.tensor([[0.0, 0, near], [0, 0, far]]),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1),
        torch.full((2, 3), 5.0),  # far wider than the image
        torch.logit(opacities),
        torch.zeros(2, 1, 3),
    )
    squares = (layers.means[:, 2:] / 50 - 1) ** 2
    drawn = render(
        layers, torch.eye(4)[None], torch.from_numpy(CAMERA.matrix).float()[None], WIDTH, HEIGHT, features=squares
    )
    weights = np.array([0.5, 0.5 * 0.6])
    mean = weights @ [near, far] / weights.sum()
    expected = weights @ (np.array([near, far]) - mean) ** 2 / 50**2
    assert float(depth_variance(drawn, 50.0)) == pytest.approx(expected, rel=0.02)


@needs_native
def test_native_depth_variance_agrees_with_plain_pytorch():
    rng = np.random.default_rng(0)
    alpha, depth, squares = (
        torch.from_numpy(rng.uniform(low, high, (1, 37, 41))) for low, high in ((0, 1), (0, 90), (0, 0.1))
    )
    alpha[0, 0, :5] = 0
    values, gradients = [], []
    for dtype in (torch.float32, torch.float64):  # native, PyTorch
        leaves = [value.to(dtype, copy=True).requires_grad_() for value in (alpha, depth, squares)]
        drawn = Render(None, leaves[0], leaves[1], leaves[2][..., None])
        loss = depth_variance(drawn, 60.0) * 3
        loss.backward()
        values.append(float(loss.detach()))
        gradients.append([leaf.grad for leaf in leaves])
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    for ours, reference in zip(*gradients):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-3, atol=1e-6)


def test_the_depth_regulariser_thins_surfaces(views):
    spread = []
    for weight in (0.0, 20.0):
        result = train_gaussians(views, make_points(), QUICK.model_copy(update={"depth_regulariser": weight}), seed=1)
        pose = torch.from_numpy(invert(views[0].world_from_camera)).float()
        depth = result.gaussians.means @ pose[2, :3] + pose[2, 3]
        squares = ((depth / result.extent - 1) ** 2)[:, None]
        intrinsics = torch.from_numpy(CAMERA.matrix).float()[None]
        drawn = render(result.gaussians, pose[None], intrinsics, WIDTH, HEIGHT, features=squares)
        spread.append(float(depth_variance(drawn, result.extent)))
    assert spread[1] < 0.5 * spread[0]


def test_training_starts_without_points(views):
    result = train_gaussians(views, None, QUICK, seed=1)
    assert np.mean(result.heldout_psnr) > 22
    assert 40 < result.extent < 80


@needs_native
def test_same_seed_gives_the_same_bytes_for_any_number_of_threads(views, trained):
    assert_equal_models(train_gaussians(views, make_points(), QUICK, seed=1, threads=2).gaussians, trained.gaussians)
    other = train_gaussians(views, make_points(), QUICK, seed=2)
    assert not torch.equal(other.gaussians.means, trained.gaussians.means)


def test_going_on_from_a_checkpoint_gives_the_same_bytes(views, trained, tmp_path):
    checkpoint, said = tmp_path / "checkpoint.pt", []
    train_gaussians(views, make_points(), QUICK, seed=1, checkpoint=checkpoint, stop_at=130)
    result = train_gaussians(views, make_points(), QUICK, seed=1, checkpoint=checkpoint, report=said.append)
    assert "going on" in said[0] and "iteration 100" in said[0]
    assert_equal_models(result.gaussians, trained.gaussians)
    assert [(row["iteration"], row["psnr_heldout"]) for row in result.curve] == [
        (row["iteration"], row["psnr_heldout"]) for row in trained.curve
    ]


@pytest.mark.parametrize("content", ["broken", "flipped", "other settings"])
def test_a_checkpoint_that_does_not_fit_is_left_aside(views, tmp_path, content):
    checkpoint, said = tmp_path / "checkpoint.pt", []
    short = QUICK.model_copy(update={"iterations": 20, "checkpoint_every": 10})
    if content == "broken":
        checkpoint.write_bytes(b"PK\x03\x04 not really")
    else:
        seed = 2 if content == "flipped" else 1
        train_gaussians(views, make_points(), short, seed=seed, checkpoint=checkpoint)
        stored = bytearray(checkpoint.read_bytes())
        stored[len(stored) // 2] ^= content == "flipped"
        checkpoint.write_bytes(stored)
    result = train_gaussians(views, make_points(), short, seed=2, checkpoint=checkpoint, report=said.append)
    assert "starting anew" in said[0]
    assert_equal_models(result.gaussians, train_gaussians(views, make_points(), short, seed=2).gaussians)


def test_masked_pixels_teach_nothing(views):
    short = QUICK.model_copy(update={"iterations": 60})
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[:, :20] = False
    spoiled = [replace(view, mask=mask, image=np.where(mask[..., None], view.image, 255)) for view in views]
    also = [replace(view, mask=mask, image=np.where(mask[..., None], view.image, 7)) for view in views]
    first, second = (train_gaussians(those, make_points(), short, seed=1) for those in (spoiled, also))
    assert_equal_models(first.gaussians, second.gaussians)
    assert first.heldout_psnr == second.heldout_psnr


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_unit_of_length_does_not_matter(trained, scale):
    result = train_gaussians(make_views(scale=scale), make_points(scale), QUICK, seed=1)
    assert abs(np.mean(result.heldout_psnr) - np.mean(trained.heldout_psnr)) < 0.7


def test_parallel_cameras_still_get_a_start(views):
    flat = [replace(view, world_from_camera=views[0].world_from_camera.copy()) for view in views]
    for index, view in enumerate(flat):
        view.world_from_camera[0, 3] += index
    extent = look_distance(flat, None)
    start = initial_gaussians(flat, None, extent, 100, 3, 0.1, np.random.default_rng(0))
    assert np.isfinite(extent) and extent > 0
    assert len(start) == 100 and torch.isfinite(start.means).all()


def test_free_space_is_before_the_cameras_and_where_none_looks(views):
    free = FreeSpace(views, make_points(), 0.7)
    probes = torch.tensor([[0.0, 0, 0], [0, 0, -40], [0, 0, -5], [0, 0, -300], [500, 0, 0]])
    assert free.floating(probes).tolist() == [False, True, False, True, True]
    assert FreeSpace(views, None, 0.7).floating(probes).tolist() == [False, False, False, True, True]


def test_heldout_views_are_every_nth():
    assert heldout_views(24, 8) == [4, 12, 20]
    assert heldout_views(3, 8) == []


# --- the stage


@pytest.fixture
def inputs(tmp_path, views):
    """Files of one recording as ingest and poses leave them."""
    folder = tmp_path / "ingest" / "background"
    keys = [f"{3 * index:06d}" for index in range(len(views))]
    frames = [Frame(key, view.image, {"frame": int(key)}) for key, view in zip(keys, views)]
    write_shard(folder / "frames.tar", frames)
    table = pd.DataFrame({"frame": [int(key) for key in keys], "valid": True})
    columns = pose_columns("world_from_camera", np.stack([view.world_from_camera for view in views]))
    write_table(tmp_path / "poses.parquet", table.assign(**columns))
    write_json(tmp_path / "camera.json", {"camera": CAMERA.to_dict()})
    write_bytes(folder / "valid.png", encode_png(np.full((HEIGHT, WIDTH), 255, np.uint8)))
    points = make_points()
    vertices = np.zeros(
        len(points.positions), [(name, "f4") for name in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    )
    for axis, name in enumerate("xyz"):
        vertices[name] = points.positions[:, axis]
    plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")]).write(str(tmp_path / "points.ply"))
    return tmp_path


def run_stage(folder, out="out", config=None, points=True):
    short = QUICK.model_copy(update={"iterations": 60, "max_width": 48})
    train_splat(
        [folder / "ingest" / "background" / "frames.tar"],
        [folder / "poses.parquet"],
        [folder / "camera.json"],
        [folder / "ingest" / "background" / "valid.png"],
        folder / "points.ply" if points else None,
        config or short,
        seed=3,
        model_path=folder / out / "model.ply",
        curve_path=folder / out / "curve.csv",
        summary_path=folder / out / "splat.json",
        heldout_path=folder / out / "heldout.png",
        turntable_path=folder / out / "turntable.mp4",
        checkpoint_path=folder / out / "checkpoint.pt",
    )


def test_stage_writes_model_curve_summary_and_picture(inputs):
    run_stage(inputs)
    out = inputs / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "curve.csv",
        "heldout.png",
        "model.ply",
        "splat.json",
        "turntable.mp4",
    ]
    model, summary = read_ply(out / "model.ply"), json.loads((out / "splat.json").read_text())
    assert len(model) == summary["gaussians"]
    assert summary["image_size"] == [48, 36] and summary["training_views"] == 14
    assert list(summary["heldout_views"]) == ["background/000012", "background/000036"]
    assert list(pd.read_csv(out / "curve.csv").columns) == ["iteration", "psnr_heldout", "count", "seconds"]
    assert decode_image((out / "heldout.png").read_bytes()).shape == (360, 480, 3)
    run_stage(inputs, "again")
    for name in ("model.ply", "turntable.mp4"):
        assert (inputs / "again" / name).read_bytes() == (out / name).read_bytes()


def test_the_turntable_goes_around_where_the_cameras_stood(views, tmp_path):
    stood = np.stack([view.world_from_camera for view in views])
    poses = turntable_poses(stood, 60.0, 8)
    np.testing.assert_allclose(poses[:, :3, 3].mean(0), stood[:, :3, 3].mean(0), atol=1e-9)
    np.testing.assert_allclose(poses[:, :2, 3].std(0), stood[:, :2, 3].std(0), rtol=0.1)
    focus = poses[:, :3, 3] + 60 * poses[:, :3, 2]
    assert np.ptp(focus, axis=0).max() < 3  # all look at one place
    write_turntable(tmp_path / "film.mp4", make_truth(), views, 60.0)
    with av.open(str(tmp_path / "film.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 96 and pictures[0].shape == (HEIGHT, WIDTH, 3) and np.std(pictures[48]) > 10


def test_stage_undistorts(inputs):
    distorted = replace(CAMERA, distortion=(-0.3, 0.0, 0.0, 0.0))
    write_json(inputs / "camera.json", {"camera": distorted.to_dict()})
    run_stage(inputs)
    summary = json.loads((inputs / "out" / "splat.json").read_text())
    assert np.isfinite(summary["heldout_psnr_mean"])


def test_stage_says_how_far_pose_refinement_moved_the_cameras(inputs):
    settings = {"iterations": 40, "max_width": 48, "pose_refinement": True, "patience": 1, "evaluate_every": 10}
    run_stage(inputs, config=QUICK.model_copy(update={**settings, "min_gain": 100.0}))
    summary = json.loads((inputs / "out" / "splat.json").read_text())
    moved = summary["cameras_moved"]
    assert 0 < moved["distance_mean"] < moved["distance_max"] < 10
    assert 0 < moved["angle_mean_deg"] < moved["angle_max_deg"] < 10
    assert summary["iterations"] == 20


def rewrite_table(folder, change):
    table = pd.read_parquet(folder / "poses.parquet")
    write_table(folder / "poses.parquet", change(table))


def test_stage_refuses_too_few_views(inputs):
    rewrite_table(inputs, lambda table: table.assign(valid=table.index < 7))
    with pytest.raises(InputError, match="7 frames with a valid pose"):
        run_stage(inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: write_json(f / "camera.json", {"camera": None}), "no camera"),
        (lambda f: write_json(f / "camera.json", {"camera": CAMERA.scaled(32, 24).to_dict()}), "expected: "),
        (lambda f: (f / "points.ply").write_text("no ply"), "points with x y z red green blue"),
        (lambda f: write_ply(f / "points.ply", make_truth()), "points with x y z red green blue"),
        (
            lambda f: write_bytes(f / "ingest/background/valid.png", encode_png(np.zeros((5, 5), np.uint8))),
            r"a mask \[5, 5\]",
        ),
        (lambda f: (f / "ingest/background/frames.tar").write_bytes(b"x" * 1000), "frame shard"),
    ],
)
def test_stage_refuses_what_does_not_fit(inputs, change, message):
    change(inputs)
    with pytest.raises(InputError, match=message):
        run_stage(inputs)
    assert not (inputs / "out").exists() or not any((inputs / "out").iterdir())

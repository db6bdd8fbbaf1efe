"""The rasterizer: C++ and gsplat against plain PyTorch in values and gradients, and all against what must hold."""

import gc
import weakref
from dataclasses import dataclass, replace

import gsplat
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import gsplat_on_cpu
from splatscope.geometry import invert, look_at, make_transform
from splatscope.splats import cuda, native
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.rasterizer import Render, render

WIDTH, HEIGHT = 70, 50  # no multiple of a tile
PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "sh", "light")

needs_native = pytest.mark.skipif(not native.available(), reason="the C++ rasterizer was not built")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")


@dataclass(frozen=True)
class Backend:
    name: str
    device: str


FAST = [
    pytest.param(Backend("native", "cpu"), marks=needs_native, id="native"),
    pytest.param(Backend("gsplat", "cuda"), marks=needs_cuda, id="gsplat"),
    pytest.param(Backend("gsplat", "cpu"), id="gsplat_on_cpu"),
]
REFERENCE = Backend("reference", "cpu")


@pytest.fixture(params=FAST)
def fast(request, monkeypatch) -> Backend:
    """A backend other than the reference."""
    return made_ready(request.param, monkeypatch)


@pytest.fixture(params=[pytest.param(REFERENCE, id="reference"), *FAST])
def backend(request, monkeypatch) -> Backend:
    return made_ready(request.param, monkeypatch)


def made_ready(backend: Backend, monkeypatch) -> Backend:
    if backend == Backend("gsplat", "cpu"):
        gsplat_on_cpu.install(monkeypatch)
        monkeypatch.setattr(cuda, "require", lambda gaussians: None)
    return backend


def draw(backend: Backend, gaussians: Gaussians, *camera, **options):
    """render, of tensors moved to the backend's device."""
    options = {name: value.to(backend.device) if torch.is_tensor(value) else value for name, value in options.items()}
    pose, intrinsics = (value.to(backend.device) for value in camera[:2])
    return render(gaussians.to(backend.device), pose, intrinsics, *camera[2:], backend=backend.name, **options)


def make_scene(count=300, seed=0, degree=3, size=(25, 20, 8), log_scale=0.6) -> Gaussians:
    rng = np.random.default_rng(seed)
    return Gaussians(
        *(
            torch.from_numpy(value.astype(np.float32))
            for value in (
                rng.uniform(-1, 1, (count, 3)) * size,
                rng.normal(size=(count, 4)),
                rng.normal(size=(count, 3)) * 0.6 + log_scale,
                rng.normal(size=count) * 2,
                rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.4,
            )
        ),
        light=torch.from_numpy(rng.uniform([50, 0, -1], [70, 2, 3], (count, 3)).astype(np.float32)),
    )


def make_camera(distance=60.0, offset=(4.0, -3.0)) -> tuple[torch.Tensor, torch.Tensor]:
    """camera_from_world [1, 4, 4] and intrinsics [1, 3, 3], principal point off the centre."""
    world_from_camera = look_at(np.array([*offset, -distance]), np.zeros(3), np.array([0.1, -1, 0]))
    intrinsics = torch.tensor([[65.0, 0, 33], [0, 70, 27], [0, 0, 1]])
    return torch.from_numpy(invert(world_from_camera)).float()[None], intrinsics[None]


def to_dtype(gaussians: Gaussians, dtype) -> Gaussians:
    return Gaussians(**{name: getattr(gaussians, name).to(dtype) for name in PARAMETERS})


def draw_with_gradients(gaussians, pose, intrinsics, backend: Backend, dtype, features=None, threads=1, outputs="all"):
    """The render and the gradients of a fixed random combination of its outputs, by every input."""
    leaves = {name: getattr(gaussians, name) for name in PARAMETERS}
    leaves |= {"camera_from_world": pose, "mean_offsets": torch.zeros(1, len(gaussians), 2)}
    if features is not None:
        leaves["features"] = features
    leaves = {name: leaf.to(backend.device, dtype, copy=True).requires_grad_() for name, leaf in leaves.items()}
    result = render(
        Gaussians(**{name: leaves[name] for name in PARAMETERS}),
        leaves["camera_from_world"],
        intrinsics.to(backend.device, dtype),
        WIDTH,
        HEIGHT,
        backend=backend.name,
        background=torch.tensor([0.2, 0.5, 0.9], dtype=dtype, device=backend.device),
        features=leaves.get("features"),
        mean_offsets=leaves["mean_offsets"],
        threads=threads,
    )
    rng = np.random.default_rng(5)
    loss = 0
    for name in ("color", "alpha", "depth", "features") if outputs == "all" else outputs:
        value = getattr(result, name)
        if value is not None:
            # depth jumps where alpha passes 0, so it counts only where something is drawn
            weight = torch.from_numpy(rng.normal(size=value.shape)).to(value)
            loss = loss + (value * weight * (result.alpha.detach() > 0.05 if name == "depth" else 1)).sum()
    loss.backward()
    result = Render(*(None if value is None else value.detach().cpu() for value in vars(result).values()))
    return result, {
        name: (torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).cpu() for name, leaf in leaves.items()
    }


def assert_agree(backend, gaussians, camera, features=None, outputs="all", gradient_tolerance=1e-3):
    expected, expected_gradients = draw_with_gradients(
        gaussians, *camera, REFERENCE, torch.float64, features, outputs=outputs
    )
    result, gradients = draw_with_gradients(gaussians, *camera, backend, torch.float32, features, outputs=outputs)
    for name in ("color", "alpha", "features"):
        if getattr(expected, name) is None:
            continue
        difference = (getattr(result, name).double() - getattr(expected, name)).abs()
        assert difference.mean() < 1e-5, name
        assert (difference < 1e-4).double().mean() > 0.999, name
    solid = expected.alpha > 0.05
    difference = ((result.depth - expected.depth).abs() / expected.depth.clamp_min(1))[solid]
    assert not solid.any() or difference.quantile(0.999) < 1e-4
    for name, value in expected_gradients.items():
        norm = value.norm()
        error = (gradients[name].double() - value).norm()
        assert error <= gradient_tolerance * norm + 1e-6, f"{name}: {error:.3g} of {norm:.3g}"


@pytest.mark.parametrize("seed", range(3))
def test_backends_agree_with_the_reference(fast, seed):
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(300, 3))).float()
    assert_agree(fast, make_scene(seed=seed), make_camera(offset=(seed * 5 - 5, 3)), features)


@pytest.mark.parametrize("outputs", [("color",), ("alpha",), ("depth",), ("color", "alpha", "depth")])
def test_backends_agree_for_parts_of_the_output(fast, outputs):
    assert_agree(fast, make_scene(), make_camera(), outputs=outputs)


@needs_native
@pytest.mark.parametrize("name", ["avx512", "avx2", "baseline"])
@pytest.mark.parametrize("channels", [0, 1, 2])
def test_every_instruction_set_agrees(name, channels):
    best = native.kernels()
    if not native.use_kernels(name):
        pytest.skip(f"this processor has no {name}")
    try:
        assert native.kernels() == name
        features = torch.ones(300, channels) if channels else None
        assert_agree(Backend("native", "cpu"), make_scene(), make_camera(), features)
    finally:
        native.use_kernels(best)


def changed(scene: Gaussians, **values) -> Gaussians:
    return Gaussians(**{name: values.get(name, getattr(scene, name)) for name in PARAMETERS})


def hard_scenes():
    scene, camera = make_scene(60), make_camera()
    far = torch.tensor([0.0, 0, 500])
    spread = torch.logspace(-2, 5, 60)[:, None]  # times nearer or farther, and as much smaller or larger
    # the camera sits at z = -60 and looks along z
    return {
        "all behind the camera": (changed(scene, means=scene.means - far), camera),
        "some behind the camera": (make_scene(60, size=(25, 20, 100)), camera),
        # a light of 1 / distance^2 would make colours of 1e7 there
        "around the near plane": (
            changed(make_scene(60, size=(0.3, 0.3, 0.02), log_scale=-3), light=torch.tensor([[50.0, 0, 1]] * 60)),
            make_camera(0.0, (0.01, 0.02)),
        ),
        "over seven decades of depth": (
            changed(
                scene,
                means=(scene.means + torch.tensor([0, 0, 60.0])) * spread - torch.tensor([0, 0, 60.0]),
                log_scales=scene.log_scales + spread.log(),
                light=torch.tensor([[50.0, 0, 1]] * 60),
            ),
            make_camera(offset=(0.0, 0.0)),
        ),
        "huge": (changed(scene, log_scales=scene.log_scales + 4), camera),
        "tiny": (changed(scene, log_scales=scene.log_scales - 6), camera),
        "needles": (changed(scene, log_scales=scene.log_scales + torch.tensor([2.0, -6, -6])), camera),
        "discs": (changed(scene, log_scales=scene.log_scales + torch.tensor([1.0, 1, -12])), camera),
        "off the screen": (changed(scene, means=scene.means + torch.tensor([500.0, 0, 0])), camera),
        "half off the screen": (changed(scene, means=scene.means + torch.tensor([30.0, 22, 0])), camera),
        "invisible": (changed(scene, opacity_logits=torch.full((60,), -40.0)), camera),
        "opaque": (changed(scene, opacity_logits=torch.full((60,), 20.0)), camera),
        "one": (scene.select(torch.arange(60) == 3), camera),
        "none": (scene.select(torch.zeros(60, dtype=torch.bool)), camera),
        "unnormalised quaternions": (changed(scene, quaternions=scene.quaternions * 100), camera),
        "degree 0": (make_scene(60, degree=0), camera),
    }


@pytest.mark.parametrize("name", hard_scenes())
def test_backends_agree_on_hard_scenes(fast, name):
    # the depth of a lone Gaussian is constant: its gradients cancel to nothing but rounding
    outputs = ("color", "alpha") if name == "one" else "all"
    # gsplat projects in plain float32: more pixels fall on the other side of a threshold
    assert_agree(
        fast, *hard_scenes()[name], outputs=outputs, gradient_tolerance=3e-3 if fast.name == "gsplat" else 1e-3
    )


def test_reference_gradients_agree_with_finite_differences():
    gaussians, (pose, intrinsics) = make_scene(12, seed=3), make_camera()
    features = torch.from_numpy(np.random.default_rng(2).normal(size=(12, 2)))
    leaves = [getattr(gaussians, name).double().requires_grad_() for name in PARAMETERS]
    weight = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 24, 32, 7)))

    def loss(means, quaternions, log_scales, opacity_logits, sh, light, features, pose):
        result = render(
            Gaussians(means, quaternions, log_scales, opacity_logits, sh, light=light),
            pose,
            intrinsics.double() / torch.tensor([[2.0], [2.0], [1.0]], dtype=torch.float64),
            32,
            24,
            backend="reference",
            features=features,
        )
        parts = [result.color, result.alpha[..., None], (result.depth * result.alpha)[..., None], result.features]
        return (torch.cat(parts, -1) * weight).sum()

    inputs = (*leaves, features.requires_grad_(), pose.double().requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=2e-3, rtol=1e-3, fast_mode=True)


@needs_native
def test_any_number_of_threads_gives_equal_bytes():
    scene, camera = make_scene(3000, log_scale=-0.3), make_camera()
    features = torch.ones(3000, 2)
    how = (Backend("native", "cpu"), torch.float32, features)
    first, first_gradients = draw_with_gradients(scene, *camera, *how, threads=1)
    for threads in (2, 3):
        again, gradients = draw_with_gradients(scene, *camera, *how, threads=threads)
        for name in ("color", "alpha", "depth", "features"):
            assert torch.equal(getattr(first, name), getattr(again, name)), name
        for name, value in first_gradients.items():
            assert torch.equal(value, gradients[name]), name


@pytest.mark.parametrize("seed", range(4))
def test_turning_the_splat_with_the_camera_gives_the_original_image(backend, seed):
    rng = np.random.default_rng(seed)
    gaussians, (pose, intrinsics) = make_scene(400, seed=seed), make_camera()
    transform = make_transform(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3) * 80)
    turned_pose = torch.from_numpy(pose[0].double().numpy() @ invert(transform)).float()[None]
    original = draw(backend, gaussians, pose, intrinsics, WIDTH, HEIGHT)
    turned = draw(backend, gaussians.transformed(transform), turned_pose, intrinsics, WIDTH, HEIGHT)
    assert original.alpha.mean() > 0.3
    assert (turned.color - original.color).abs().mean() < 1e-5
    assert (turned.alpha - original.alpha).abs().mean() < 1e-5
    wrong = draw(backend, gaussians.paper_transformed(transform), turned_pose, intrinsics, WIDTH, HEIGHT)
    assert (wrong.color - original.color).abs().mean() > 1e-2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [*PARAMETERS, "features", "camera_from_world", "intrinsics"])
def test_numbers_that_are_none_are_refused(backend, name, bad):
    gaussians, (pose, intrinsics) = make_scene(10), make_camera()
    features = torch.zeros(10, 1)
    target = {"features": features, "camera_from_world": pose, "intrinsics": intrinsics}.get(name)
    (getattr(gaussians, name) if target is None else target).view(-1)[-1] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        draw(backend, gaussians, pose, intrinsics, WIDTH, HEIGHT, features=features)


def test_an_empty_scene_shows_the_background(backend):
    gaussians, (pose, intrinsics) = make_scene(0), make_camera()
    background = torch.tensor([0.1, 0.2, 0.3])
    result = draw(
        backend, gaussians, pose, intrinsics, WIDTH, HEIGHT, background=background, features=torch.zeros(0, 2)
    )
    assert torch.equal(result.color.cpu(), background.expand(1, HEIGHT, WIDTH, 3))
    assert not result.alpha.any() and not result.depth.any() and result.features.shape == (1, HEIGHT, WIDTH, 2)


def test_several_cameras_are_drawn_as_one_by_one(backend):
    gaussians = make_scene(100)
    cameras = [make_camera(offset=(x, 0)) for x in (-8.0, 0.0, 8.0)]
    poses, intrinsics = (torch.cat(values) for values in zip(*cameras))
    together = draw(backend, gaussians, poses, intrinsics, WIDTH, HEIGHT, contributors=True)
    # gsplat takes them all at once, and products of many matrices round otherwise than that of one
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if backend.name == "gsplat" else {"rtol": 0, "atol": 0}
    for index, (pose, matrix) in enumerate(cameras):
        alone = draw(backend, gaussians, pose, matrix, WIDTH, HEIGHT, contributors=True)
        torch.testing.assert_close(together.color[index], alone.color[0], **tolerance)
        torch.testing.assert_close(together.depth[index], alone.depth[0], **tolerance)
        assert (together.contributor[index] == alone.contributor[0]).double().mean() > 0.999


def test_depth_and_features_of_one_gaussian_are_its_own():
    gaussians = Gaussians(
        torch.tensor([[0.0, 0, 40]]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), 2.0),
        torch.tensor([5.0]),
        torch.zeros(1, 1, 3),
    )
    _, intrinsics = make_camera()
    result = render(gaussians, torch.eye(4)[None], intrinsics, WIDTH, HEIGHT, features=torch.tensor([[3.0]]))
    seen = result.alpha > 0
    assert seen.any() and not seen.all()
    torch.testing.assert_close(result.depth[seen], torch.full((int(seen.sum()),), 40.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(result.features[..., 0], 3 * result.alpha)
    assert result.depth[~seen].eq(0).all()


def test_light_at_the_camera_falls_with_distance_and_angle(backend):
    """Two equal Gaussians, one twice as far, one off the axis: brightness as the light's definition says."""
    light = torch.tensor([[40.0, 2.0, 3.0]]).repeat(3, 1)
    gaussians = Gaussians(
        torch.tensor([[0.0, 0, 40], [0, 0, 80], [15, 0, 60]]),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(3, 1),
        torch.full((3, 3), 0.5),
        torch.full((3,), 5.0),
        torch.full((3, 1, 3), 0.5),
    )
    _, intrinsics = make_camera()
    for index, factor in enumerate([1, 0.25, (40 / 3825**0.5) ** 2 * (60 / 3825**0.5) ** 3]):
        alone = gaussians.select([index])
        unlit, lit = (
            draw(backend, those, torch.eye(4)[None], intrinsics, WIDTH, HEIGHT)
            for those in (alone, replace(alone, light=light[:1]))
        )
        torch.testing.assert_close(lit.color, unlit.color * factor, rtol=1e-4, atol=1e-6)


def test_background_and_its_gradients_agree(fast):
    gaussians, (pose, intrinsics) = make_scene(60), make_camera()
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(1, HEIGHT, WIDTH, 3))).float()
    found = []
    for backend in (fast, REFERENCE):
        background = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
        means = gaussians.means.clone().requires_grad_()
        drawn = draw(backend, replace(gaussians, means=means), pose, intrinsics, WIDTH, HEIGHT, background=background)
        (drawn.color.cpu() * weight).sum().backward()
        found.append((drawn.color.detach().cpu(), background.grad, means.grad))
    for ours, reference in zip(*found):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-4)


def test_wrong_shapes_are_named():
    gaussians, (pose, intrinsics) = make_scene(10), make_camera()
    with pytest.raises(ValueError, match=r"expected features \[10, E\], got \[9, 2\]"):
        render(gaussians, pose, intrinsics, WIDTH, HEIGHT, features=torch.zeros(9, 2))
    with pytest.raises(ValueError, match=r"expected intrinsics \[1, 3, 3\], got \[2, 3, 3\]"):
        render(gaussians, pose, intrinsics.repeat(2, 1, 1), WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="expected backend to be one of"):
        render(gaussians, pose, intrinsics, WIDTH, HEIGHT, backend="vulkan")


def test_without_the_extension_the_reference_draws_and_says_so(monkeypatch):
    monkeypatch.setattr(native, "available", lambda: False)
    gaussians, (pose, intrinsics) = make_scene(10), make_camera()
    with pytest.warns(UserWarning, match="not built"):
        result = render(gaussians, pose, intrinsics, WIDTH, HEIGHT)
    assert torch.equal(result.color, render(gaussians, pose, intrinsics, WIDTH, HEIGHT, backend="reference").color)


def test_contributors_are_the_gaussians_with_the_largest_weights(fast):
    scene, camera = make_scene(), make_camera()
    expected = draw(REFERENCE, scene, *camera, WIDTH, HEIGHT, contributors=True)
    found = draw(fast, scene, *camera, WIDTH, HEIGHT, contributors=True)
    assert expected.contributor.dtype == found.contributor.dtype == torch.int32
    assert found.contributor.shape == (1, HEIGHT, WIDTH)
    assert (found.contributor.cpu() == expected.contributor).double().mean() > 0.999
    assert (found.contributor[found.alpha == 0] == -1).all() and (expected.contributor[expected.alpha == 0] == -1).all()
    # the weight of a Gaussian is what it gives to a channel that is 1 for it and 0 for all others
    for number in expected.contributor.unique()[1:4]:
        one = (torch.arange(len(scene)) == number).float()[:, None]
        weights = draw(fast, scene, *camera, WIDTH, HEIGHT, features=one).features[..., 0]
        assert (weights[found.contributor == number] > 0).all()


def test_absgrad_sums_the_magnitudes_of_the_pixels_pulls(backend):
    scene, (pose, intrinsics) = make_scene(40, size=(6, 4, 4)), make_camera()
    width, height = 12, 9
    intrinsics = intrinsics * torch.tensor([[12 / 70], [9 / 50], [1]])
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=(1, height, width, 3))).float()
    offsets = torch.zeros(1, len(scene), 2, requires_grad=True)
    drawn = draw(REFERENCE, scene, pose, intrinsics, width, height, mean_offsets=offsets)
    by_pixel = (drawn.color * weights).sum(-1).flatten()
    expected = sum(torch.autograd.grad(value, offsets, retain_graph=True)[0].abs() for value in by_pixel)
    absgrad = torch.zeros(1, len(scene), 2, device=backend.device)
    drawn = draw(backend, scene, pose, intrinsics, width, height, mean_offsets=offsets, absgrad=absgrad)
    (drawn.color.cpu() * weights).sum().backward()
    assert (absgrad.cpu() - expected).norm() < 1e-3 * expected.norm()
    assert (absgrad.cpu() >= offsets.grad.abs() - 1e-5).all()


def test_gsplat_refuses_what_it_cannot_draw():
    gaussians, (pose, intrinsics) = make_scene(10), make_camera()
    with pytest.raises(ValueError, match=r"gsplat backend expects float32 on CUDA, got .* on cpu"):
        render(gaussians, pose, intrinsics, WIDTH, HEIGHT, backend="gsplat")


def test_the_magnitudes_are_let_go_of(monkeypatch):
    """What a drawing held is free again after its backward pass, without the garbage collector."""
    made_ready(Backend("gsplat", "cpu"), monkeypatch)
    held, rasterize = [], gsplat.rasterize_to_pixels

    def watched(centres, *arguments, **options):
        held.append(weakref.ref(centres))
        return rasterize(centres, *arguments, **options)

    monkeypatch.setattr(gsplat, "rasterize_to_pixels", watched)
    gaussians, camera = make_scene(10), make_camera()
    offsets, absgrad = torch.zeros(1, 10, 2, requires_grad=True), torch.zeros(1, 10, 2)
    drawn = render(gaussians, *camera, WIDTH, HEIGHT, backend="gsplat", mean_offsets=offsets, absgrad=absgrad)
    gc.disable()
    try:
        drawn.color.sum().backward()
        del drawn
        assert absgrad.any() and held[0]() is None
    finally:
        gc.enable()

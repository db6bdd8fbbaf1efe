"""baselines: hash grid, contraction, losses, occupancy and quadrature against slow or exact ones; fields that learn."""

import math

import numpy as np
import pytest
import torch

from splatscope.baselines.composing import ToolField, compose_fields, tool_region
from splatscope.baselines.contraction import contract, uncontract
from splatscope.baselines.field_files import read_field, write_field
from splatscope.baselines.hash_grid import FEATURES, HashGrid
from splatscope.baselines.losses import distortion_loss, interlevel_loss, overlapping
from splatscope.baselines.occupancy import OccupancyGrid
from splatscope.baselines.rays import Rays, box_interval, camera_rays
from splatscope.baselines.sampling import even_edges, resample, spaced, unspaced
from splatscope.baselines.training import train_radiance_field
from splatscope.baselines.volume import Samples, merge, render_samples, weights_of
from splatscope.compose.scene_list import Placement, Scene
from splatscope.config.baselines import BaselinesConfig, HashGridConfig
from splatscope.config.load import check_config
from splatscope.errors import InputError
from splatscope.geometry import Camera, apply, invert, look_at, make_transform
from splatscope.images import to_uint8
from splatscope.splats.initialise import PointCloud, TrainingView

torch.set_num_threads(1)
GRID = HashGridConfig(levels=3, log2_table_size=9, base_resolution=4, finest_resolution=40)


def numbers(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def slow_lookup(grid: HashGrid, points: torch.Tensor) -> torch.Tensor:
    """The paper's eqs. 2 to 4, point by point in whole numbers, differentiable by the table."""
    rows = []
    for point in points.tolist():
        features = []
        for cells, size, start in zip(grid.cells, grid.sizes, grid.starts.tolist()):
            base = [min(math.floor(value * cells), cells - 1) for value in point]
            share = [np.float32(value) * np.float32(cells) - low for value, low in zip(point, base)]
            total = torch.zeros(FEATURES)
            for corner in np.ndindex(2, 2, 2):
                x, y, z = (low + step for low, step in zip(base, corner))
                weight = math.prod(part if step else 1 - part for part, step in zip(share, corner))
                if (cells + 1) ** 3 <= size:
                    row = x + (cells + 1) * (y + (cells + 1) * z)
                else:
                    row = (x ^ (y * 2654435761) % 2**32 ^ (z * 805459861) % 2**32) % size
                total = total + float(weight) * grid.table[start + row]
            features.append(total)
        rows.append(torch.cat(features))
    return torch.stack(rows)


def test_hash_grid_is_the_papers():
    grid = HashGrid(GRID)
    assert grid.cells == [4, 12, 40] and grid.sizes == [125, 512, 512]  # the first level has a row for each vertex
    with torch.no_grad():
        grid.table.copy_(numbers(len(grid.table), FEATURES) - 0.5)
    points = torch.cat([numbers(40, 3, seed=1), torch.tensor([[0.0, 0, 0], [1, 1, 1], [0.25, 1, 0.5]])])
    factors = numbers(len(points), grid.width, seed=2)
    expected, found = slow_lookup(grid, points), grid(points)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad((values * factors).sum(), grid.table)[0] for values in (expected, found)]
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)
    assert grid(points[:0]).shape == (0, grid.width)


def test_contraction_and_back():
    points = (numbers(500, 3) - 0.5) * torch.logspace(-1, 3, 500)[:, None]
    contracted = contract(points)
    near = points.abs().amax(1) <= 1
    assert near.any() and (~near).any()
    assert torch.equal(contracted[near], points[near])
    outside = contracted[~near].abs().amax(1)
    assert (outside > 1).all() and (outside < 2).all()
    torch.testing.assert_close(outside, 2 - 1 / points[~near].abs().amax(1))
    torch.testing.assert_close(uncontract(contracted), points, rtol=2e-3, atol=1e-5)


def test_spacing_and_back():
    distance = torch.logspace(-2, 2, 100)
    place = spaced(distance)
    assert (place.diff() > 0).all() and place.max() < 1
    torch.testing.assert_close(unspaced(place), distance, rtol=1e-3, atol=1e-6)


def test_distortion_loss_is_the_double_sum():
    edges = torch.sort(numbers(5, 9), 1).values
    weights = (numbers(5, 8, seed=1) / 8).requires_grad_()
    middles, lengths = (edges[:, 1:] + edges[:, :-1]) / 2, edges.diff(dim=1)
    pairs = weights[:, :, None] * weights[:, None] * (middles[:, :, None] - middles[:, None]).abs()
    expected = (pairs.sum((1, 2)) + (weights**2 * lengths).sum(1) / 3).mean()
    found = distortion_loss(weights, edges)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, weights)[0] for loss in (found, expected)))


def test_interlevel_loss_is_the_sum_over_overlaps():
    edges, other = torch.sort(numbers(6, 9), 1).values, torch.sort(numbers(6, 6, seed=1), 1).values
    weights, other_weights = numbers(6, 8, seed=2) / 4, (numbers(6, 5, seed=3) / 5).requires_grad_()
    bound = torch.zeros(6, 8)
    for ray, own, theirs in np.ndindex(6, 8, 5):
        if edges[ray, own] < other[ray, theirs + 1] and other[ray, theirs] < edges[ray, own + 1]:
            bound[ray, own] += other_weights[ray, theirs]
    torch.testing.assert_close(overlapping(edges, other, other_weights), bound, atol=1e-6, rtol=1e-5)
    expected = ((weights - bound).clamp_min(0) ** 2 / (weights + 1e-7)).sum(1).mean()
    found = interlevel_loss(edges, weights, other, other_weights)
    torch.testing.assert_close(found, expected)
    assert found > 0 and torch.autograd.grad(found, other_weights)[0].abs().sum() > 0
    assert interlevel_loss(edges, weights, edges, weights) < 1e-9  # a proposal that says the same costs nothing


def test_resampling_follows_the_histogram():
    edges = torch.tensor([[0.0, 0.1, 0.5, 0.6, 1.0]])
    weights = torch.tensor([[0.0, 0.2, 0.8, 0.0]])
    new = resample(edges, weights, 1000, None)
    assert new.shape == (1, 1001) and (new.diff() >= 0).all() and new[0, 0] == 0 and new[0, -1] == 1
    found = torch.histogram((new[0, 1:] + new[0, :-1]) / 2, edges[0]).hist / 1000
    padded = (weights[0] + 0.01) / (weights + 0.01).sum()
    torch.testing.assert_close(found, padded, atol=3e-3, rtol=0)
    jittered = resample(edges, weights, 1000, torch.Generator().manual_seed(0))
    assert not torch.equal(jittered, new) and (jittered.diff() >= 0).all()
    jittered = even_edges(3, 8, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert (jittered.diff() > 0).all() and (jittered[:, 0] == 0).all() and (jittered[:, -1] == 1).all()


# --- quadrature


def slab(density: float, start: float, end: float, count: int, colour=(1.0, 0.5, 0.25)) -> Samples:
    edges = torch.linspace(start, end, count + 1)[None]
    return Samples(
        edges[:, :-1], edges[:, 1:], torch.full((1, count), density), torch.tensor(colour).expand(1, count, 3)
    )


def test_a_slab_is_as_dark_as_beer_and_lambert_say():
    drawn = render_samples(slab(0.3, 2, 7, 400))
    alpha = 1 - math.exp(-0.3 * 5)
    assert drawn.alpha.item() == pytest.approx(alpha, abs=1e-5)
    assert drawn.colour[0].tolist() == pytest.approx([alpha, alpha / 2, alpha / 4], abs=1e-5)
    mean_depth = 2 + (1 / 0.3 - 5 * math.exp(-1.5) / alpha)  # of an exponential distribution cut off at 5
    assert drawn.distance.item() == pytest.approx(mean_depth, abs=1e-3)


def test_weights_sum_to_at_most_one():
    weights = weights_of(numbers(100, 32) * 50, numbers(100, 32, seed=1))
    assert (weights >= 0).all() and (weights.sum(1) <= 1 + 1e-6).all() and weights.sum(1).max() > 0.99


def test_two_media_in_one_place_add_up():
    first, second = slab(0.2, 1, 5, 400, (1, 0, 0)), slab(0.6, 3, 6, 300, (0, 1, 0))
    joined, owner = merge([first, second])
    assert (joined.middles.diff() >= 0).all()
    drawn = render_samples(joined)
    before = math.exp(-0.2 * 2)  # what gets to where both are
    both = before * (1 - math.exp(-0.8 * 2))
    behind = before * math.exp(-0.8 * 2) * (1 - math.exp(-0.6))
    expected = [1 - before + both * 0.25, both * 0.75 + behind, 0]
    assert drawn.colour[0].tolist() == pytest.approx(expected, abs=2e-3)
    assert drawn.weights[owner == 1].sum().item() == pytest.approx(expected[1], abs=2e-3)
    assert drawn.alpha.item() == pytest.approx(1 - math.exp(-0.2 * 4 - 0.6 * 3), abs=1e-5)


def test_rays_go_through_pixel_centres():
    camera = Camera(8, 6, 7.0, 7.5, 3.7, 3.1)
    pose = look_at(np.array([3.0, -2, 5]), np.array([0.0, 1, 30]), np.array([0, -1.0, 0]))
    rays = camera_rays(camera, pose)
    points = rays.points(torch.full((len(rays), 1), 20.0))[:, 0].double().numpy()
    in_camera = points @ invert(pose)[:3, :3].T + invert(pose)[:3, 3]
    across, down = np.meshgrid(np.arange(8) + 0.5, np.arange(6) + 0.5)
    assert camera.project(in_camera) == pytest.approx(np.stack([across, down], -1).reshape(-1, 2), abs=1e-4)
    assert in_camera[:, 2] == pytest.approx(20 * rays.ahead.numpy(), rel=1e-5)
    moved = rays.moved(invert(pose))
    assert moved.points(torch.full((len(rays), 1), 20.0))[:, 0].numpy() == pytest.approx(in_camera, abs=1e-4)


def test_box_interval():
    origins = torch.tensor([[0.0, 0, -5], [0, 0, 0], [3, 0, -5], [0, 0, 5]])
    directions = torch.tensor([[0.0, 0, 1]]).expand(4, 3)
    enter, leave = box_interval(origins, directions, torch.tensor([-1.0, -1, -1]), torch.tensor([1.0, 1, 2]))
    assert enter[:2].tolist() == [4, -1] and leave[:2].tolist() == [7, 2]
    assert leave[2] < enter[2] and leave[3] < 0


# --- occupancy


def test_occupancy_finds_the_ball():
    grid, generator = OccupancyGrid(16, 0.5), torch.Generator().manual_seed(0)
    middles = grid.middles()
    assert torch.equal(grid.cell_of(middles), torch.arange(16**3))
    seen = middles[:, 0] > 0.2
    grid.mark_seen(seen)

    def density(points):
        return 10.0 * ((points - 0.5).norm(dim=1) < 0.3)

    assert torch.equal(grid.occupied, seen)  # nothing is known yet
    for number in range(40):
        grid.update(density, number, 1.0, generator)
    distance = (middles - 0.5).norm(dim=1)
    assert grid.occupied[seen & (distance < 0.25)].all()
    assert not grid.occupied[distance > 0.36].any() and not grid.occupied[~seen].any()
    for number in range(80):  # what goes away is forgotten, what comes is found
        grid.update(lambda points: 10.0 * (points[:, 1] > 0.875), number, 1.0, generator)
    assert torch.equal(grid.occupied, seen & (middles[:, 1] > 0.875))


def test_moved_rays_keep_their_appearance():
    rays = Rays(torch.zeros(2, 3), torch.tensor([[0.0, 0, 1], [0, 1, 0]]), torch.ones(2), torch.tensor([4, 7]))
    assert rays.moved(np.eye(4)).views.tolist() == [4, 7] and rays.at(slice(1, 2)).views.tolist() == [7]


# --- whole fields


def ball_views(count=12, size=28) -> list[TrainingView]:
    """Views of a coloured ball of radius 10 before a white wall, drawn exactly."""
    camera = Camera(size, size, size * 1.2, size * 1.2, size / 2, size / 2)
    views = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        eye = np.array([18 * np.cos(angle), 14 * np.sin(angle), -40])
        pose = look_at(eye, np.zeros(3), np.array([0, -1.0, 0]))
        rays = camera_rays(camera, pose)
        origins, directions = rays.origins.double().numpy(), rays.directions.double().numpy()
        middle = -(origins * directions).sum(1)
        inside = 100 - ((origins + middle[:, None] * directions) ** 2).sum(1)
        distance = np.where(
            inside > 0, middle - np.sqrt(np.maximum(inside, 0)), (15 - origins[:, 2]) / directions[:, 2]
        )
        points = origins + distance[:, None] * directions
        colour = np.where((inside > 0)[:, None], 0.5 + points / 25, 0.9 - 0.2 * np.abs(points / 40))
        views.append(TrainingView(to_uint8(colour).reshape(size, size, 3), None, pose, camera))
    return views


def ball_points() -> PointCloud:
    rng = np.random.default_rng(0)
    on_ball = rng.normal(size=(300, 3))
    on_ball *= 10 / np.linalg.norm(on_ball, axis=1, keepdims=True)
    on_wall = np.column_stack([rng.uniform(-25, 25, (300, 2)), np.full(300, 15.0)])
    points = np.vstack([on_ball, on_wall])
    return PointCloud(points, np.full(points.shape, 0.5))


SMALL_GRID = {"levels": 5, "log2_table_size": 12, "base_resolution": 8, "finest_resolution": 64}
SMALL = BaselinesConfig.model_validate(
    {
        "ngp": {
            **{"iterations": 150, "grid": SMALL_GRID, "hidden_width": 16, "samples_per_step": 4096},
            **{"step_share": 0.03, "occupancy_resolution": 16, "occupancy_every": 4},
        },
        "nerfacto": {
            **{"iterations": 200, "grid": SMALL_GRID, "hidden_width": 16, "rays_per_step": 192, "samples": 12},
            **{"proposals": [SMALL_GRID], "proposal_samples": [32]},
        },
    }
)


@pytest.fixture(scope="module", params=["ngp", "nerfacto"])
def trained(request):
    result = train_radiance_field(request.param, ball_views(), ball_points(), SMALL, 0, 4)
    return request.param, result


def test_a_field_learns_a_ball(trained):
    kind, result = trained
    assert result.heldout == [2, 6, 10] and np.mean(result.heldout_psnr) > 25, (kind, result.heldout_psnr)
    assert result.curve[-1]["iteration"] == getattr(SMALL, kind).iterations and result.seconds > 0


def test_depth_is_that_of_the_ball(trained):
    view = ball_views()[2]
    rays = camera_rays(view.camera, view.world_from_camera)
    drawn = render_samples(trained[1].field.samples(rays))
    middle = -(rays.origins * rays.directions).sum(1)
    on_ball = 100 - rays.points(middle[:, None])[:, 0].square().sum(1)
    well_inside = on_ball > 40
    truth = middle - on_ball.clamp_min(0).sqrt()
    assert (drawn.distance - truth)[well_inside].abs().median() < 1.5
    assert drawn.alpha[well_inside].min() > 0.95 and drawn.alpha.max() <= 1 + 1e-5


def test_same_seed_same_bytes_and_files_hold_a_field(trained, tmp_path):
    kind, _ = trained
    few = SMALL.model_copy(update={kind: getattr(SMALL, kind).model_copy(update={"iterations": 12})})
    for name, seed in (("first", 1), ("second", 1), ("third", 2)):
        result = train_radiance_field(kind, ball_views(4, 16), ball_points(), few, seed, 4)
        write_field(tmp_path / name, kind, result.field, few, 3)
    first, second, third = ((tmp_path / name).read_bytes() for name in ("first", "second", "third"))
    assert first == second != third
    view = ball_views(4, 16)[0]
    rays = camera_rays(view.camera, view.world_from_camera)
    colours = [render_samples(field.samples(rays)).colour for field in (result.field, read_field(tmp_path / "third"))]
    assert torch.equal(*colours)
    (tmp_path / "third").write_bytes(third[: len(third) // 2])
    for name in ("third", "missing"):
        with pytest.raises(InputError, match="train_baseline"):
            read_field(tmp_path / name)


# --- composing


class Drawn(torch.nn.Module):
    """A field that is known exactly: a dense red ball of radius 10 round the origin, and a white wall at z > 15."""

    def __init__(self, ball: bool, wall: bool):
        super().__init__()
        self.ball, self.wall = ball, wall
        self.somewhere = torch.nn.Parameter(torch.zeros(1))

    def samples(self, rays, limits=None):
        near, far = limits or (torch.full_like(rays.ahead, 1.0), torch.full_like(rays.ahead, 100.0))
        edges = near[:, None] + (far - near).clamp_min(0)[:, None] * torch.linspace(0, 1, 201)
        points = rays.points((edges[:, 1:] + edges[:, :-1]) / 2)
        on_ball, on_wall = points.norm(dim=-1) < 10, points[..., 2] > 15
        density = 5.0 * (on_ball & self.ball | on_wall & self.wall)
        colour = torch.where(on_ball[..., None], torch.tensor([1.0, 0, 0]), torch.ones(3))
        return Samples(edges[:, :-1], edges[:, 1:], density, colour)


def ball_in_a_scene(shift, site):
    """The ball as a tool whose sensor has moved by `shift` and turned by 90 degrees about the ball's middle."""
    camera = Camera(40, 40, 60.0, 60.0, 20, 20)
    here = look_at(np.array([0, 0, -40.0]), np.zeros(3), np.array([0, -1.0, 0]))
    region = tool_region(ball_points().positions[:300], {"normal": [0, 0, -1.0], "offset_mm": -12.0}, 0.0)  # z < 12
    recorded = make_transform(np.eye(3), np.array([3.0, 4, 5]))
    motion = make_transform(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array(shift))
    scene = Scene(0, 0, 0, here, (Placement("ball", 1, 1, motion @ recorded),), "scene")
    tools = {"ball": ToolField(Drawn(ball=True, wall=True), region, recorded)}
    image, alone = compose_fields(scene, camera, site, tools)
    return camera, here, image, alone[0]


def test_a_tool_moves_with_its_sensor_and_stays_in_its_region():
    shift = np.array([5.0, -3, 0])
    camera, here, image, alone = ball_in_a_scene(shift, Drawn(ball=False, wall=False))
    np.testing.assert_allclose(image.weights[..., 0], image.alpha, atol=1e-5)  # there is nothing else: no wall
    np.testing.assert_allclose(alone, image.alpha, atol=1e-5)
    rows, columns = np.nonzero(alone > 0.5)
    middle = camera.project(apply(invert(here), shift[None]))[0]
    assert [columns.mean() + 0.5, rows.mean() + 0.5] == pytest.approx(middle, abs=0.7)  # an oblique cone
    radius = 10 / math.sqrt(40**2 - 10**2) * 60  # of the tangent cone, at depth 1
    assert len(rows) == pytest.approx(math.pi * radius**2, rel=0.06)
    nearest = image.depth[round(middle[1]), round(middle[0])]
    assert nearest == pytest.approx(30, abs=0.6)


def test_tissue_hides_a_tool_behind_it():
    before, hidden = np.array([0, 0, -5.0]), np.array([0, 0, 30.0])
    for shift, share in ((before, 1), (hidden, 0)):
        _, _, image, alone = ball_in_a_scene(shift, Drawn(ball=False, wall=True))
        assert image.alpha.min() > 0.99 and alone[20, 20] > 0.99
        assert image.weights[20, 20, 0] == pytest.approx(share, abs=1e-3)
        assert image.color[20, 20].tolist() == pytest.approx([1, 1 - share, 1 - share], abs=1e-2)
        assert image.color[0, 0].tolist() == pytest.approx([1, 1, 1], abs=1e-2)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"ngp": {"itertions": 3}}, "did you mean iterations"),
        ({"ngp": {"grid": {"base_resolution": 64, "finest_resolution": 32}}}, "finest_resolution"),
        ({"nerfacto": {"proposal_samples": [64]}}, "same length"),
        ({"nerfacto": {"rate": 0}}, "greater than 0"),
    ],
)
def test_malformed_settings_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        check_config({"baselines": wrong})

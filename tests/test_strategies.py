"""How each strategy adds, moves and takes away Gaussians."""

import math

import numpy as np
import pytest
import torch

from splatscope.geometry import invert
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import PointCloud
from splatscope.splats.optimizer import Adam
from splatscope.splats.rasterizer import render
from splatscope.splats.strategies.mcmc import shared
from splatscope.splats.trainer import PARAMETERS, STRATEGIES, train_gaussians
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

EXTENT = 60.0
NOBODY = torch.zeros(700, dtype=torch.bool)


@pytest.fixture(scope="module")
def views():
    return make_views()


def strategy_of_truth(name, **settings):
    """A strategy about to refine the 700 Gaussians of the scene."""
    config = QUICK.model_copy(update={"strategy": name, **settings})
    truth = make_truth()
    optimizer = Adam({name: getattr(truth, name).clone() for name in PARAMETERS})
    for moments in (optimizer.first, optimizer.second):
        for tensor in moments.values():
            tensor += 1
    return STRATEGIES[name](optimizer, config, EXTENT, np.random.default_rng(0))


def picture(values: dict[str, torch.Tensor], view):
    pose = torch.from_numpy(invert(view.world_from_camera)).float()[None]
    return render(Gaussians(**values), pose, torch.from_numpy(CAMERA.matrix).float()[None], WIDTH, HEIGHT)


def assert_fits(strategy, count: int) -> None:
    optimizer = strategy.optimizer
    for values in (optimizer.values, optimizer.first, optimizer.second):
        assert {len(value) for value in values.values()} == {count}
    assert all(torch.isfinite(value).all() for value in optimizer.values.values())


@pytest.mark.parametrize("name", ["budget", "mcmc"])
def test_the_useless_are_replaced_and_the_number_grows_to_the_cap(name):
    strategy = strategy_of_truth(name, max_gaussians=720)
    useless = torch.arange(700) < 50
    strategy.optimizer.values["means"][useless] += 1000
    strategy.observe(torch.ones(700, 2), WIDTH, HEIGHT)
    strategy.refine(strategy.last, useless)
    assert_fits(strategy, 720)
    assert strategy.optimizer.values["means"].abs().max() < 100


@pytest.mark.parametrize("name", ["budget", "mcmc"])
def test_dividing_gaussians_hardly_changes_the_picture(name, views):
    strategy = strategy_of_truth(name, max_gaussians=1400)
    before = picture(strategy.optimizer.values, views[0])
    while strategy.count < 1400:
        if strategy.measures_pulls:
            strategy.observe(torch.ones(strategy.count, 2), WIDTH, HEIGHT)
        strategy.refine(strategy.last, torch.zeros(strategy.count, dtype=torch.bool))
    after = picture(strategy.optimizer.values, views[0])
    assert (before.color - after.color).abs().mean() < 0.03
    assert (before.alpha - after.alpha).abs().mean() < 0.02


def pulled(strategy, rows) -> None:
    """Let one view pull at these, the first one hardest: 0.002 per half image and less."""
    gradient = torch.zeros(700, 2)
    gradient[rows, 0] = torch.linspace(2e-3, 1e-3, len(rows)) / (WIDTH / 2)
    strategy.observe(gradient, WIDTH, HEIGHT)


def test_adaptive_density_doubles_the_small_and_splits_the_large():
    strategy = strategy_of_truth("default")
    values = strategy.optimizer.values
    values["log_scales"][:10] = math.log(0.005 * EXTENT)
    before = {name: value.clone() for name, value in values.items()}
    pulled(strategy, torch.arange(20))
    strategy.refine(strategy.last, NOBODY)
    assert_fits(strategy, 720)
    values = strategy.optimizer.values
    fainter = torch.logit(1 - torch.sqrt(1 - torch.sigmoid(before["opacity_logits"][:20])))
    before["opacity_logits"][:20] = fainter
    for name in PARAMETERS:
        torch.testing.assert_close(values[name][700:710], before[name][:10])
        torch.testing.assert_close(values[name][:10], before[name][:10])
        assert torch.equal(values[name][20:700], before[name][20:])
    for halves in (slice(10, 20), slice(710, 720)):
        torch.testing.assert_close(values["log_scales"][halves], before["log_scales"][10:20] - math.log(1.6))
        moved = (values["means"][halves] - before["means"][10:20]).norm(dim=1)
        assert (moved > 0).all() and (moved < 5 * 1.5).all()
    assert not strategy.optimizer.first["means"][10:20].any() and strategy.optimizer.first["means"][:10].all()


def test_adaptive_density_leaves_what_pulls_less_than_the_threshold():
    strategy = strategy_of_truth("default", pull_threshold=1.5e-3)
    pulled(strategy, torch.arange(20))
    strategy.refine(strategy.last, NOBODY)
    assert strategy.count == 710


def test_adaptive_density_gives_the_last_places_to_the_strongest_pulls():
    strategy = strategy_of_truth("default", max_gaussians=703)
    strategy.optimizer.values["log_scales"][:] = math.log(0.005 * EXTENT)
    rows = torch.tensor([30, 500, 7, 200, 3])
    pulled(strategy, rows)
    strategy.refine(strategy.last, NOBODY)
    assert_fits(strategy, 703)
    assert torch.equal(strategy.optimizer.values["means"][700:], strategy.optimizer.values["means"][rows[:3]])


@pytest.mark.parametrize(("reset_every", "last"), [(0, 700), (40, 600)])
def test_adaptive_density_takes_away_the_useless_and_after_a_reset_the_too_large(reset_every, last):
    strategy = strategy_of_truth("default", opacity_reset_every=reset_every)
    strategy.optimizer.values["log_scales"][600:] = math.log(0.2 * EXTENT)
    strategy.refine(strategy.settled, torch.arange(700) < 50)
    assert_fits(strategy, last - 50)
    assert torch.equal(strategy.optimizer.values["means"], make_truth().means[50:last])


def test_adaptive_density_lowers_opacities_now_and_then():
    strategy = strategy_of_truth("default", opacity_reset_every=80)
    strategy.refine(40, NOBODY)
    assert (strategy.optimizer.values["opacity_logits"] == 3).all()
    strategy.refine(80, NOBODY)
    torch.testing.assert_close(strategy.optimizer.values["opacity_logits"].sigmoid(), torch.full((700,), 0.01))
    assert not strategy.optimizer.first["opacity_logits"].any()
    assert strategy.optimizer.first["means"].all()


def test_sharing_is_that_of_the_papers_double_sum():
    """Eq. 9 of Kheradmand et al. 2024, in exact integer binomials."""
    for opacity in (0.01, 0.3, 0.9, 0.999):
        for copies in (1, 2, 3, 7, 20):
            share, factor = shared(torch.tensor([opacity]), torch.tensor([copies]))
            expected = 1 - (1 - opacity) ** (1 / copies)
            total = sum(
                math.comb(i - 1, k) * (-1) ** k * expected ** (k + 1) / math.sqrt(k + 1)
                for i in range(1, copies + 1)
                for k in range(i)
            )
            assert float(share) == pytest.approx(expected, rel=1e-5)
            assert float(factor) == pytest.approx(opacity / total, rel=1e-5)


def test_sharing_among_very_many_stays_finite():
    share, factor = shared(torch.tensor([1.0, 0.5]), torch.tensor([500, 10_000]))
    assert ((share > 0) & (share < 0.1)).all() and ((factor > 0) & (factor < 1)).all()


def test_only_the_faint_wander_and_along_their_covariance():
    strategy = strategy_of_truth("mcmc")
    values = strategy.optimizer.values
    values["opacity_logits"][:300] = -6
    values["quaternions"][:] = torch.tensor([1.0, 0, 0, 0])
    values["log_scales"][:] = torch.tensor([0.0, -9, -9])
    before = values["means"].clone()
    strategy.wander(0.1)
    moved = (values["means"] - before).abs()
    assert (moved[:300, 0] > 0).all() and moved[:300, 1:].max() < 1e-3 * moved[:300, 0].max()
    assert not moved[300:].any()


@pytest.mark.parametrize("name", ["default", "mcmc"])
def test_each_strategy_learns_the_scene_within_the_cap(views, name):
    settings = {"strategy": name, "refine_every": 10, "evaluate_every": 10, "pull_threshold": 1e-4}
    config = QUICK.model_copy(update=settings)
    result = train_gaussians(views, make_points(), config, seed=1)
    assert np.mean(result.heldout_psnr) > 26
    assert max(row["count"] for row in result.curve) <= 900
    assert result.curve[-1]["count"] > 800  # and it did grow


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_start_over_the_cap_is_cut(views, name):
    config = QUICK.model_copy(update={"strategy": name, "iterations": 90, "evaluate_every": 10, "max_gaussians": 300})
    result = train_gaussians(views, make_points(), config, seed=1)
    assert max(row["count"] for row in result.curve) <= 300


@pytest.mark.parametrize("name", STRATEGIES)
def test_fog_before_the_cameras_does_not_stay(views, name):
    scene, fog = make_points(), np.random.default_rng(0).uniform([-8, -8, -53], [8, 8, -37], (25, 3))
    points = PointCloud(np.concatenate([scene.positions, fog]), np.full((len(scene.positions) + 25, 3), 0.5))
    result = train_gaussians(views, points, QUICK.model_copy(update={"strategy": name}), seed=1)
    assert (result.gaussians.means[:, 2] > -30).all()


@pytest.mark.parametrize("name", ["default", "mcmc"])
def test_the_unit_of_length_does_not_matter_to_any(views, name):
    config = QUICK.model_copy(update={"strategy": name, "iterations": 120})
    ours, other = (
        train_gaussians(make_views(scale=scale), make_points(scale), config, seed=1) for scale in (1.0, 100.0)
    )
    assert abs(np.mean(ours.heldout_psnr) - np.mean(other.heldout_psnr)) < 0.7


@needs_native
@pytest.mark.parametrize("name", ["budget", "default"])
def test_absolute_gradients_choose_others(views, name):
    config = QUICK.model_copy(update={"strategy": name, "iterations": 120})
    plain, absolute, again = (
        train_gaussians(views, make_points(), config.model_copy(update={"absolute_gradients": wanted}), seed=1)
        for wanted in (False, True, True)
    )
    assert_equal_models(absolute.gaussians, again.gaussians)
    assert not torch.equal(plain.gaussians.means, absolute.gaussians.means)


def test_where_all_are_useless_there_is_nobody_to_copy():
    strategy = strategy_of_truth("mcmc")
    strategy.refine(strategy.last, torch.ones(700, dtype=torch.bool))
    assert_fits(strategy, 700)

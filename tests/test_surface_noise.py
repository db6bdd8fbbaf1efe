"""Noise on surfaces: exactly standard normal and white within a frame, and what it keeps between frames."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from restyle_clips import HEIGHT, WIDTH, sliding_frame
from splatscope.restyle.surface_noise import LatentGrid, fresh_noise, surface_noise

GRID = LatentGrid(HEIGHT // 8, WIDTH // 8)
CHANNELS = 128  # far more than a model has, so that a few frames give sharp statistics


def noise_of(frame, grid=GRID, channels=CHANNELS, seed=1, scene="clip", attempt=0):
    return surface_noise(frame, grid, channels, seed=seed, scene=scene, attempt=attempt)


def correlation(first, second):
    """Of noise [C, ...], its mean and variance known to be 0 and 1."""
    return float((first * second).mean())


@pytest.mark.parametrize("slanted", [False, True])
def test_noise_is_standard_normal_and_white(slanted):
    noise = noise_of(sliding_frame(3, (2.3, 1.1), slanted=slanted))
    assert noise.shape == (CHANNELS, GRID.height, GRID.width) and noise.dtype == np.float32
    assert noise.var() == pytest.approx(1, abs=0.02)
    assert abs(noise.mean()) < 0.02
    assert kstest(noise.ravel(), "norm").pvalue > 0.01
    for shift in (np.s_[:, :, 1:], np.s_[:, 1:, :], np.s_[:, 1:, 1:]):
        back = tuple(slice(None, -1) if part.start else part for part in shift)
        assert abs(correlation(noise[shift], noise[back])) < 0.02
    assert abs(correlation(noise[1:], noise[:-1])) < 0.02


def test_every_cell_has_unit_variance_over_many_seeds():
    frame = sliding_frame(1, (3.7, 0.4), slanted=True)
    draws = np.stack([noise_of(frame, channels=4, seed=seed) for seed in range(60)]).reshape(240, -1)
    covariance = draws.T @ draws / len(draws)
    assert np.diag(covariance).min() > 0.6 and np.diag(covariance).max() < 1.5  # of 240 draws, each within 5 sigma
    off_diagonal = covariance[~np.eye(len(covariance), dtype=bool)]
    assert np.sqrt((off_diagonal**2).mean()) == pytest.approx(240**-0.5, rel=0.05)


@pytest.mark.parametrize(
    ("step", "kept"), [((8.0, 0.0), 1.0), ((0.0, 16.0), 1.0), ((4.0, 0.0), 0.5), ((2.0, 2.0), 0.56)]
)
def test_noise_moves_with_the_surface(step, kept):
    """What two cells share of the surface is the most that white noise can have in common."""
    before, after = (noise_of(sliding_frame(index, step, bar=False)) for index in (0, 1))
    moved = after[:, int(step[1]) // 8 :, int(step[0]) // 8 :]
    found = correlation(before[:, : moved.shape[1], : moved.shape[2]], moved)
    assert found == pytest.approx(kept, abs=0.08)


def test_objects_hide_each_other_and_noise_comes_back():
    with_bar, without = noise_of(sliding_frame(0)), noise_of(sliding_frame(0, bar=False))
    covered = slice(WIDTH // 16, WIDTH // 16 + 1)
    assert abs(correlation(with_bar[..., covered], without[..., covered])) < 0.1
    np.testing.assert_array_equal(with_bar[..., : WIDTH // 16 - 1], without[..., : WIDTH // 16 - 1])


def test_nothing_there_stands_still_on_the_screen():
    frames = [sliding_frame(index, (5.0, 3.0), bar=False) for index in (0, 1)]
    for frame in frames:
        frame.surface_points[:, : WIDTH // 2] = 0
    first, second = (noise_of(frame) for frame in frames)
    left = np.s_[:, :, : WIDTH // 16 - 1]
    np.testing.assert_array_equal(first[left], second[left])
    assert first[left].var() == pytest.approx(1, abs=0.03)


def test_frames_without_points_or_camera_have_noise_of_their_own():
    frame = sliding_frame(0)
    for lacking in (replace(frame, surface_points=None), replace(frame, meta={})):
        noise = noise_of(lacking)
        np.testing.assert_array_equal(noise, fresh_noise(frame, GRID, CHANNELS, seed=1, scene="clip"))
        assert abs(correlation(noise, noise_of(replace(lacking, key="000001")))) < 0.02


def test_noise_derives_from_seed_scene_and_attempt_alone():
    frame = sliding_frame(2)
    np.testing.assert_array_equal(noise_of(frame), noise_of(replace(frame, key="000009")))
    for other in ({"seed": 2}, {"scene": "other clip"}, {"attempt": 1}):
        assert abs(correlation(noise_of(frame), noise_of(frame, **other))) < 0.02


def test_padding_and_letterbox():
    frame = sliding_frame(0, bar=False)
    larger = noise_of(frame, LatentGrid(GRID.height + 4, GRID.width + 8))  # padded below and on the right
    np.testing.assert_array_equal(larger[:, : GRID.height, : GRID.width], noise_of(frame))
    assert larger.var() == pytest.approx(1, abs=0.02)
    # a canvas of 256 pixels: the frame doubled, bars of 32 pixels above and below
    boxed = LatentGrid(32, 32, pixels_per_cell=4.0, top=16.0)
    first, second = (noise_of(sliding_frame(index, (4.0, 0.0), bar=False), boxed) for index in (0, 1))
    assert second.var() == pytest.approx(1, abs=0.02)
    inside = np.s_[:, 4:28]
    assert correlation(first[inside][..., :-1], second[inside][..., 1:]) > 0.85
    np.testing.assert_array_equal(first[:, :4], second[:, :4])

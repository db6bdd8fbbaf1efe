"""The endoscope of a simulated operation: lens, round view, exposure, mist, and smoke in the way."""

import numpy as np
import pytest

from splatscope.config.simulate import SimulateConfig
from splatscope.geometry import Camera
from splatscope.meshes.endoscope import FULL_SCALE, LEVELS, Endoscope, display_table
from splatscope.simulate.optics import EXPOSURE_RANGE, TARGET_LEVEL, Circle, Optics
from splatscope.simulate.smoke import LIFE_S, SCATTERED, Smoke
from splatscope.simulate.tissue.heat import Smoke as Vapour

CONFIG = SimulateConfig(width=64, height=48, image_noise=0, round_view_probability=0, fog_probability=0)
AHEAD = np.eye(4)


def optics(seed: int = 0, **changes) -> Optics:
    return Optics(CONFIG.model_copy(update=changes), np.random.default_rng(seed))


def grey(level: float, camera: Camera) -> np.ndarray:
    return np.full((camera.height, camera.width, 3), level, np.float32)


def test_each_episode_has_a_camera_of_its_own_within_the_ranges():
    cameras = [optics(seed).camera for seed in range(20)]
    fields = [2 * np.degrees(np.arctan(camera.width / 2 / camera.fx)) for camera in cameras]
    assert min(fields) >= 58 and max(fields) <= 74 and np.std(fields) > 2
    assert all(-0.22 <= camera.distortion[0] <= 0 for camera in cameras)
    assert optics(3).camera == optics(3).camera
    assert optics(distortion=(0.0, 0.0)).camera.distortion == ()


def test_round_view_is_black_outside_and_marked():
    film = optics(round_view_probability=1.0)
    image = film.develop(grey(0.3, film.camera), 0.0)
    assert (image[~film.inside].max(-1) <= 130).all() and image[0, 0].max() == 0
    assert image[24, 32].min() > 60 and 0.6 < film.inside.mean() < 0.999
    assert optics().inside is None


def test_circle_covers_its_area():
    assert Circle(32, 24, 20).coverage(64, 48).sum() == pytest.approx(np.pi * 400, rel=0.005)


def test_exposure_follows_the_light_slowly_and_within_its_range():
    film = optics()
    film.develop(grey(TARGET_LEVEL, film.camera), 0.0)
    jump = [film.develop(grey(3 * TARGET_LEVEL, film.camera), t).mean() for t in (0.1, 1.0, 4.0)]
    assert jump[0] > jump[1] > jump[2]
    settled = film.develop(grey(3 * TARGET_LEVEL, film.camera), 20.0).mean()
    for _ in range(5):
        film.develop(grey(10.0, film.camera), 40.0 + _)
    assert film._gain == pytest.approx(EXPOSURE_RANGE[0], rel=0.05)
    assert settled < jump[0]


def test_mist_comes_quickly_and_clears():
    film = optics(2, fog_probability=1.0)
    start, strength, _ = film._mist
    course = [film.mist(start + t) for t in (-0.1, 0.2, 0.4, 2.0, 30.0)]
    assert course[0] == 0 and 0 < course[1] < course[2] == pytest.approx(strength)
    assert course[2] > course[3] > course[4] < 0.05
    sharp = grey(0.2, film.camera)
    sharp[:, ::2] = 0.4
    contrast = [film.develop(sharp, time).std() for time in (start - 0.01, start + 0.4)]
    assert contrast[1] < 0.7 * contrast[0]


def one_puff(centre, radius: float, amount: float) -> Smoke:
    smoke = Smoke(1.0, np.random.default_rng(0))
    smoke._centres, smoke._velocities = np.array([centre], float), np.zeros((1, 3))
    smoke._radii, smoke._amounts, smoke._ages = np.array([radius]), np.array([amount]), np.zeros(1)
    return smoke


@pytest.mark.parametrize("surface", [45.0, 60.0, 75.0])
def test_smoke_dims_as_the_integral_along_the_ray_says(surface):
    camera = Camera(64, 48, 60.0, 60.0, 32.0, 24.0)
    radius, amount = 6.0, 30.0
    depth = np.full((48, 64), surface, np.float32)
    seen = one_puff((0, 0, 60), radius, amount).veil(grey(1.0, camera), depth, camera, AHEAD, 70.0)
    steps = np.linspace(0, surface, 20000)
    density = amount / radius**2 * np.exp(-((steps - 60) ** 2) / radius**2) / (radius * np.sqrt(np.pi))
    passed = np.exp(-np.trapezoid(density, steps))
    lit = SCATTERED * (70 / 60) ** 2
    assert np.allclose(seen[24, 32], passed + lit * (1 - passed), atol=0.02)


def test_puffs_add_up_pixel_by_pixel():
    camera, rng = Camera(70, 50, 60.0, 60.0, 36.0, 24.0, (-0.2, 0.04, 0.001, 0.0)), np.random.default_rng(2)
    smoke = Smoke(1.0, rng)
    smoke._centres, smoke._velocities = rng.uniform([-30, -20, -5], [30, 20, 90], (12, 3)), np.zeros((12, 3))
    smoke._radii, smoke._amounts, smoke._ages = rng.uniform(2, 30, 12), rng.uniform(10, 99, 12), rng.uniform(0, 2, 12)
    radiance, depth = rng.random((2, 50, 70, 3), np.float32)
    depth = np.where(depth[..., 0] < 0.1, 0, 30 + 50 * depth[..., 0])
    rays = np.dstack([camera.pixel_rays(), np.ones((50, 70))])
    lengths = np.linalg.norm(rays, axis=-1)
    reach = np.where(depth > 0, depth, 1000) * lengths
    thickness, lit = np.zeros((2, 50, 70))
    for centre, radius, amount, age in zip(smoke._centres, smoke._radii, smoke._amounts, smoke._ages):
        along = rays @ centre / lengths
        column = amount * np.exp(-age / LIFE_S) / radius**2 * np.exp(-(centre @ centre - along**2) / radius**2)
        column *= (along >= 2) / (1 + np.exp(-2.4 / radius * (reach - along)))
        thickness += column
        lit += column * min((70 / max(np.linalg.norm(centre), 20)) ** 2, 6)
    passed = np.exp(-thickness)[..., None]
    expected = radiance * passed + SCATTERED * ((lit / np.maximum(thickness, 1e-6))[..., None] * (1 - passed))
    seen = smoke.veil(radiance, depth.astype(np.float32), camera, AHEAD, 70.0)
    assert thickness.max() > 0.3 and np.median(thickness) > 1e-3
    assert np.allclose(seen, expected, rtol=1e-4, atol=1e-5)


def test_smoke_rises_spreads_and_ends():
    smoke = Smoke(1.0, np.random.default_rng(1))
    for _ in range(30):
        smoke.advance(1 / 60, [Vapour((0.0, 0.0, 0.0), 30.0)])
    low, count = smoke._centres[:, 2].mean(), len(smoke._radii)
    assert count > 3
    for _ in range(60):
        smoke.advance(1 / 60, [])
    assert smoke._centres[:, 2].mean() > low + 5 and len(smoke._radii) == count
    for _ in range(600):
        smoke.advance(1 / 60, [])
    assert len(smoke._radii) == 0
    still = grey(0.5, Camera(64, 48, 60.0, 60.0, 32.0, 24.0))
    assert smoke.veil(still, still[..., 0], None, AHEAD, 70.0) is still


def test_sensor_adds_noise_that_grows_with_the_root_of_the_light():
    camera = Camera(70, 50, 60.0, 60.0, 36.0, 24.0)
    rng = np.random.default_rng(3)
    radiance, coverage, balance = rng.uniform(0, 1.4, (50, 70, 3)), rng.random((50, 70)), np.array([1.2, 1.0, 0.7])
    quiet = Endoscope(camera, 1, 0.0, 5, coverage).expose(radiance.astype(np.float32), balance)
    x, y = np.meshgrid(np.arange(70) + 0.5, np.arange(50) + 0.5)
    vignette = 1 - 0.28 * (np.hypot(x - 35, y - 25) / np.hypot(70, 50) * 2) ** 2.4
    light = radiance * balance * (vignette * coverage)[..., None]
    steps = np.clip(light * (LEVELS / FULL_SCALE), 0, LEVELS).astype(int)
    assert np.mean(quiet != display_table()[steps]) < 0.01 and np.abs(quiet - display_table()[steps]).max() <= 1

    def deviation(level: float) -> float:
        film = Endoscope(camera, 1, 4.0, 5)
        first, second = (np.searchsorted(display_table(), film.expose(np.full((50, 70, 3), level))) for _ in range(2))
        return np.std(first - second)

    assert deviation(0.4) / deviation(0.1) == pytest.approx(np.sqrt((0.4 + 0.03) / (0.1 + 0.03)), rel=0.1)

"""Metric scale, hand-eye and alignment against synthetic problems whose answer is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.geometry import apply, interpolate_poses, invert, look_at, make_transform, pose_difference
from splatscope.poses.field import Covariance, fit_covariance
from splatscope.poses.hand_eye import Field, Observations, solve_hand_eye
from splatscope.poses.readings import differentiate_poses

SENSOR_FROM_CAMERA = make_transform(Rotation.from_euler("xyz", [12, -35, 80], degrees=True).as_matrix(), [8, -14, 60])


def smooth_field(seed, millimetres=0.5, degrees=0.3, wavelength=250.0):
    """A function of positions [N, 3] that returns a smooth translation [N, 3] and rotation vector [N, 3]."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(24, 3)) * 2 * np.pi / wavelength / np.sqrt(3)
    phase = rng.uniform(0, 2 * np.pi, 24)
    weight = rng.normal(size=(24, 6)) / np.sqrt(12)

    def field(positions):
        value = np.cos(positions @ waves.T + phase) @ weight
        return value[:, :3] * millimetres / np.sqrt(3), value[:, 3:] * np.radians(degrees) / np.sqrt(3)

    return field


def orbit(rng, count, radius=75.0, roll=True):
    """`world_from_camera` of a camera wandering round the origin, continuous in time."""
    time = np.linspace(0, 1, count)
    wobble = [np.interp(time, np.linspace(0, 1, 9), rng.uniform(-1, 1, 9)) for _ in range(4)]
    poses = []
    for i in range(count):
        direction = Rotation.from_euler("yx", [45 * wobble[0][i], 35 * wobble[1][i]], degrees=True).as_matrix()
        eye = direction @ [0, 0, -radius * (1 + 0.25 * wobble[2][i])]
        pose = look_at(eye, 8 * rng.normal(size=3), [0, -1, 0])
        spin = Rotation.from_euler("z", 30 * wobble[3][i] if roll else 0, degrees=True).as_matrix()
        poses.append(pose @ make_transform(spin, np.zeros(3)))
    return np.stack(poses)


def simulate(
    seed=0, groups=((120, 0.031), (80, 4.2)), noise_mm=0.05, noise_deg=0.05, field=None, outliers=0.0, paths=None
):
    """Observations of groups (frames, mm per unit), and the true tracker_from_camera of each frame."""
    rng = np.random.default_rng(seed)
    readings, models, truth, group = [], [], [], []
    for index, (count, scale) in enumerate(groups):
        tracker_from_world = make_transform(Rotation.random(rng=rng).as_matrix(), [40 * index, -100, 150])
        tracker_from_camera = tracker_from_world @ (paths[index] if paths else orbit(rng, count))
        sensor = tracker_from_camera @ invert(SENSOR_FROM_CAMERA)
        shift, turn = field(sensor[:, :3, 3]) if field else (0, np.zeros((count, 3)))
        turn = turn + np.radians(noise_deg) * rng.normal(size=(count, 3)) / np.sqrt(3)
        rotation = Rotation.from_rotvec(turn).as_matrix() @ sensor[:, :3, :3]
        position = sensor[:, :3, 3] + shift + noise_mm * rng.normal(size=(count, 3)) / np.sqrt(3)
        bad = rng.random(count) < outliers
        rotation[bad] = Rotation.random(int(bad.sum()), rng=rng).as_matrix().reshape(-1, 3, 3)
        position[bad] += rng.normal(size=(int(bad.sum()), 3)) * 80
        sfm_from_tracker = make_transform(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3) * 50)
        model = sfm_from_tracker @ tracker_from_camera
        model[:, :3, 3] /= scale
        readings.append(make_transform(rotation, position))
        models.append(model)
        truth.append(tracker_from_camera)
        group.append(np.full(count, index))
    group = np.concatenate(group)
    zeros = np.zeros((len(group), 3))
    readings, models = np.concatenate(readings), np.concatenate(models)
    return Observations(readings, models, group, group, zeros, zeros, np.zeros(len(groups))), np.concatenate(truth)


def hand_eye_error(solution):
    return tuple(float(value) for value in pose_difference(solution.sensor_from_camera, SENSOR_FROM_CAMERA))


def test_exact_readings_give_the_exact_answer():
    seen, truth = simulate(noise_mm=0, noise_deg=0)
    solution = solve_hand_eye(seen, ["site", "tool"], seed=0, field_correction=False)
    millimetres, degrees = hand_eye_error(solution)
    assert millimetres < 1e-4 and degrees < 1e-4
    np.testing.assert_allclose(solution.scale, [0.031, 4.2], rtol=1e-6)
    for index in (0, 1):
        member = seen.group == index
        mapped = solution.world_from_camera(index, seen.sfm_from_camera[member])
        np.testing.assert_allclose(mapped, truth[member], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("field_correction", [False, True])
def test_a_fifth_of_the_readings_may_be_wrong(seed, field_correction):
    seen, _ = simulate(seed, noise_mm=0.3, noise_deg=0.3, outliers=0.2)
    solution = solve_hand_eye(seen, ["site", "tool"], seed=0, field_correction=field_correction)
    millimetres, degrees = hand_eye_error(solution)
    assert millimetres < 0.3 and degrees < 0.15
    np.testing.assert_allclose(solution.scale, [0.031, 4.2], rtol=0.003)
    assert 0.7 < solution.inlier.mean() < 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_distorted_field_stays_within_the_requirement(seed):
    seen, _ = simulate(seed, field=smooth_field(seed + 100))
    solution = solve_hand_eye(seen, ["site", "tool"], seed=0)
    millimetres, degrees = hand_eye_error(solution)
    assert millimetres < 1.5 and degrees < 1.0
    assert millimetres < 4 * np.linalg.norm(solution.translation_sigma_mm)


@pytest.mark.parametrize("model_sigma, model_share", [(0.0, 0.0), (0.1, 0.25), (0.5, 1.0)])
def test_tracker_and_model_share_the_smooth_residual(model_sigma, model_share):
    rng = np.random.default_rng(0)
    positions, shift, turn = rng.uniform(-50, 50, (30, 3)), np.full((30, 3), 0.2), np.full((30, 3), 0.002)
    field = Field(positions, shift, turn, Covariance(40.0, 0.2, 1e-3), Covariance(40.0, 0.002, 1e-5))
    field = field.with_model_errors(model_sigma, model_sigma / 100)
    assert field.model_share == pytest.approx((model_share, model_share))
    poses = make_transform(np.eye(3), positions)
    poses[0, 0, 0] = np.nan
    corrected, model = field.correct_readings(poses), field.correct_model(poses)
    assert np.isnan(corrected[0, 0, 0]) and np.isnan(model[0, 0, 0])
    np.testing.assert_allclose((poses - corrected)[1:, :3, 3], (1 - model_share) * 0.2, atol=0.01)
    np.testing.assert_allclose((model - poses)[1:, :3, 3], model_share * 0.2, atol=0.01)
    both = np.swapaxes(corrected[1:, :3, :3], 1, 2) @ model[1:, :3, :3]  # they meet
    np.testing.assert_allclose(Rotation.from_matrix(both).as_rotvec(), 0.002, atol=1e-4)


def test_the_field_model_brings_tool_and_camera_nearer_to_each_other():
    plain, corrected = [], []
    for seed in range(4):
        field = smooth_field(seed + 100)
        seen, truth = simulate(seed, field=field)
        rng = np.random.default_rng(seed)
        member = np.flatnonzero(seen.group == 0)
        tool = truth[member] @ make_transform(Rotation.random(rng=rng).as_matrix(), [10, 20, 60])
        shift, turn = field(tool[:, :3, 3])
        readings = make_transform(Rotation.from_rotvec(turn).as_matrix() @ tool[:, :3, :3], tool[:, :3, 3] + shift)
        for switch, errors in ((False, plain), (True, corrected)):
            solution = solve_hand_eye(seen, ["site", "tool"], seed=0, field_correction=switch)
            camera = solution.world_from_camera(0, seen.sfm_from_camera[member])
            tool_readings = solution.field.correct_readings(readings) if switch else readings
            found = invert(camera) @ tool_readings
            errors.append(pose_difference(found, invert(truth[member]) @ tool)[0].mean())
    print("camera-tool error mm, plain", np.round(plain, 3), "corrected", np.round(corrected, 3))
    assert np.mean(corrected) < 0.8 * np.mean(plain)


def test_a_known_hand_eye_is_kept():
    seen, _ = simulate(1)
    solution = solve_hand_eye(seen, ["site", "tool"], seed=0, known=SENSOR_FROM_CAMERA)
    assert (solution.sensor_from_camera == SENSOR_FROM_CAMERA).all()
    np.testing.assert_allclose(solution.scale, [0.031, 4.2], rtol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_turning_about_one_axis_is_refused(noise):
    angles = np.linspace(0, 90, 60)
    turns = Rotation.from_rotvec(np.outer(angles, [0, 1, 0]), degrees=True).as_matrix()
    path = make_transform(turns, np.einsum("nab,b->na", turns, [0, 0, -75.0]))
    seen, _ = simulate(2, groups=((60, 0.03),), noise_mm=noise, noise_deg=noise, paths=[path])
    with pytest.raises(InputError, match="one axis only") as error:
        solve_hand_eye(seen, ["site"], seed=0)
    assert "camera_sensor_from_camera" in error.value.remedy


def test_too_few_frames_are_refused():
    seen, _ = simulate(groups=((5, 1.0),))
    with pytest.raises(InputError, match="5 frames with both"):
        solve_hand_eye(seen, ["site"], seed=0)


def test_a_residual_clock_offset_is_found():
    rng = np.random.default_rng(3)
    times = np.arange(400) / 40
    path = orbit(rng, 41)
    knots = np.linspace(0, times[-1], 41)
    tracker_from_camera = interpolate_poses(knots, path, times)
    readings = tracker_from_camera @ invert(SENSOR_FROM_CAMERA)
    query = np.arange(20, 380, 3) / 40
    late = 0.020
    velocity, turn = differentiate_poses(times, readings, query)
    zeros = np.zeros(len(query), int)
    seen = Observations(
        interpolate_poses(times, readings, query),
        interpolate_poses(times, tracker_from_camera, query + late),
        zeros,
        zeros,
        velocity,
        turn,
        np.array([0.02]),
    )
    solution = solve_hand_eye(seen, ["site"], seed=0, field_correction=False)
    assert solution.clock_shift_s[0] == pytest.approx(late, abs=0.003)
    fixed = solve_hand_eye(
        Observations(*[getattr(seen, name) for name in list(seen.__dataclass_fields__)[:-1]], np.zeros(1)),
        ["site"],
        seed=0,
        field_correction=False,
    )
    assert fixed.clock_shift_s[0] == 0
    assert np.median(solution.residual_mm) < 0.5 * np.median(fixed.residual_mm)


def test_velocities_of_a_steady_motion():
    times = np.arange(50) / 40
    turns = Rotation.from_rotvec(np.outer(times, [0, 0, 2.0])).as_matrix()
    poses = make_transform(turns, np.outer(times, [30.0, 0, -10]))
    poses[7] = np.nan
    velocity, turn = differentiate_poses(times, poses, times[5:40])
    np.testing.assert_allclose(velocity, np.tile([30, 0, -10], (35, 1)), atol=1e-9)
    np.testing.assert_allclose(turn, np.tile([0, 0, 2], (35, 1)), atol=1e-9)


def test_the_covariance_of_a_field_is_recovered():
    rng = np.random.default_rng(0)
    positions = rng.uniform(-60, 60, (150, 3))
    true = Covariance(65.0, 0.4, 0.05)
    residuals = np.linalg.cholesky(true.of_readings(positions)) @ rng.normal(size=(150, 3))
    offsets = np.tile(np.eye(3), (150, 1, 1))
    found = fit_covariance(positions, residuals, offsets, 0.3)
    assert 45 <= found.length_mm <= 100
    assert found.noise == pytest.approx(0.05, rel=0.6)
    query = rng.uniform(-40, 40, (50, 3))
    both = np.vstack([positions, query])
    drawn = np.linalg.cholesky(true.between(both, both) + 1e-9 * np.eye(200)) @ rng.normal(size=(200, 3))
    predicted = found.predict(positions, drawn[:150], query)
    assert np.abs(predicted - drawn[150:]).mean() < 0.25 * np.abs(drawn[150:]).mean()
    far = apply(make_transform(np.eye(3), [5000.0, 0, 0]), query)
    assert np.abs(found.predict(positions, drawn[:150], far)).max() == 0

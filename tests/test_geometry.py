import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from splatscope import geometry
from splatscope.geometry import Camera


@pytest.fixture
def transforms() -> np.ndarray:
    rng = np.random.default_rng(1)
    return geometry.pose_from_quaternion(rng.normal(size=(6, 4)), rng.normal(size=(6, 3)) * 50)


def test_quaternion_is_scalar_first():
    quarter_turn_about_z = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    np.testing.assert_allclose(geometry.quaternion_to_matrix(quarter_turn_about_z) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_quaternion_round_trip(transforms):
    quaternions = geometry.matrix_to_quaternion(transforms[:, :3, :3])
    assert (quaternions[:, 0] >= 0).all()
    np.testing.assert_allclose(geometry.quaternion_to_matrix(quaternions), transforms[:, :3, :3], atol=1e-12)


def test_invert_and_apply(transforms):
    points = np.random.default_rng(2).normal(size=(6, 4, 3))
    back = geometry.apply(geometry.invert(transforms), geometry.apply(transforms, points))
    np.testing.assert_allclose(back, points, atol=1e-11)


def test_pose_difference_measures_angle_and_distance(transforms):
    turn = geometry.make_transform(Rotation.from_euler("y", 12, degrees=True).as_matrix(), [3, 0, 4])
    distance, angle = geometry.pose_difference(transforms, transforms @ turn)
    np.testing.assert_allclose(distance, 5)
    np.testing.assert_allclose(angle, 12)


def test_interpolation_is_halfway_in_angle():
    turn = geometry.make_transform(Rotation.from_euler("x", 40, degrees=True).as_matrix(), [0, 8, 0])
    middle = geometry.interpolate_poses(np.array([0.0, 2.0]), np.stack([np.eye(4), turn]), np.array([1.0]))[0]
    assert geometry.rotation_angle_deg(middle) == pytest.approx(20)
    np.testing.assert_allclose(middle[:3, 3], [0, 4, 0])


def test_similarity_is_recovered(transforms):
    source = np.random.default_rng(3).normal(size=(30, 3))
    scale, transform = geometry.fit_similarity(source, 7.5 * source @ transforms[0, :3, :3].T + transforms[0, :3, 3])
    assert scale == pytest.approx(7.5)
    np.testing.assert_allclose(transform, transforms[0], atol=1e-9)


def test_pose_columns_keep_invalid_rows(transforms):
    transforms = transforms.copy()
    transforms[2] = np.nan
    table = pd.DataFrame(geometry.pose_columns("world_from_camera", transforms))
    np.testing.assert_allclose(geometry.poses_from_columns(table, "world_from_camera"), transforms, atol=1e-12)


def test_look_at_puts_the_target_on_the_optical_axis():
    world_from_camera = geometry.look_at(np.array([1.0, 2, 3]), np.array([4.0, 2, 9]), np.array([0.0, 0, 1]))
    target = geometry.apply(geometry.invert(world_from_camera), np.array([[4.0, 2, 9]]))[0]
    np.testing.assert_allclose(target[:2], 0, atol=1e-12)
    assert target[2] > 0
    above = geometry.apply(geometry.invert(world_from_camera), np.array([[4.0, 2, 9.5]]))[0]
    assert above[1] < 0, "image y points down"


def test_camera_scaling_keeps_the_view():
    camera = Camera(640, 512, 600, 601, 320.5, 255)
    point = np.array([[3.0, -4, 50]])
    np.testing.assert_allclose(camera.scaled(320, 256).project(point), camera.project(point) / 2)


def test_opencv_pixel_centres():
    matrix = np.array([[500, 0, 319.5], [0, 500, 255.5], [0, 0, 1]])
    camera = Camera.from_opencv(640, 512, matrix)
    assert (camera.cx, camera.cy) == (320, 256), "the middle of the image"
    np.testing.assert_array_equal(camera.opencv_matrix, matrix)
    assert Camera.from_dict(camera.to_dict()) == camera

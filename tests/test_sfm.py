"""Structure from motion: which images are matched, a real reconstruction, known poses, and what is refused."""

import json
from dataclasses import replace
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from poses_material import make_ingested
from real.sinus_transforms import sinus_transforms
from splatscope.config.poses import SfmConfig
from splatscope.errors import InputError
from splatscope.files import sha256, write_json
from splatscope.geometry import fit_similarity, invert, make_transform, pose_difference
from splatscope.poses.colmap_import import read_colmap
from splatscope.poses.known_views import load_known_views, match_frames, shared_camera
from splatscope.poses.pairs import all_pairs, pairs_by_appearance, pairs_by_pose
from splatscope.poses.sfm import MODEL_FILES, reconstruct_group
from splatscope.recordings import Role

WIDTH, HEIGHT = 288, 512
# photographs that look at the fox from one side and overlap
FOX = ["0001", "0002", "0003", "0004", "0006", "0007", "0008", "0009", "0012", "0014"]
QUICK = SfmConfig(max_features=800, min_registered_frames=5)


@pytest.fixture(scope="module")
def fox_images(shared_data):
    images = [cv2.imread(str(shared_data / "fox" / "images" / f"{name}.jpg"))[..., ::-1] for name in FOX]
    return [cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for image in images]


@pytest.fixture(scope="module")
def fox(fox_images, tmp_path_factory):
    """The photographs without calibration or poses."""
    files = [f"{name}.jpg" for name in FOX]
    return make_ingested(tmp_path_factory.mktemp("fox"), "fox", fox_images, files=files)


@pytest.fixture(scope="module")
def reconstructed(fox, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sfm")
    return folder, reconstruct_group([fox], QUICK, 0, folder)


def test_photographs_are_registered_and_their_camera_calibrated(reconstructed, fox, shared_data):
    folder, summary = reconstructed
    assert summary["recordings"] == {"fox": {"frames": 10, "registered": 10}}
    assert summary["mean_reprojection_error_px"] < 1.0 and summary["mean_track_length"] > 2.5
    assert summary == json.loads((folder / "sfm.json").read_text())
    model = read_colmap(folder)
    assert model.image_names == fox.image_names
    (camera,) = model.cameras.values()
    known = load_known_views(shared_data / "fox" / "transforms.json")
    assert camera.fx == pytest.approx(shared_camera(known, WIDTH, HEIGHT).fx, rel=0.15)
    poses = match_frames(known, fox)
    expected = np.stack([poses[key] for key in fox.keys])
    found = invert(model.camera_from_world)
    scale, aligned = fit_similarity(found[:, :3, 3], expected[:, :3, 3])
    found[:, :3, 3] *= scale
    distance, angle = pose_difference(aligned @ found, expected)
    size = np.ptp(expected[:, :3, 3], axis=0).max()
    assert distance.max() < 0.05 * size and angle.max() < 3.0


def test_same_seed_gives_the_same_bytes(reconstructed, fox, tmp_path):
    folder, _ = reconstructed
    reconstruct_group([fox], QUICK, 0, tmp_path)
    assert [sha256(tmp_path / name) for name in MODEL_FILES] == [sha256(folder / name) for name in MODEL_FILES]


def test_given_poses_are_kept_and_triangulated(fox, shared_data, tmp_path):
    path = shared_data / "fox" / "transforms.json"
    recording = replace(fox, given_poses=path)
    summary = reconstruct_group([recording], QUICK, 0, tmp_path)
    assert summary["source"] == "given" and summary["registered"] == 10 and summary["points"] > 200
    assert summary["given_files"] == {"listed": 67, "matched": 10, "without_frame": 57}
    assert summary["mean_reprojection_error_px"] < 1.0
    model = read_colmap(tmp_path)
    known = load_known_views(path)
    poses = match_frames(known, recording)
    expected = np.stack([poses[key] for key in recording.keys])
    np.testing.assert_allclose(invert(model.camera_from_world), expected, atol=1e-5)  # the file rounds
    (camera,) = model.cameras.values()
    np.testing.assert_allclose(camera.matrix, shared_camera(known, WIDTH, HEIGHT).matrix)


def test_tracker_poses_stand_in_for_colmap(fox, fox_images, shared_data, tmp_path):
    known = load_known_views(shared_data / "fox" / "transforms.json")
    poses = match_frames(known, fox)
    tracker_from_camera = np.stack([poses[key] for key in fox.keys])
    tracker_from_camera[:, :3, 3] *= 50
    hand_eye = make_transform(Rotation.from_euler("x", 30, degrees=True).as_matrix(), [10.0, 0, 20])
    readings = tracker_from_camera @ invert(hand_eye)
    readings[3] = np.nan
    camera = shared_camera(known, WIDTH, HEIGHT).undistorted()
    recording = make_ingested(tmp_path, "fox", fox_images, camera=camera, readings={"camera": readings})
    config = SfmConfig(source="tracker", max_features=800, min_registered_frames=5)
    summary = reconstruct_group([recording], config, 0, tmp_path / "sfm", camera_sensor_from_camera=hand_eye)
    assert summary["source"] == "tracker" and summary["registered"] == 9 and summary["points"] > 100
    model = read_colmap(tmp_path / "sfm")
    np.testing.assert_allclose(invert(model.camera_from_world), np.delete(tracker_from_camera, 3, axis=0), atol=1e-6)
    with pytest.raises(InputError, match="camera_sensor_from_camera"):
        reconstruct_group([recording], config, 0, tmp_path / "sfm")
    found = {"checkerboard": {"camera_sensor_from_camera": hand_eye.tolist()}, "epipolar": None}
    write_json(recording.summary, {"hand_eye": found})
    assert reconstruct_group([recording], config, 0, tmp_path / "checkerboard") == summary | {"seconds": ANY}
    with pytest.raises(InputError, match="no reading of a sensor"):
        reconstruct_group([fox], config, 0, tmp_path / "sfm", camera_sensor_from_camera=hand_eye)


def textureless(count):
    rng = np.random.default_rng(0)
    return [cv2.GaussianBlur(rng.integers(90, 110, (96, 128, 3), np.uint8), (0, 0), 9) for _ in range(count)]


def test_too_few_registered_frames_are_refused(tmp_path):
    recording = make_ingested(tmp_path, "fog", textureless(12))
    with pytest.raises(InputError, match=r"0 of 12 frames with a pose \(COLMAP\)\n.*at least 10") as error:
        reconstruct_group([recording], SfmConfig(), 0, tmp_path / "sfm")
    assert "overlap" in error.value.remedy and not (tmp_path / "sfm" / "sfm.json").exists()


def test_a_tracker_takes_over_when_colmap_fails(tmp_path):
    readings = make_transform(Rotation.random(12, rng=np.random.default_rng(0)).as_matrix(), np.zeros((12, 3)))
    recording = make_ingested(tmp_path, "fog", textureless(12), readings={"camera": readings})
    summary = reconstruct_group([recording], SfmConfig(), 0, tmp_path / "sfm")
    assert not summary["usable"] and summary["registered"] == 0
    assert read_colmap(tmp_path / "sfm").image_names == []


def test_a_given_model_of_three_frames_is_refused(fox, tmp_path):
    frames = [
        {"file_path": f"images/{name}.jpg", "transform_matrix": np.eye(4).tolist(), "fl_x": 400, "w": 288, "h": 512}
        for name in FOX[:3]
    ]
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({"frames": frames}))
    with pytest.raises(InputError, match=r"3 of 10 frames with a pose \(the given poses\)"):
        reconstruct_group([replace(fox, given_poses=path)], SfmConfig(), 0, tmp_path / "sfm")


def test_one_poses_file_must_serve_the_whole_group(fox, tmp_path, shared_data):
    other = replace(fox, name="other")
    given = replace(fox, given_poses=shared_data / "fox" / "transforms.json")
    with pytest.raises(InputError, match="no poses for other"):
        reconstruct_group([given, other], QUICK, 0, tmp_path)


def test_pairs_by_pose_join_near_views():
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    turns = Rotation.from_rotvec(np.outer(angles, [0, 1, 0])).as_matrix()
    poses = make_transform(turns, turns @ [0, 0, -75.0] + rng.normal(size=(120, 3)))
    pairs = pairs_by_pose(poses, np.ones(120, bool), 12)
    apart = np.abs(pairs[:, 0] - pairs[:, 1])
    apart = np.minimum(apart, 120 - apart)
    assert apart.max() <= 40 and (np.bincount(pairs.ravel(), minlength=120) >= 12).all()
    assert {(i, i + 1) for i in range(119)} <= {tuple(pair) for pair in pairs.tolist()}
    poses[50] = np.nan
    assert (pairs_by_pose(poses, np.ones(120, bool), 12) == 50).any(axis=1).sum() >= 10


def test_pairs_by_appearance_find_the_same_place_again():
    rng = np.random.default_rng(0)
    places = [rng.normal(size=(100, 128)).astype(np.float32) for _ in range(10)]
    visits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    descriptors = [places[visit] + 0.1 * rng.normal(size=(100, 128)).astype(np.float32) for visit in visits]
    descriptors = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in descriptors]
    descriptors[7] = np.zeros((0, 128), np.float32)
    pairs = {tuple(pair) for pair in pairs_by_appearance(descriptors, np.ones(15, bool), 4).tolist()}
    assert {(0, 10), (1, 11), (2, 12), (3, 13), (4, 14)} <= pairs
    assert len(all_pairs(np.ones(15, bool))) == 105 > len(pairs)


def test_images_that_do_not_build_are_paired_with_those_that_do():
    builds = np.arange(30) < 20
    poses = np.repeat(np.eye(4)[None], 30, axis=0)
    poses[:, 0, 3] = np.concatenate([np.arange(20), np.arange(10)])
    poses[25] = np.nan
    for pairs in (all_pairs(builds), pairs_by_pose(poses, builds, 4)):
        assert (pairs[:, 0] < 20).all() and (np.bincount(pairs.ravel(), minlength=30) >= 4).all()


def test_scene_frames_are_placed_in_the_model_of_the_background(fox_images, tmp_path):
    dark = [image.copy() for image in fox_images[::3]]
    for image in dark:  # something in the way
        image[200:330, 100:200] = np.random.default_rng(0).integers(0, 255, (130, 100, 3))
    background = make_ingested(tmp_path, "background", fox_images)
    scene = make_ingested(tmp_path, "scene", dark, role=Role.SCENE)
    summary = reconstruct_group([scene, background], QUICK, 0, tmp_path / "sfm")
    assert summary["recordings"]["scene"] == {"frames": 4, "registered": 4}
    model = read_colmap(tmp_path / "sfm")
    poses = dict(zip(model.image_names, model.camera_from_world))
    centres = invert(model.camera_from_world)[:, :3, 3]
    size = np.ptp(centres, axis=0).max()
    for index in range(4):
        distance, angle = pose_difference(
            invert(poses[f"scene/{index:06d}.png"]), invert(poses[f"background/{3 * index:06d}.png"])
        )
        assert distance < 0.01 * size and angle < 0.3


def test_endoscopy_that_colmap_cannot_register_works_with_its_given_poses(shared_data, tmp_path):
    folder = shared_data / "sinus_endoscopy"
    content = sinus_transforms(folder)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(content))
    files = [frame["file_path"].removeprefix("frames/") for frame in content["frames"]][:12]
    images = [cv2.imread(str(folder / "frames" / file))[..., ::-1] for file in files]
    images = [cv2.resize(image, (640, 360), interpolation=cv2.INTER_AREA) for image in images]
    recording = make_ingested(tmp_path, "sinus", images, files=files, given_poses=path)
    summary = reconstruct_group([recording], SfmConfig(peak_threshold=0.003), 0, tmp_path / "sfm")
    assert summary["registered"] == 12 and summary["points"] > 50
    assert summary["mean_reprojection_error_px"] < 1.5

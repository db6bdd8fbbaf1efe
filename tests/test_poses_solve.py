"""The whole solve_poses job on recordings whose true poses are known."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from poses_material import make_ingested, write_sparse_model
from splatscope.config.poses import PosesConfig
from splatscope.errors import InputError
from splatscope.files import read_json, sha256, write_json
from splatscope.geometry import (
    Camera,
    apply,
    invert,
    make_transform,
    matrix_to_quaternion,
    pose_difference,
    pose_from_quaternion,
    poses_from_columns,
)
from splatscope.poses.group_state import ReconstructedGroup
from splatscope.poses.solve import NOMINAL_DISTANCE_MM, solve_poses
from splatscope.recordings import Role
from test_hand_eye import SENSOR_FROM_CAMERA, orbit

CAMERA = Camera(32, 24, 30.0, 30.0, 16.0, 12.0)
SCALES = {"site": 0.04, "driver": 9.0}  # mm for each unit of the group's model
TRACKER_FROM_SITE = make_transform(Rotation.from_euler("xyz", [20, 150, -30], degrees=True).as_matrix(), [50, -80, 200])
SENSOR_ON_TOOL = make_transform(Rotation.from_euler("xyz", [5, 60, 10], degrees=True).as_matrix(), [30, 15, 80])
ROLES = {"background": Role.BACKGROUND, "scene": Role.SCENE, "driver": Role.TOOL}


class Material:
    """Recordings background and scene (group site) and driver (a tool), with their truth."""

    def __init__(self, folder, noise_mm=0.05, noise_deg=0.05, unregistered=()):
        rng = np.random.default_rng(0)
        self.folder, self.truth, self.tool, self.groups = folder, {}, {}, []
        for group, names in (("site", ["background", "scene"]), ("driver", ["driver"])):
            recordings, registered, poses = [], [], []
            sfm_from_tracker = make_transform(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3) * 40)
            for name in names:
                count = 40
                camera = TRACKER_FROM_SITE @ orbit(rng, count)
                tool = np.repeat(SENSOR_ON_TOOL[None], count, axis=0)
                if name == "scene":
                    tool[:, :3, 3] += np.linspace(0, 20, count)[:, None]
                self.truth[name], self.tool[name] = camera, TRACKER_FROM_SITE @ tool
                readings = {"camera": self._read(camera @ invert(SENSOR_FROM_CAMERA), noise_mm, noise_deg, rng)}
                if name != "background":
                    readings["driver"] = self._read(self.tool[name], noise_mm, noise_deg, rng)
                blank = [np.zeros((24, 32, 3), np.uint8)] * count
                recordings.append(
                    make_ingested(folder, name, blank, role=ROLES[name], camera=CAMERA, readings=readings)
                )
                model = sfm_from_tracker @ camera
                model[:, :3, 3] /= SCALES[group]
                kept = [index for index in range(count) if (name, index) not in unregistered]
                registered += [recordings[-1].image_names[index] for index in kept]
                poses.append(invert(model[kept]))
            points = apply(sfm_from_tracker @ TRACKER_FROM_SITE, rng.normal(size=(50, 3)) * 10) / SCALES[group]
            colors = rng.integers(0, 256, (50, 3))
            model = write_sparse_model(folder / group, registered, np.concatenate(poses), CAMERA, points, colors)
            self.groups.append(ReconstructedGroup(group, recordings, model))

    @staticmethod
    def _read(poses, noise_mm, noise_deg, rng):
        turn = Rotation.from_rotvec(rng.normal(size=(len(poses), 3)) * noise_deg, degrees=True).as_matrix()
        return make_transform(turn @ poses[:, :3, :3], poses[:, :3, 3] + rng.normal(size=(len(poses), 3)) * noise_mm)

    def rewrite(self, name, change):
        """Change the frame table of a recording."""
        path = self.folder / name / "frames.parquet"
        change(pd.read_parquet(path)).to_parquet(path)
        self.groups = [replace(group, recordings=[replace(r) for r in group.recordings]) for group in self.groups]

    def change_group(self, name, **fields):
        path = self.folder / name / "sfm.json"
        path.write_text(pd.Series(read_json(path) | fields).to_json())


@pytest.fixture
def material(tmp_path):
    return Material(tmp_path / "in")


def table_of(folder, name):
    table = pd.read_parquet(folder / f"{name}.parquet")
    return table, poses_from_columns(table, "world_from_camera")


def test_everything_lands_in_the_trackers_frame(tmp_path):
    material = Material(tmp_path / "in", unregistered={("scene", 7), ("scene", 8), ("driver", 0)})
    out = tmp_path / "poses"
    summary = solve_poses(material.groups, PosesConfig(), 0, out)
    assert (summary["mode"], summary["metric"]) == ("both", True)
    distance, angle = pose_difference(np.array(summary["camera_sensor_from_camera"]), SENSOR_FROM_CAMERA)
    assert distance < 0.15 and angle < 0.1
    assert summary["residual_mm"]["median"] < 0.2 and summary["residual_deg"]["median"] < 0.2
    for group, scale in SCALES.items():
        assert summary["groups"][group]["scale"] == pytest.approx(scale, rel=2e-3)
    for name, truth in material.truth.items():
        table, poses = table_of(out, name)
        assert table["valid"].all() and len(table) == 40
        distance, angle = pose_difference(poses, truth)
        assert distance.max() < 0.5 and angle.max() < 0.3
        assert read_json(out / f"{name}.camera.json")["camera"]["fx"] == 30.0
    scene, _ = table_of(out, "scene")
    assert (scene.loc[[7, 8], "source"] == "tracker").all() and (scene["source"] == "colmap").sum() == 38
    assert scene["residual_mm"].isna().sum() == 2
    assert summary["recordings"]["scene"]["sources"] == {"colmap": 38, "tracker": 2}
    tool = poses_from_columns(scene, "world_from_driver_sensor")
    assert pose_difference(tool, material.tool["scene"])[0].mean() < 0.15
    resting = poses_from_columns(table_of(out, "driver")[0], "world_from_driver_sensor")
    assert (resting == resting[0]).all()
    assert pose_difference(resting[0], material.tool["driver"][0])[0] < 0.05
    points = (out / "site.points.ply").read_bytes()
    assert b"element vertex 50" in points
    middle = np.frombuffer(points.split(b"end_header\n")[1], np.dtype("<f4,<f4,<f4,3u1"))
    centre = [middle[field].mean() for field in ("f0", "f1", "f2")]
    assert np.linalg.norm(centre - TRACKER_FROM_SITE[:3, 3]) < 8
    assert cv2.imread(str(out / "residuals.png")).shape[0] > 300


def test_same_input_gives_the_same_bytes(material, tmp_path):
    for name in ("a", "b"):
        solve_poses(material.groups, PosesConfig(), 0, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 10
    assert [sha256(tmp_path / "a" / name) for name in files] == [sha256(tmp_path / "b" / name) for name in files]


def test_colmap_alone_has_no_metric_scale(material, tmp_path):
    summary = solve_poses(material.groups, PosesConfig(use_tracker=False), 0, tmp_path / "poses")
    assert (summary["mode"], summary["metric"]) == ("colmap", False)
    assert summary["camera_sensor_from_camera"] is None and summary["residual_mm"] is None
    table, poses = table_of(tmp_path / "poses", "background")
    assert set(table["source"]) == {"colmap"} and not any("driver" in column for column in table)
    distance = np.linalg.norm(poses[:, :3, 3] - poses[:, :3, 3].mean(0), axis=1)
    assert distance.max() < 2 * NOMINAL_DISTANCE_MM
    relative = invert(poses[0]) @ poses
    true = invert(material.truth["background"][0]) @ material.truth["background"]
    assert pose_difference(relative, true)[1].max() < 1e-6  # rotations need no scale


def test_the_tracker_alone_needs_the_hand_eye_transform(material, tmp_path):
    for group in ("site", "driver"):
        material.change_group(group, usable=False)
    with pytest.raises(InputError, match=r"poses\.camera_sensor_from_camera"):
        solve_poses(material.groups, PosesConfig(), 0, tmp_path / "poses")
    config = PosesConfig(camera_sensor_from_camera=SENSOR_FROM_CAMERA.tolist())
    summary = solve_poses(material.groups, config, 0, tmp_path / "poses")
    assert (summary["mode"], summary["metric"]) == ("tracker", True)
    table, poses = table_of(tmp_path / "poses", "scene")
    assert set(table["source"]) == {"tracker"}
    assert pose_difference(poses, material.truth["scene"])[0].max() < 0.5


def test_a_checkerboard_gives_the_hand_eye_transform(material, tmp_path):
    for group in ("site", "driver"):
        material.change_group(group, usable=False)
    ingested = material.groups[0].recordings[0].summary
    found = {"camera_sensor_from_camera": SENSOR_FROM_CAMERA.tolist()}
    write_json(ingested, read_json(ingested) | {"hand_eye": {"checkerboard": found, "epipolar": None}})
    solve_poses(material.groups, PosesConfig(), 0, tmp_path / "poses")
    _, poses = table_of(tmp_path / "poses", "scene")
    assert pose_difference(poses, material.truth["scene"])[0].max() < 0.5


def test_the_tracker_stands_in_for_a_group_without_a_model(material, tmp_path):
    material.change_group("driver", usable=False)
    summary = solve_poses(material.groups, PosesConfig(), 0, tmp_path / "poses")
    assert summary["mode"] == "both" and summary["groups"]["driver"]["source"] == "tracker"
    table, poses = table_of(tmp_path / "poses", "driver")
    assert set(table["source"]) == {"tracker"}
    assert pose_difference(poses, material.truth["driver"])[0].max() < 0.8


def test_neither_tracker_nor_model(material, tmp_path):
    material.change_group("driver", usable=False, registered=3, frames=40)
    with pytest.raises(InputError, match="3 of 40 frames with a pose, and no tracker"):
        solve_poses(material.groups, PosesConfig(use_tracker=False), 0, tmp_path / "poses")


def test_a_tracker_log_of_another_recording_is_refused(material, tmp_path):
    for name in ("background", "scene"):
        sensor = orbit(np.random.default_rng(99), 40)

        def swap(table, sensor=sensor):
            table = table.copy()
            for index, field in enumerate(("tx", "ty", "tz")):
                table[f"tracker_from_camera_sensor_{field}"] = sensor[:, index, 3]
            for index, field in enumerate(("qw", "qx", "qy", "qz")):
                quaternion = matrix_to_quaternion(sensor[:, :3, :3])
                table[f"tracker_from_camera_sensor_{field}"] = quaternion[:, index]
            return table

        material.rewrite(name, swap)
    with pytest.raises(InputError):
        solve_poses(material.groups, PosesConfig(), 0, tmp_path / "poses")


def test_a_wrong_quaternion_order_is_refused(material, tmp_path):
    def scalar_last(table):
        columns = [f"tracker_from_camera_sensor_{field}" for field in ("qw", "qx", "qy", "qz")]
        values = table[columns].to_numpy()
        poses = pose_from_quaternion(np.roll(values, 1, axis=1), np.zeros((len(table), 3)))
        table = table.copy()
        table[columns] = matrix_to_quaternion(poses[:, :3, :3])
        return table

    for name in material.truth:
        material.rewrite(name, scalar_last)
    with pytest.raises(InputError, match="quaternion order"):
        solve_poses(material.groups, PosesConfig(), 0, tmp_path / "poses")


def test_a_tool_that_moves_in_its_own_recording_is_refused(material, tmp_path):
    def move(table):
        table = table.copy()
        table["tracker_from_driver_sensor_tx"] += np.linspace(0, 40, len(table))
        return table

    material.rewrite("driver", move)
    with pytest.raises(InputError, match="a tool at rest"):
        solve_poses(material.groups, PosesConfig(), 0, tmp_path / "poses")


def test_a_frame_without_any_pose_is_marked(material, tmp_path):
    def drop(table):
        table = table.copy()
        table.loc[5, [column for column in table if column.startswith("tracker_from_camera")]] = np.nan
        return table

    material.rewrite("scene", drop)
    group = material.groups[0]
    names = [name for recording in group.recordings for name in recording.image_names]
    names.remove("scene/000005.png")
    poses = np.stack([invert(material.truth[name.split("/")[0]][int(name[-10:-4])]) for name in names])
    write_sparse_model(group.model, names, poses, CAMERA, np.zeros((1, 3)), np.zeros((1, 3)))
    summary = solve_poses([group, material.groups[1]], PosesConfig(), 0, tmp_path / "poses")
    table, poses = table_of(tmp_path / "poses", "scene")
    assert not table.loc[5, "valid"] and np.isnan(poses[5]).all() and table.loc[5, "source"] == ""
    assert summary["recordings"]["scene"]["valid"] == 39


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3).tolist(), "4 rows of 4"),
        (np.diag([1.0, 1, 2, 1]).tolist(), "rotation"),
        (np.vstack([np.eye(4)[:3], [0, 0, 1, 1]]).tolist(), "last row"),
    ],
)
def test_the_configured_hand_eye_must_be_rigid(matrix, message):
    with pytest.raises(ValueError, match=message):
        PosesConfig(camera_sensor_from_camera=matrix)

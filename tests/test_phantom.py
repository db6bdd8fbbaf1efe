"""The phantom: its tracker errs as stated, its truth agrees with its videos, equal seeds give equal bytes."""

import av
import cv2
import numpy as np
import pandas as pd
import pytest
import trimesh

from splatscope.config.phantom import PhantomConfig
from splatscope.files import read_json
from splatscope.geometry import Camera, apply, invert, pose_difference, poses_from_columns
from splatscope.images import undistort
from splatscope.meshes.anatomy import Anatomy
from splatscope.meshes.endoscope import display_table
from splatscope.meshes.instruments import NeedleDriver
from splatscope.phantom import RECORDINGS, render_checkerboard_recording, render_recording, write_rig
from splatscope.phantom.motion import Operation, Orbit, SiteSweep
from splatscope.phantom.rig import WORKING_VOLUME_MM, make_rig
from splatscope.phantom.tracker import FieldDistortion, measure, missing_rows
from splatscope.shards import read_shard, verify_shard

TINY = PhantomConfig(width=160, height=128, needle_driver_s=0.3, frames_per_second=20)


def render_tool(folder, seed: int = 5) -> dict:
    paths = {
        "video_path": folder / "video.mp4",
        "tracker_path": folder / "tracker.csv",
        "truth_frames_path": folder / "truth.tar",
        "truth_poses_path": folder / "truth.parquet",
    }
    render_recording("needle_driver", TINY, seed, **paths)
    return paths


@pytest.fixture(scope="module")
def tool_recording(tmp_path_factory) -> dict:
    return render_tool(tmp_path_factory.mktemp("tool"))


def read_video(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read_readings(path, sensor: str) -> tuple[np.ndarray, np.ndarray]:
    """Times [N] and quaternion + position [N, 7] of the valid rows, read without the project's own reader."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    start = next(index for index, cell in enumerate(lines[0]) if f": {sensor} s/n:" in cell)
    assert lines[0][start + 1 : start + 14] == (
        ["Frame", "Time [sec]", "Face", "State", "Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz", "Error", "Markers"]
    )
    rows = [row[start + 1 : start + 14] for row in lines[1:] if row[start + 4] == "OK"]
    return np.array([float(row[1]) for row in rows]), np.array([[float(cell) for cell in row[4:11]] for row in rows])


def test_same_seed_gives_the_same_bytes(tool_recording, tmp_path):
    again = render_tool(tmp_path / "again")
    for key, path in tool_recording.items():
        assert path.read_bytes() == again[key].read_bytes(), key


def test_truth_agrees_with_the_video(tool_recording, tmp_path):
    write_rig(TINY, 5, tmp_path / "calibration.yaml", tmp_path / "truth.json", tmp_path / "tool.ply")
    camera = Camera.from_dict(read_json(tmp_path / "truth.json")["camera"])
    vertices = trimesh.sample.sample_surface(trimesh.load(tmp_path / "tool.ply"), 30000, seed=0)[0]
    table = pd.read_parquet(tool_recording["truth_poses_path"])
    cameras, tools = (poses_from_columns(table, f"world_from_{name}") for name in ("camera", "needle_driver"))
    verify_shard(tool_recording["truth_frames_path"])
    frames = list(read_shard(tool_recording["truth_frames_path"]))
    video = read_video(tool_recording["video_path"])
    assert len(frames) == len(video) == len(table) == 6
    for frame, image, world_from_camera, world_from_tool in zip(frames, video, cameras, tools):
        points = apply(invert(world_from_camera) @ world_from_tool, vertices)
        pixels = camera.undistorted().project(points[points[:, 2] > 5]).astype(int)
        inside = (pixels >= 2).all(1) & (pixels[:, 0] < camera.width - 2) & (pixels[:, 1] < camera.height - 2)
        grown = cv2.dilate((frame.instance_map == 1).astype(np.uint8), np.ones((3, 3)))
        column, row = pixels[inside].T
        assert grown[row, column].mean() > 0.98
        hit = np.zeros_like(grown)
        hit[row, column] = 1
        assert cv2.dilate(hit, np.ones((5, 5)))[frame.instance_map == 1].mean() > 0.9
        assert (frame.amodal_mask(1) >= frame.visible_mask(1)).all() and set(np.unique(frame.class_map)) <= {0, 14}
        # the drape is blue, the tool is not: the undistorted video must agree with the mask
        seen = undistort(image, camera).astype(float)
        blueness = seen[..., 2] - seen[..., 0]
        tool, drape = cv2.erode(grown, np.ones((7, 7))) == 1, cv2.dilate(grown, np.ones((7, 7))) == 0
        assert blueness[drape].mean() - blueness[tool].mean() > 8


def test_calibration_is_opencvs(tmp_path):
    write_rig(TINY, 5, tmp_path / "c.yaml", tmp_path / "truth.json", tmp_path / "tool.ply")
    storage = cv2.FileStorage(str(tmp_path / "c.yaml"), cv2.FILE_STORAGE_READ)
    camera = Camera.from_opencv(
        storage.getNode("image_width").real(),
        storage.getNode("image_height").real(),
        storage.getNode("camera_matrix").mat(),
        storage.getNode("distortion_coefficients").mat(),
    )
    truth = read_json(tmp_path / "truth.json")
    expected = Camera.from_dict(truth["camera"])
    assert np.allclose(camera.matrix, expected.matrix) and np.allclose(camera.distortion, expected.distortion)
    assert set(truth["clock_offset_s"]) == set(RECORDINGS) and len(set(truth["clock_offset_s"].values())) == 4
    assert all(abs(offset) <= 0.4 for offset in truth["clock_offset_s"].values())
    sensor = np.array(truth["camera_sensor_from_camera"])
    assert 20 < np.linalg.norm(sensor[:3, 3]) < 60 and np.linalg.det(sensor[:3, :3]) == pytest.approx(1)


def test_display_table_is_monotonic():
    table = display_table().astype(int)
    assert (np.diff(table) >= 0).all() and table[0] == 0 and table[-1] < 255


def test_field_distortion_has_the_stated_rms_and_is_smooth():
    field = FieldDistortion(3, 0.5, 0.3)
    points = np.random.default_rng(0).uniform(*WORKING_VOLUME_MM, (20000, 3))
    shift, turn = field(points)
    assert np.sqrt((shift**2).sum(1).mean()) == pytest.approx(0.5, rel=0.1)
    assert np.degrees(np.sqrt((turn**2).sum(1).mean())) == pytest.approx(0.3, rel=0.1)
    near, _ = field(points + np.array([2.0, 0, 0]))
    assert np.linalg.norm(near - shift, axis=1).max() < 0.08


def test_jitter_has_the_stated_rms_and_noise_can_be_switched_off():
    poses = np.tile(make_rig(TINY, 0).world_from_site, (20000, 1, 1))
    config = PhantomConfig(field_distortion_mm=0, field_distortion_deg=0)
    field = FieldDistortion(0, 0.0, 0.0)
    distance, angle = pose_difference(poses, measure(poses, config, field, np.random.default_rng(0)))
    assert np.sqrt((distance**2).mean()) == pytest.approx(0.05, rel=0.02)
    assert np.sqrt((angle**2).mean()) == pytest.approx(0.05, rel=0.02)
    quiet = measure(poses, PhantomConfig(tracker_noise=False), field, np.random.default_rng(0))
    assert (quiet == poses).all()


def test_gaps_are_single_rows_and_short_outages():
    missing = missing_rows(40000, PhantomConfig(), np.random.default_rng(0))
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], missing.view(np.int8), [0]]))))[::2]
    outages = (runs > 5).sum()
    assert 120 < outages < 280 and runs.max() <= 30  # 1000 s, one about every 5 s
    assert 0.01 < (runs == 1).sum() / 40000 < 0.02


def test_tracker_log_reads_the_sensors_at_the_tracker_clock(tool_recording):
    rig = make_rig(TINY, 5)
    times, values = read_readings(tool_recording["tracker_path"], "camera")
    orbit = Orbit(5, TINY.needle_driver_s)
    assert times.min() >= 0 and np.allclose(times * 40, np.round(times * 40))
    truth = np.stack(
        [rig.world_from_bench @ orbit.bench_from_camera(time - rig.clock_offset_s["needle_driver"]) for time in times]
    ) @ invert(rig.camera_sensor_from_camera)
    assert np.linalg.norm(values[:, 4:] - truth[:, :3, 3], axis=1).max() < 2.0
    _, tool = read_readings(tool_recording["tracker_path"], "needle_driver")
    assert np.linalg.norm(tool[:, 4:] - tool[:, 4:].mean(0), axis=1).max() < 0.3  # it lies still


def test_scene_sees_the_tool_as_its_recording_did_and_never_through_tissue():
    seed = 0
    tool, anatomy = NeedleDriver(), Anatomy(seed)
    orbit = Orbit(seed, 14.0)
    camera = make_rig(PhantomConfig(), seed).camera.undistorted()
    middle = np.array([0, 0, -15.0])

    def direction(tool_from_camera):
        offset = tool_from_camera[:3, 3] - middle
        return offset / np.linalg.norm(offset)

    views = [invert(Orbit.BENCH_FROM_TOOL) @ orbit.bench_from_camera(time) for time in np.arange(0, 14, 0.05)]
    trained = np.stack([direction(view) for view in views])
    axis = np.column_stack([np.zeros((60, 2)), np.linspace(-100, 20, 60)])

    def seen(tool_from_camera):
        points = apply(invert(tool_from_camera), axis)
        pixels = camera.project(np.maximum(points, [-1e9, -1e9, 1]))
        return (points[:, 2] > 5) & (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1)

    often = np.sum([seen(view) for view in views], axis=0) > 0.2 * len(views)
    moved = PhantomConfig()
    for index, turns in enumerate(((0.0, 0.0), (moved.test_port_deg, moved.test_roll_deg))):
        operation = Operation(seed, index, anatomy, tool.tip, *turns)
        angles, tips = [], []
        for time in np.arange(0, 8, 0.2):
            site_from_tool = operation.site_from_tool(time)
            tool_from_camera = invert(site_from_tool) @ operation.site_from_camera(time)
            angles.append(np.degrees(np.arccos(min(1, (trained @ direction(tool_from_camera)).max()))))
            inside = seen(tool_from_camera)
            assert often[inside].all() and inside[-1] and not inside[0]  # tip in the picture, shaft leaves it
            shaft = apply(site_from_tool, np.array([[0, 0, z] for z in (-8.0, -20, -35)]))
            assert anatomy.distance(shaft).min() > tool.shaft_radius_mm - 1.0
            tips.append(apply(site_from_tool, tool.tip[None])[0])
        assert np.percentile(angles, 90) < 9 and max(angles) < 12
        speed = np.linalg.norm(np.diff(tips, axis=0), axis=1) / 0.2
        assert 6 < np.median(speed) < 30 and speed.max() < 80
        assert anatomy.distance(np.array(tips)).min() < 2.0  # it works at the tissue


def test_background_turns_about_two_axes_at_steady_distance():
    sweep = SiteSweep(0, 12.0)
    poses = np.stack([sweep.site_from_camera(time) for time in np.arange(0, 12, 0.05)])
    forward = poses[:, :3, 2]
    for axis in (0, 1):
        assert np.degrees(np.arcsin(forward[:, axis])).max() > 25 > -25 > np.degrees(np.arcsin(forward[:, axis])).min()
    step, turn = pose_difference(poses[:-1], poses[1:])
    assert step.max() / 0.05 < 160 and turn.max() / 0.05 < 120
    assert np.std(step) > 0.15 * np.mean(step)  # its speed varies: clocks can be aligned by it


def test_checkerboard_recording_can_calibrate(tmp_path):
    config = PhantomConfig(width=320, height=256, tracker_noise=False, frames_per_second=10)
    video, log = tmp_path / "board.mp4", tmp_path / "board.csv"
    render_checkerboard_recording(config, 2, video, log, duration_s=2.0)
    rig = make_rig(config, 2)
    squares = np.array([[x * 6.0, y * 6.0, 0] for y in range(6) for x in range(9)], np.float32)
    errors = []
    for image in read_video(video):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        found, corners = cv2.findChessboardCornersSB(grey, (9, 6))
        if found:
            matrix, lens = rig.camera.opencv_matrix, np.array(rig.camera.distortion)
            _, turn, shift = cv2.solvePnP(squares, corners, matrix, lens)
            projected = cv2.projectPoints(squares, turn, shift, matrix, lens)[0]
            errors.append(np.sqrt(((projected - corners) ** 2).sum(-1).mean()))
    assert len(errors) > 12 and np.median(errors) < 0.15
    times, _ = read_readings(log, "camera")
    assert len(times) > 60


def test_settings_are_checked():
    with pytest.raises(ValueError):
        PhantomConfig(background_s=0)
    with pytest.raises(ValueError):
        PhantomConfig(widht=640)

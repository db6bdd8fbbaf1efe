"""Extraction: which Gaussians are the tool, and in which frame they end."""

import json

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from splat_samples import (
    CAMERA,
    SENSOR,
    circling_cameras,
    gaussians_at,
    plane_splat,
    tool_in_world,
    tool_recording_splat,
    write_recording,
)
from splatscope.compositing import composite, silhouette
from splatscope.config.extract import ExtractConfig
from splatscope.errors import InputError
from splatscope.extract import extract_tool
from splatscope.extract.filters import central_cluster, common_view_point, support_plane
from splatscope.extract.placement import find_shaft, robust_mean_pose
from splatscope.geometry import apply, invert, make_transform, pose_difference, quaternion_to_matrix
from splatscope.splats.gaussians import concatenate, read_ply, write_ply

CENTRE = np.array([0.0, 0.0, 50.0])


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr("splatscope.extract.picture.WIDTH", 80)
    monkeypatch.setattr("splatscope.extract.tool.VOTING_WIDTH", 80)


@pytest.fixture
def recording(tmp_path):
    """A tool recording's splat with its truth, its poses written to disk."""
    rng = np.random.default_rng(0)
    splat, truth = tool_recording_splat(rng)
    write_ply(tmp_path / "model.ply", splat)
    cameras = circling_cameras(CENTRE, 100, 24)
    noise = np.array(
        [
            make_transform(quaternion_to_matrix(np.array([1, *rng.normal(0, 4e-4, 3)])), rng.normal(0, 0.05, 3))
            for _ in cameras
        ]
    )
    sensors = SENSOR @ noise
    sensors[3] = SENSOR @ make_transform(quaternion_to_matrix(np.array([0.7, 0.7, 0, 0])), [90, 0, 0])  # a glitch
    sensors[5] = np.nan
    write_recording(tmp_path, "driver", cameras, {"driver": sensors})
    return tmp_path, splat, truth


def run(folder, config=None, **options):
    outputs = {
        "tool_ply": folder / "out/tool.ply",
        "paper_ply": folder / "out/tool_paper.ply",
        "report_json": folder / "out/extract.json",
        "picture_png": folder / "out/extract.png",
    }
    extract_tool(
        "driver",
        folder / "model.ply",
        folder / "driver.parquet",
        folder / "driver.camera.json",
        config or ExtractConfig(),
        options.pop("seed", 0),
        **(outputs | options),
    )
    return json.loads(outputs["report_json"].read_text())


def labels_of(folder, splat):
    """bool [N]: which Gaussians of the recording's splat are in tool.ply, by their place in the world."""
    means = apply(SENSOR, read_ply(folder / "out/tool.ply").means.double().numpy())
    return cKDTree(means).query(splat.means.numpy())[0] < 0.3


def test_the_tool_is_told_from_support_floaters_and_haze(recording):
    folder, splat, truth = recording
    report = run(folder)
    kept = labels_of(folder, splat)
    assert (kept & truth).sum() / truth.sum() > 0.98  # recall
    assert (kept & truth).sum() / kept.sum() > 0.98  # precision
    steps = [entry["gaussians"] for entry in report["counts"]]
    assert steps[0] == len(splat) and steps == sorted(steps, reverse=True)
    assert (read_ply(folder / "out/tool.ply").labels == 1).all()
    picture = cv2.imread(str(folder / "out/extract.png"))
    assert picture.shape == (3 * 64, 3 * 80, 3) and picture.std() > 10


def test_the_support_plane_is_found_and_removed(recording):
    folder, _, _ = recording
    plane = run(folder)["plane"]
    assert np.allclose(plane["normal"], [0, 0, 1], atol=0.01) and abs(plane["offset_mm"]) < 0.3
    world = apply(SENSOR, read_ply(folder / "out/tool.ply").means.double().numpy())
    assert world[:, 2].min() > 3


def test_the_result_is_in_the_frame_of_the_sensor(recording):
    folder, _, _ = recording
    report = run(folder)
    distance, angle = pose_difference(np.array(report["world_from_sensor"]), SENSOR)
    assert distance < 0.05 and angle < 0.05  # the glitch does not pull the mean
    assert report["sensor_poses"] == 23
    low, high = (np.array(report["bounding_box_mm"][name]) for name in ("lowest", "highest"))
    corners = apply(invert(SENSOR), np.array([[-10, -3, 47], [60, 3, 53.0]]))
    assert np.allclose(low, corners.min(0), atol=0.5) and np.allclose(high, corners.max(0), atol=0.5)


def test_sensor_frame_and_world_look_the_same(recording):
    """The extracted splat seen by a camera moved into the sensor's frame gives the tool's own silhouette."""
    folder, _, _ = recording
    run(folder)
    tool = read_ply(folder / "out/tool.ply")
    camera_pose = circling_cameras(CENTRE, 90, 5)[2]
    rng = np.random.default_rng(0)
    expected = silhouette(tool_in_world(rng), CAMERA, camera_pose)
    found = silhouette(tool, CAMERA, invert(SENSOR) @ camera_pose)
    assert np.abs(expected - found).mean() < 0.01


def test_tip_shaft_and_view_directions(recording):
    folder, _, _ = recording
    report = run(folder)
    tip = apply(SENSOR, np.array([report["tip_mm"]]))[0]
    assert np.allclose(tip, [-10, 0, 50], atol=2)  # the end nearer to where the cameras look
    assert np.allclose(SENSOR[:3, :3] @ report["shaft_direction"], [1, 0, 0], atol=0.05)
    assert abs(report["shaft_length_mm"] - 70) < 2
    directions = np.array(report["view_directions"]) @ SENSOR[:3, :3].T
    assert directions.shape == (24, 3) and (directions[:, 2] > 0.2).all()  # all cameras are above


def test_the_end_that_leaves_the_images_is_not_the_tip():
    points = np.column_stack([np.linspace(-20, 300, 500), np.zeros((500, 2))])
    cameras = circling_cameras([150.0, 0, 0], 100, 12)  # look at the far half, but only the near end is in view
    cameras[:, 0, 3] -= 150
    shaft = find_shaft(points, np.array([290.0, 0, 0]), cameras, CAMERA)
    assert shaft.tip[0] < 0 and shaft.direction[0] > 0.99
    named = find_shaft(points, np.zeros(3), cameras, CAMERA, tip=np.array([301.0, 1, 0]))
    assert named.tip[0] == 301 and named.direction[0] < -0.99


def test_same_seed_same_bytes(recording):
    folder, _, _ = recording
    run(folder)
    first = [path.read_bytes() for path in sorted((folder / "out").iterdir())]
    run(folder)
    assert [path.read_bytes() for path in sorted((folder / "out").iterdir())] == first


def test_the_plane_does_not_depend_on_the_seed(recording):
    folder, _, _ = recording
    planes = [run(folder, seed=seed)["plane"]["offset_mm"] for seed in (1, 2)]
    assert abs(planes[0] - planes[1]) < 0.05


def test_masks_vote_a_clamp_out(recording):
    """A holder that touches the tool is only told apart by masks."""
    folder, splat, truth = recording
    rng = np.random.default_rng(1)
    clamp = gaussians_at(rng.uniform([50, -3, 53], [60, 3, 75], (400, 3)), 0.8, (0.1, 0.1, 0.1))
    write_ply(folder / "model.ply", concatenate([splat, clamp]))
    without = run(folder)
    cameras = circling_cameras(CENTRE, 100, 24)
    (folder / "masks").mkdir()
    tool = tool_in_world(np.random.default_rng(0))
    for index in range(0, 24, 3):
        mask = (composite(clamp, [tool], CAMERA, cameras[index]).weights[..., 0] > 0.5).astype(np.uint8) * 255
        cv2.imwrite(str(folder / f"masks/{3 * index:06d}.png"), mask)
    voted = run(folder, ExtractConfig(masks={"driver": folder / "masks"}))
    assert without["counts"][-1]["gaussians"] > truth.sum() + 300
    kept = read_ply(folder / "out/tool.ply")
    world = apply(SENSOR, kept.means.double().numpy())
    assert (world[:, 2] > 55).sum() < 0.02 * len(world)
    assert voted["counts"][-1]["gaussians"] > 0.7 * truth.sum()


def test_axis_radius_cuts_what_stands_off_the_shaft(recording):
    folder, splat, truth = recording
    rng = np.random.default_rng(1)
    clamp = gaussians_at(rng.uniform([50, -3, 53], [60, 3, 75], (200, 3)), 0.8, (0.1, 0.1, 0.1))
    write_ply(folder / "model.ply", concatenate([splat, clamp]))
    run(folder, ExtractConfig(axis_radius_mm=9))
    world = apply(SENSOR, read_ply(folder / "out/tool.ply").means.double().numpy())
    assert world[:, 2].max() < 63 and len(world) > 0.98 * truth.sum()


def test_paper_mode_is_a_plain_ball_in_the_world(recording):
    folder, splat, _ = recording
    report = run(folder, ExtractConfig(paper_radius_mm=20))
    paper = read_ply(folder / "out/tool_paper.ply")
    distance = np.linalg.norm(splat.means.numpy() - np.array(report["centre_mm"]), axis=1)
    assert len(paper) == report["paper_gaussians"] == (distance <= 20).sum()
    assert np.linalg.norm(paper.means.numpy() - CENTRE, axis=1).max() < 21


def test_common_view_point_is_robust():
    cameras = circling_cameras(CENTRE, 100, 30)
    assert np.allclose(common_view_point(cameras), CENTRE, atol=1e-6)
    stray = circling_cameras([400.0, 0, 0], 100, 6)
    assert np.allclose(common_view_point(np.concatenate([cameras, stray])), CENTRE, atol=0.5)
    parallel = np.repeat(np.eye(4)[None], 5, axis=0)
    parallel[:, 0, 3] = np.arange(5)
    assert common_view_point(parallel) is None


def test_no_plane_where_there_is_none():
    rng = np.random.default_rng(0)
    cloud = rng.normal(0, 40, (3000, 3))
    assert support_plane(cloud, CENTRE, np.array([[0, 0, 200.0]]), 1.0, 0.1, rng) is None


def test_the_largest_plane_above_the_tool_is_no_support():
    rng = np.random.default_rng(0)
    ceiling = np.column_stack([rng.uniform(-100, 100, (3000, 2)), np.full(3000, 90.0)])
    floor = plane_splat(rng, 1000).means.double().numpy()
    plane = support_plane(np.concatenate([ceiling, floor]), CENTRE, np.array([[0, 50, 120.0]]), 3.0, 0.1, rng)
    assert abs(plane.offset) < 0.5


def test_the_cluster_nearest_the_centre_wins_not_the_largest():
    rng = np.random.default_rng(0)
    near, far = rng.normal(0, 3, (200, 3)), rng.normal(60, 6, (2000, 3))
    stray = np.array([[0, 0, 20.0]])
    points = np.concatenate([near, far, stray])
    chosen = central_cluster(points, np.full(len(points), 0.8), np.array([0, 0, 18.0]), 1.5, 0.02)
    assert chosen[:200].mean() > 0.95 and not chosen[200:].any()


def test_robust_mean_pose_of_equal_poses_is_that_pose():
    mean, distances, angles = robust_mean_pose(np.repeat(SENSOR[None], 5, axis=0))
    assert np.allclose(mean, SENSOR) and distances.max() < 1e-9 and angles.max() < 1e-5


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"min_opacity": 0.99}, "min_opacity"),
        ({"max_scale_mm": 0.01}, "max_scale_mm"),
        ({"radius_mm": 0.5}, "radius_mm"),
        ({"plane_tolerance_mm": 5.0}, "plane_tolerance_mm"),
        ({"cluster_min_share": 1.0, "cluster_gap_mm": 0.01}, "cluster_min_share"),
        ({"paper_radius_mm": 0.5}, "paper_radius_mm"),
    ],
)
def test_nothing_left_names_the_setting(recording, config, key):
    folder, splat, _ = recording
    if key == "plane_tolerance_mm":  # a tool lying on its support
        keep = splat.means[:, 2] < 5
        write_ply(folder / "model.ply", splat.select(keep))
    with pytest.raises(InputError, match=rf"extract\.{key}"):
        run(folder, ExtractConfig(**config))


def test_a_tool_that_moved_is_refused(recording):
    folder, _, _ = recording
    cameras = circling_cameras(CENTRE, 100, 24)
    sensors = np.repeat(SENSOR[None], 24, axis=0)
    sensors[:, 0, 3] += np.linspace(0, 30, 24)
    write_recording(folder, "driver", cameras, {"driver": sensors})
    with pytest.raises(InputError, match="must not move"):
        run(folder)


def test_a_tool_without_sensor_needs_the_centre_frame(recording):
    folder, _, _ = recording
    write_recording(folder, "driver", circling_cameras(CENTRE, 100, 24))
    with pytest.raises(InputError, match=r"extract\.frame"):
        run(folder)
    report = run(folder, ExtractConfig(frame="centre"))
    assert np.allclose(np.array(report["world_from_sensor"])[:3, 3], CENTRE, atol=1e-3)


@pytest.mark.parametrize("content", ["empty", "wrong names", "missing"])
def test_unusable_masks_are_refused(recording, content):
    folder, _, _ = recording
    if content != "missing":
        (folder / "masks").mkdir()
    if content == "wrong names":
        cv2.imwrite(str(folder / "masks/first.png"), np.zeros((64, 80), np.uint8))
    with pytest.raises(InputError, match="masks"):
        run(folder, ExtractConfig(masks={"driver": folder / "masks"}))


def test_too_few_valid_poses_are_refused(recording):
    folder, _, _ = recording
    write_recording(folder, "driver", circling_cameras(CENTRE, 100, 24), valid=np.arange(24) < 2)
    with pytest.raises(InputError, match="at least 3"):
        run(folder)


def test_an_empty_splat_is_refused(recording):
    folder, splat, _ = recording
    write_ply(folder / "model.ply", splat.select(torch.zeros(len(splat), dtype=torch.bool)))
    with pytest.raises(InputError, match="no Gaussian"):
        run(folder)

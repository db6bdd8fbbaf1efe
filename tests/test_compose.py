"""Composing: replayed poses, sampled scenes and the limits they obey."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from splat_samples import (
    CAMERA,
    CLASSES,
    DIRECTION,
    SENSOR,
    TIP,
    circling_cameras,
    extract_report,
    plane_splat,
    tool_in_world,
    write_recording,
)
from splatscope.classes import read_class_table
from splatscope.compose import compose_replay, sample_scenes
from splatscope.compose import recipe as draw
from splatscope.compose.sampling import Material, Tool, sample_scene, tool_shape
from splatscope.compose.scene_list import read_scene_list, tool_class_names
from splatscope.compositing import composite, instance_map, silhouette
from splatscope.config.compose import ComposeConfig, RecipeConfig
from splatscope.errors import InputError
from splatscope.geometry import Camera, apply, invert, pose_difference, poses_from_columns, rotation_angle_deg
from splatscope.splats.gaussians import read_ply, write_ply

SMALL = {"width": 80, "height": 64}


@pytest.fixture
def classes(tmp_path):
    (tmp_path / "classes.tsv").write_text(CLASSES)
    return tmp_path / "classes.tsv"


def replay(folder, classes, tables, dataset="replay", tools=("needle_driver",), **config):
    outputs = {"scenes_parquet": folder / "scenes.parquet", "scenes_json": folder / "scenes.json"}
    compose_replay(
        dataset,
        {name: table for name, (table, _) in tables.items()},
        {name: camera for name, (_, camera) in tables.items()},
        {tool: extract_report(folder / f"{tool}.json") for tool in tools},
        classes,
        ComposeConfig(**(SMALL | config)),
        7,
        **outputs,
    )
    return read_scene_list(*outputs.values())


@pytest.fixture
def scene_recording(tmp_path):
    """40 frames, two of them without a camera and three without a tool pose."""
    cameras = circling_cameras([0, 0, 0], 100, 40)
    sensors = np.repeat(SENSOR[None], 40, axis=0)
    sensors[:, 2, 3] += np.linspace(0, 20, 40)
    sensors[[7, 8, 9]] = np.nan
    valid = np.ones(40, bool)
    valid[[0, 20]] = False
    return cameras, sensors, {"scene": write_recording(tmp_path, "scene", cameras, {"needle_driver": sensors}, valid)}


def test_replay_gives_back_the_recorded_poses(tmp_path, classes, scene_recording):
    cameras, sensors, tables = scene_recording
    header, scenes = replay(tmp_path, classes, tables)
    assert len(scenes) == 35 and header.mode == "exact" and header.roles == ["site", "needle_driver"]
    assert header.rejected == {"camera_pose_invalid": 2, "tool_pose_invalid": 3, "not_needed": 0}
    for scene in scenes:
        row = scene.source_frame // 3
        assert np.allclose(scene.world_from_camera, cameras[row], atol=1e-12)
        (placement,) = scene.placements
        assert np.allclose(placement.world_from_tool_sensor, sensors[row], atol=1e-12)
        assert (placement.tool, placement.instance, placement.class_id) == ("needle_driver", 1, 14)
        assert scene.recording == "scene"
    assert not {0, 7, 8, 9, 20} & {scene.source_frame // 3 for scene in scenes}


def test_replay_spreads_over_shards_and_recordings(tmp_path, classes, scene_recording):
    cameras, sensors, tables = scene_recording
    other = write_recording(tmp_path, "other", cameras[:10], {"needle_driver": sensors[10:20]})
    _, scenes = replay(tmp_path, classes, tables | {"other": other}, replay_frames=20, shard_size=8)
    assert [scene.key for scene in scenes] == [f"{index:06d}" for index in range(20)]
    assert [scene.shard for scene in scenes] == [index // 8 for index in range(20)]
    assert {scene.recording for scene in scenes} == {"scene", "other"}
    assert len({scene.seed for scene in scenes}) == 20
    assert ComposeConfig(replay_frames=20, shard_size=8).shard_count("replay") == 3


@pytest.mark.parametrize("frames, shards, size", [(100, 1, 128), (256_000, 2000, 128), (1_000_000, 2000, 500)])
def test_shards_grow_where_they_would_be_too_many(frames, shards, size):
    config = ComposeConfig(replay_frames=129, recipe={"frames": frames})
    assert (config.shard_count("sampled"), config.frames_per_shard("sampled")) == (shards, size)
    assert (config.shard_count("replay"), config.frames_per_shard("replay")) == (2, 128)
    assert config.model_copy(update={"shard_size": 8}).frames_per_shard("sampled") == 8


def test_replay_scales_and_undistorts_the_camera(tmp_path, classes, scene_recording):
    cameras, sensors, _ = scene_recording
    distorted = Camera(160, 128, 150.0, 150.0, 81.0, 63.0, (0.1, 0, 0, 0))
    table = write_recording(tmp_path, "wide", cameras, {"needle_driver": sensors}, camera=distorted)
    header, _ = replay(tmp_path, classes, {"wide": table})
    assert header.cameras["wide"] == Camera(80, 64, 75.0, 75.0, 40.5, 31.5)


def test_paper_replay_knows_how_the_tool_was_recorded(tmp_path, classes, scene_recording):
    header, _ = replay(tmp_path, classes, scene_recording[2], dataset="replay_paper")
    assert header.mode == "paper"
    assert np.allclose(header.recorded_poses["needle_driver"], SENSOR)


def test_replay_without_any_tool(tmp_path, classes, scene_recording):
    header, scenes = replay(tmp_path, classes, scene_recording[2], tools=())
    assert len(scenes) == 38 and not scenes[0].placements and header.roles == ["site"]


def test_a_tool_that_no_scene_tracks_is_refused(tmp_path, classes, scene_recording):
    with pytest.raises(InputError, match="world_from_hook_sensor"):
        replay(tmp_path, classes, scene_recording[2], tools=("needle_driver", "hook"))


def test_no_valid_frame_is_refused(tmp_path, classes, scene_recording):
    cameras, sensors, _ = scene_recording
    table = write_recording(tmp_path, "bad", cameras, {"needle_driver": sensors}, np.zeros(40, bool))
    with pytest.raises(InputError, match="no frame with all poses"):
        replay(tmp_path, classes, {"bad": table})


def test_an_unknown_class_is_refused(tmp_path, classes, scene_recording):
    with pytest.raises(InputError, match="tool_classes"):
        replay(tmp_path, classes, scene_recording[2], tool_classes={"needle_driver": "scissors"})
    with pytest.raises(InputError, match="'background'"):
        tool_class_names(["x"], {"x": "background"}, read_class_table(classes), classes)
    assert tool_class_names(["needle_driver"], {"needle_driver": "hook"}, read_class_table(classes), classes) == {
        "needle_driver": "hook"
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "name\tid\n",
        "id\tname\n0\tbackground\n1\n",
        "id\tname\n0\tbackground\n-1\tx\n",
        "id\tname\n0\tbackground\n256\tx\n",
        "id\tname\n0\tbackground\n1.0\tx\n",
        "id\tname\n0\tbackground\n1\tx\n1\ty\n",
        "id\tname\n0\tbackground\n1\tx\n2\tx\n",
        "id\tname\n0\tbackground\n1\t \n",
        "id\tname\n1\tliver\n",
    ],
)
def test_a_malformed_class_table_is_refused(tmp_path, content):
    (tmp_path / "classes.tsv").write_text(content)
    with pytest.raises(InputError, match=r"classes\.tsv"):
        read_class_table(tmp_path / "classes.tsv")


def test_the_class_table_that_ships(repository):
    table = read_class_table(repository / "resources/classes.tsv")
    assert table["needle driver"] == 14 and table["ignore"] == 255


RECIPE = {
    "frames": 6,
    "tools_per_frame": {0: 0.2, 1: 0.4, 2: 0.4},
    "min_area_px": 30,
    "min_depth_mm": 10.0,
    "shaft_leaves_image": False,
    "min_visibility": 0.6,
    "min_tool_gap_mm": 7.0,
    "coverage_deg": 10.0,
}


def sampling_material(folder):
    rng = np.random.default_rng(0)
    cameras = np.concatenate([circling_cameras([x, 0, 0], 90, 12, (60, 75)) for x in (-10, 10)])
    write_ply(folder / "site.ply", plane_splat(rng, 900, 120, scale=7.0))
    write_ply(folder / "tool.ply", tool_in_world(rng, 300).transformed(invert(SENSOR)))
    table, camera = write_recording(folder, "background", cameras)
    return {
        "site_ply": folder / "site.ply",
        "tool_plys": {"needle_driver": folder / "tool.ply"},
        "extract_reports": {"needle_driver": extract_report(folder / "extract.json")},
        "pose_tables": {"background": table},
        "scene_tables": {},
        "cameras": {"background": camera},
    }, cameras


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """(folder, config, header, scenes) of six sampled frames."""
    folder = tmp_path_factory.mktemp("sampled")
    (folder / "classes.tsv").write_text(CLASSES)
    files, cameras = sampling_material(folder)
    config = ComposeConfig(**SMALL, shard_size=4, recipe=RecipeConfig(**RECIPE))
    outputs = {"scenes_parquet": folder / "sampled.parquet", "scenes_json": folder / "sampled.json"}
    sample_scenes(**files, class_table=folder / "classes.tsv", config=config, seed=3, **outputs)
    return folder, config, files, cameras, *read_scene_list(*outputs.values())


def material_of(files, cameras):
    tool = read_ply(files["tool_plys"]["needle_driver"])
    report = json.loads(files["extract_reports"]["needle_driver"].read_text())
    return Material(
        read_ply(files["site_ply"]),
        [Tool("needle_driver", 14, tool, tool_shape(tool, report))],
        {"background": CAMERA},
        {"background": cameras},
    )


def test_sampled_frames_obey_every_limit(sampled):
    _, config, files, known, _, scenes = sampled
    recipe, material = config.recipe, material_of(files, known)
    tool = material.tools[0]
    assert len(scenes) == 6 and [scene.shard for scene in scenes] == [0, 0, 0, 0, 1, 1]
    assert sum(len(scene.placements) for scene in scenes) >= 3
    for scene in scenes:
        distances, angles = pose_difference(known, scene.world_from_camera[None])
        assert ((distances < recipe.camera_limit_mm) & (angles < recipe.camera_limit_deg)).any()
        moved = [tool.gaussians.transformed(item.world_from_tool_sensor) for item in scene.placements]
        image = composite(material.site, moved, CAMERA, scene.world_from_camera)
        empty = composite(material.site, [], CAMERA, scene.world_from_camera)
        assert (empty.alpha > 0.5).mean() >= recipe.min_site_coverage
        instances = instance_map(image.weights, 0.5)
        axes = []
        for item, gaussians in zip(scene.placements, moved):
            camera_from_tool = invert(scene.world_from_camera) @ item.world_from_tool_sensor
            visible = (instances == item.instance).sum()
            amodal = (
                (silhouette(gaussians, CAMERA, scene.world_from_camera) > 0.5) | (instances == item.instance)
            ).sum()
            assert visible >= recipe.min_area_px and visible / amodal >= recipe.min_visibility
            assert draw.coverage_angle_deg(camera_from_tool, tool.shape) <= recipe.coverage_deg + 1e-6
            tip = apply(camera_from_tool, TIP[None])[0]
            pixel = CAMERA.project(tip[None])[0] / [CAMERA.width, CAMERA.height]
            assert ((pixel >= recipe.tip_margin) & (pixel <= 1 - recipe.tip_margin)).all()
            assert recipe.min_depth_mm <= tip[2] <= recipe.max_depth_mm
            tissue = empty.depth[int(pixel[1] * CAMERA.height), int(pixel[0] * CAMERA.width)]
            standoff = np.linalg.norm(tip) * (tissue / tip[2] - 1)
            assert -0.01 <= standoff <= recipe.max_standoff_mm + 0.01
            axes.append(draw.axis_segment(camera_from_tool, tool.shape))
        if len(axes) == 2:
            assert draw.segment_distance(*axes) >= recipe.min_tool_gap_mm


def test_a_frame_alone_equals_the_frame_in_sequence(sampled):
    _, config, files, cameras, _, scenes = sampled
    alone = sample_scene(4, material_of(files, cameras), config, 3, Counter())
    assert np.allclose(alone.world_from_camera, scenes[4].world_from_camera, atol=1e-12)
    assert alone.seed == scenes[4].seed and len(alone.placements) == len(scenes[4].placements)
    for first, second in zip(alone.placements, scenes[4].placements):
        assert np.allclose(first.world_from_tool_sensor, second.world_from_tool_sensor, atol=1e-12)


def test_sampling_twice_gives_equal_bytes(sampled, tmp_path):
    folder, config, files, _, _, _ = sampled
    outputs = {"scenes_parquet": tmp_path / "sampled.parquet", "scenes_json": tmp_path / "sampled.json"}
    sample_scenes(**files, class_table=folder / "classes.tsv", config=config, seed=3, **outputs)
    for path in outputs.values():
        assert path.read_bytes() == (folder / path.name).read_bytes()
    table = pd.read_parquet(outputs["scenes_parquet"])
    assert list(table.key) == [f"{index:06d}" for index in range(6)]
    assert np.isfinite(poses_from_columns(table, "world_from_camera")).all()


def test_another_seed_gives_other_scenes(sampled):
    _, config, files, cameras, _, scenes = sampled
    other = sample_scene(0, material_of(files, cameras), config, 4, Counter())
    assert other.seed != scenes[0].seed
    assert not np.allclose(other.world_from_camera, scenes[0].world_from_camera, atol=1e-3)


def test_frames_posed_about_recorded_ones_stay_near_them(sampled, tmp_path):
    folder, _, files, cameras, _, _ = sampled
    sensors = np.repeat(SENSOR[None], len(cameras), axis=0)
    sensors[:, 0, 3] += np.linspace(-8, 8, len(cameras))
    table, camera = write_recording(tmp_path, "scene", cameras, {"needle_driver": sensors})
    recipe = RecipeConfig(
        **(
            RECIPE
            | {
                "tools_per_frame": {0: 0.3, 2: 0.7},
                "recorded_share": 1.0,
                "recorded_jitter_mm": 1.0,
                "recorded_jitter_deg": 5.0,
            }
        ),
        camera_jitter_mm=1.0,
    )
    outputs = {"scenes_parquet": tmp_path / "sampled.parquet", "scenes_json": tmp_path / "sampled.json"}
    sample_scenes(
        **(files | {"scene_tables": {"scene": table}, "cameras": files["cameras"] | {"scene": camera}}),
        class_table=folder / "classes.tsv",
        config=ComposeConfig(**SMALL, recipe=recipe),
        seed=3,
        **outputs,
    )
    _, scenes = read_scene_list(*outputs.values())
    assert {len(scene.placements) for scene in scenes} == {0, 1}  # the recording has one tool
    for scene in scenes:
        row = scene.source_frame // 3
        distance, angle = pose_difference(cameras[row], scene.world_from_camera)
        assert scene.recording == "scene" and 0 < distance < 6 and angle < 25
        for placement in scene.placements:
            tips = [apply(pose, TIP[None])[0] for pose in (sensors[row], placement.world_from_tool_sensor)]
            assert 0 < np.linalg.norm(tips[0] - tips[1]) < 6
            turned = rotation_angle_deg(sensors[row][:3, :3].T @ placement.world_from_tool_sensor[:3, :3])
            assert 0 < turned < 40


def test_an_impossible_recipe_names_the_limit(sampled):
    _, _, files, cameras, _, _ = sampled
    recipe = RecipeConfig(**(RECIPE | {"tools_per_frame": {1: 1.0}, "max_depth_mm": 20.0, "max_attempts": 3}))
    with pytest.raises(InputError, match="min_depth_mm, max_depth_mm"):
        sample_scene(0, material_of(files, cameras), ComposeConfig(**SMALL, recipe=recipe), 0, Counter())


def test_an_empty_tool_splat_is_refused(sampled, tmp_path):
    folder, config, files, _, _, _ = sampled
    write_ply(tmp_path / "none.ply", read_ply(files["tool_plys"]["needle_driver"]).select(np.zeros(300, bool)))
    with pytest.raises(InputError, match="no Gaussians"):
        sample_scenes(
            **(files | {"tool_plys": {"needle_driver": tmp_path / "none.ply"}}),
            class_table=folder / "classes.tsv",
            config=config,
            seed=3,
            scenes_parquet=tmp_path / "a.parquet",
            scenes_json=tmp_path / "a.json",
        )


def test_the_shaft_leaves_the_tip_in_the_drawn_direction():
    shape = draw.ToolShape(TIP, DIRECTION, 70.0, np.array([[0.6, 0, 0.8], [0, 0.6, 0.8]]), TIP[None], TIP[None])
    recipe = RecipeConfig(entry_angles_deg=(80, 100), coverage_deg=5)
    tip = np.array([5.0, -3.0, 80.0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        pose = draw.draw_tool_pose(rng, shape, tip, CAMERA, recipe)
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3)) and np.isclose(np.linalg.det(pose[:3, :3]), 1)
        assert np.allclose(apply(pose, TIP[None])[0], tip)
        ends = CAMERA.project(apply(pose, np.array([TIP, TIP + DIRECTION])))
        angle = np.degrees(np.arctan2(*(ends[1] - ends[0])[::-1]))
        assert 80 - 1e-6 <= angle <= 100 + 1e-6  # downwards in the image
        assert draw.coverage_angle_deg(pose, shape) <= 5 + 1e-9


def test_a_tool_end_in_the_image_or_too_near_is_rejected():
    shape = draw.ToolShape(
        np.zeros(3), np.array([1.0, 0, 0]), 30.0, np.eye(3), np.zeros((1, 3)), np.array([[30.0, 0, 0]])
    )
    inside = np.eye(4)
    inside[2, 3] = 100
    with pytest.raises(draw.Rejected, match="shaft_end_in_image"):
        draw.check_tool_pose(inside, shape, CAMERA, RecipeConfig())
    outside = inside.copy()
    outside[0, 3] = 30
    draw.check_tool_pose(outside, shape, CAMERA, RecipeConfig())
    near = outside.copy()
    near[:3, 3] = [0, 0, 15]
    with pytest.raises(draw.Rejected, match="tool_too_near"):
        draw.check_tool_pose(near, shape, CAMERA, RecipeConfig())


def test_cameras_stay_between_and_near_the_known_ones():
    known = circling_cameras([0, 0, 0], 90, 20)
    recipe = RecipeConfig(camera_jitter_mm=0, camera_jitter_deg=0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        try:
            camera = draw.draw_camera(rng, known, recipe)
        except draw.Rejected:
            continue
        distances, angles = pose_difference(known, camera[None])
        assert ((distances < recipe.camera_limit_mm) & (angles < recipe.camera_limit_deg)).any()
        assert rotation_angle_deg(camera) >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools_per_frame": {1: 0.5}},
        {"tools_per_frame": {-1: 1.0}},
        {"tools_per_frame": {17: 1.0}},
        {"min_depth_mm": 50, "max_depth_mm": 40},
        {"min_visibility": 1.5},
        {"colour": "red"},
    ],
)
def test_a_wrong_recipe_is_refused(wrong):
    with pytest.raises(ValueError):
        RecipeConfig(**wrong)

"""ablation: errors as large as asked, one thing changed at a time, figures that hold."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.transform import Rotation

from splat_samples import (
    CAMERA,
    CLASSES,
    SENSOR,
    circling_cameras,
    plane_splat,
    tool_in_world,
    write_recording,
)
from splatscope.ablations.cases import BASELINE, Parts, Setup, TrackerError, list_cases
from splatscope.ablations.gather import gather_cases, jitter_grid
from splatscope.ablations.parts import RecordedTool, moved_tool, render_case
from splatscope.ablations.stage import CaseFiles, run_case
from splatscope.ablations.tracker_error import distortion_field, disturb_scene
from splatscope.ablations.views import fewer_views
from splatscope.compose.scene_list import Placement, Scene, SceneHeader
from splatscope.config.ablation import AblationConfig
from splatscope.config.compose import ComposeConfig
from splatscope.config.evaluate import EvaluateConfig
from splatscope.config.render import RenderConfig
from splatscope.evaluate.replay import METRICS, RealRecording
from splatscope.geometry import invert, look_at, make_transform, pose_difference
from splatscope.render import render_frame
from splatscope.shards import Frame, write_shard
from splatscope.splats.gaussians import write_ply
from splatscope.splats.spherical_harmonics import rotation_matrix

ABOVE = look_at(np.array([0.0, 0, 120]), np.array([0.0, 0, 0]), np.array([0.0, 1, 0]))
MOVED = make_transform(Rotation.from_euler("xyz", [20, -30, 70], degrees=True).as_matrix(), [5.0, -8, 60])
LEVER = make_transform(Rotation.from_euler("x", 40, degrees=True).as_matrix(), [0.0, 30, 100])


def scene(frame=0, pose=MOVED, camera=ABOVE):
    return Scene(frame, 0, 1, camera, (Placement("needle_driver", 1, 14, pose),), "scene", frame)


def disturbed(error, frames, seed=0, hand_eye=None):
    field = distortion_field(error, seed)
    return [
        disturb_scene(scene(frame), error, np.eye(4) if hand_eye is None else hand_eye, seed, field) for frame in frames
    ]


def test_jitter_has_the_rms_that_was_asked_for():
    scenes = disturbed(TrackerError("jitter", 1.5, 0.8), range(3000))
    for poses, true in (
        ([each.world_from_camera for each in scenes], ABOVE),
        ([each.placements[0].world_from_tool_sensor for each in scenes], MOVED),
    ):
        distance, angle = pose_difference(np.array(poses), true)
        assert np.sqrt(np.mean(distance**2)) == pytest.approx(1.5, rel=0.03)
        assert np.sqrt(np.mean(angle**2)) == pytest.approx(0.8, rel=0.03)
        shift = np.array(poses)[:, :3, 3] - true[:3, 3]
        assert np.abs(shift.mean(0)).max() < 0.06  # no bias
        assert np.allclose(np.sqrt((shift**2).mean(0)), 1.5 / np.sqrt(3), rtol=0.06)  # no favoured direction


def test_camera_and_tool_err_on_their_own():
    scenes = disturbed(TrackerError("jitter", 1.0, 0.0), range(2000))
    camera = np.array([each.world_from_camera[:3, 3] - ABOVE[:3, 3] for each in scenes])
    tool = np.array([each.placements[0].world_from_tool_sensor[:3, 3] - MOVED[:3, 3] for each in scenes])
    assert abs(np.corrcoef(camera.ravel(), tool.ravel())[0, 1]) < 0.05


def test_the_camera_turns_about_its_sensor():
    error = TrackerError("jitter", 0.0, 1.0)
    (told,) = disturbed(error, [4], hand_eye=LEVER)
    before, after = (pose @ invert(LEVER) for pose in (ABOVE, told.world_from_camera))
    assert np.allclose(before[:3, 3], after[:3, 3], atol=1e-9)
    distance, angle = pose_difference(ABOVE, told.world_from_camera)
    assert 0 < distance <= 2 * np.linalg.norm(LEVER[:3, 3]) * np.sin(np.radians(angle) / 2) + 1e-9


def test_an_error_depends_on_cell_frame_and_seed_alone():
    error = TrackerError("jitter", 1.0, 0.5)
    forward, backward = disturbed(error, range(6)), disturbed(error, reversed(range(6)))
    for first, second in zip(forward, reversed(backward)):
        assert np.array_equal(first.world_from_camera, second.world_from_camera)
    others = [*disturbed(error, [0], seed=1), *disturbed(replace(error, mm=2.0), [0]), forward[1]]
    for other in others:
        assert not np.allclose(other.world_from_camera, forward[0].world_from_camera, atol=1e-3)


def test_no_error_changes_nothing():
    before = scene()
    assert disturb_scene(before, TrackerError(), LEVER, 0, None) is before


def test_distortion_is_smooth_and_grows_evenly():
    (weak,), (strong,) = (disturbed(TrackerError("distortion", mm, 0.0), [0]) for mm in (0.5, 2.0))
    shifts = [each.placements[0].world_from_tool_sensor[:3, 3] - MOVED[:3, 3] for each in (weak, strong)]
    assert np.allclose(4 * shifts[0], shifts[1]) and np.linalg.norm(shifts[0]) > 0.05
    (again,) = disturbed(TrackerError("distortion", 0.5, 0.0), [7])  # another frame, the same place
    assert np.array_equal(again.placements[0].world_from_tool_sensor, weak.placements[0].world_from_tool_sensor)


@pytest.fixture(scope="module")
def tool():
    """The bar with colours that depend on the direction, where its recording had it."""
    gaussians = tool_in_world(np.random.default_rng(1))
    sh = gaussians.sh.clone()
    sh[:, 1:] = 0.2 * torch.randn(sh[:, 1:].shape, generator=torch.Generator().manual_seed(0))
    return RecordedTool(replace(gaussians, sh=sh), SENSOR)


def test_each_part_changes_one_thing(tool):
    ours = moved_tool(tool, MOVED, Parts())
    in_sensor = tool.gaussians.transformed(invert(SENSOR))
    assert torch.allclose(ours.means, in_sensor.transformed(MOVED).means, atol=1e-4)
    turn = torch.tensor(rotation_matrix(1, (MOVED @ invert(SENSOR))[:3, :3])).float()
    assert torch.allclose(ours.sh, torch.einsum("ij,njc->nic", turn, tool.gaussians.sh), atol=1e-5)

    unturned = moved_tool(tool, MOVED, Parts(sh_rotated=False))
    assert torch.equal(unturned.sh, tool.gaussians.sh) and torch.equal(unturned.means, ours.means)
    assert torch.equal(unturned.quaternions, ours.quaternions)

    shifted = moved_tool(tool, MOVED, Parts(means_rotated=False))
    shift = torch.tensor(MOVED[:3, 3] - SENSOR[:3, 3]).float()
    assert torch.allclose(shifted.means, tool.gaussians.means + shift, atol=1e-4)
    assert torch.equal(shifted.sh, ours.sh) and torch.equal(shifted.quaternions, ours.quaternions)


HEADER = SceneHeader("replay", "exact", {"scene": CAMERA}, {"needle_driver": "needle driver"})


def draw(tool, parts, height=20.0, site=None):
    site = plane_splat(np.random.default_rng(0)) if site is None else site
    pose = make_transform(np.eye(3), [0.0, 0, height]) @ make_transform(np.eye(3), [-25.0, 0, -50]) @ SENSOR
    return render_case(scene(pose=pose), HEADER, site, {"needle_driver": tool}, parts, RenderConfig())


def test_the_default_parts_are_what_render_does(tool):
    site = plane_splat(np.random.default_rng(0))
    pose = make_transform(np.eye(3), [-25.0, 0, -30]) @ SENSOR
    ours = render_case(scene(pose=pose), HEADER, site, {"needle_driver": tool}, Parts(), RenderConfig())
    in_sensor = tool.gaussians.transformed(invert(SENSOR))
    usual = render_frame(scene(pose=pose), HEADER, site, {"needle_driver": in_sensor}, RenderConfig())
    assert np.abs(ours.rgb.astype(int) - usual.rgb.astype(int)).max() <= 1
    assert (ours.instance_map != usual.instance_map).mean() < 1e-3 and usual.visible_mask(1).sum() > 100


def test_only_blended_labels_know_what_hides_a_tool(tool):
    hidden = {
        labels: draw(tool, Parts(labels=labels), height=-30).visible_mask(1).sum()
        for labels in ("blended", "silhouette", "contrast")
    }
    assert hidden["blended"] == 0 and hidden["silhouette"] > 100 and hidden["contrast"] > 100
    seen = {labels: draw(tool, Parts(labels=labels)) for labels in ("blended", "silhouette")}
    assert np.array_equal(seen["blended"].rgb, seen["silhouette"].rgb)  # labels change no colour
    assert np.array_equal(seen["silhouette"].visible_mask(1), seen["silhouette"].amodal_mask(1))


def test_cases_keep_name_and_setup_when_lists_grow():
    short = list_cases(AblationConfig(jitter_mm=(0, 1), jitter_deg=(0, 1), distortion=(), views_percent=(50,)))
    long = list_cases(
        AblationConfig(jitter_mm=(0, 1, 3), jitter_deg=(0, 0.5, 1), distortion=((1, 1),), views_percent=(20, 50))
    )
    names = [case.name for case in long]
    assert len(set(names)) == len(names) and names[0] == BASELINE
    known = {case.name: (case.setup, case.views_percent) for case in long}
    assert all(known[case.name] == (case.setup, case.views_percent) for case in short)
    assert len(short) == 1 + 6 + 1 + 3 and len(long) == 1 + 6 + 2 + 8 + 1
    baseline = Setup()
    for case in short[1:7]:
        changed = [
            name
            for name in ("extraction", "means_rotated", "sh_rotated", "labels")
            if getattr(case.setup.parts, name) != getattr(baseline.parts, name)
        ]
        assert len(changed) == (4 if case.name == "paper_mode" else 1)


@pytest.mark.parametrize(
    "settings",
    [{"jitter_mm": [1, 0]}, {"jitter_deg": [-1]}, {"views_percent": [100]}, {"frames": 1}, {"distortion": [[1]]}],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        AblationConfig(**settings)


def test_fewer_views_are_spread_evenly():
    valid = np.ones(100, bool)
    valid[[3, 50]] = False
    table = pd.DataFrame({"frame": np.arange(100), "valid": valid})
    kept = np.flatnonzero(fewer_views(table, 25)["valid"])
    assert len(kept) == round(98 * 0.25) and valid[kept].all()
    assert kept[0] == 0 and kept[-1] == 99 and np.diff(kept).max() <= 6
    assert not fewer_views(table.assign(valid=False), 25)["valid"].any()
    assert fewer_views(table, 1)["valid"].sum() == 1


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Poses, splats and real frames of a scene recording; the real frames are what the splats show."""
    folder = tmp_path_factory.mktemp("ablation")
    rng = np.random.default_rng(2)
    site, tool = plane_splat(rng), tool_in_world(rng)
    (folder / "classes.tsv").write_text(CLASSES)
    write_ply(folder / "site.ply", site)
    in_sensor = tool.transformed(invert(SENSOR))
    write_ply(folder / "tool.ply", in_sensor)
    write_ply(folder / "tool_paper.ply", tool)
    (folder / "extract.json").write_text(json.dumps({"world_from_sensor": SENSOR.tolist()}))
    (folder / "poses.json").write_text(json.dumps({"camera_sensor_from_camera": LEVER.tolist()}))
    cameras = circling_cameras([0, 0, 0], 120, 8)
    sensors = np.array([make_transform(np.eye(3), [-25.0, 0, step]) @ SENSOR for step in np.linspace(-30, 0, 8)])
    table, camera = write_recording(folder, "scene", cameras, {"needle_driver": sensors})
    header = SceneHeader("replay", "exact", {"scene": CAMERA}, {"needle_driver": "needle driver"})
    true = []
    for index in range(8):
        made = render_frame(
            scene(3 * index, sensors[index], cameras[index]), header, site, {"needle_driver": in_sensor}, RenderConfig()
        )
        true.append(replace(made, key=f"{3 * index:06d}"))
    write_shard(folder / "frames.tar", [Frame(frame.key, frame.rgb) for frame in true])
    write_shard(folder / "truth.tar", true)
    return CaseFiles(
        {"scene": table},
        {"scene": camera},
        folder / "poses.json",
        {"scene": RealRecording(folder / "frames.tar", None, folder / "truth.tar", camera)},
        folder / "site.ply",
        {"needle_driver": folder / "tool.ply"},
        {"needle_driver": folder / "extract.json"},
        folder / "classes.tsv",
    )


def run(material, folder, setup, tool="tool.ply"):
    files = replace(material, tools={"needle_driver": material.site.with_name(tool)})
    size = {"width": CAMERA.width, "height": CAMERA.height}
    outputs = {"rows_parquet": folder / f"{setup.name}.parquet", "picture_png": folder / f"{setup.name}.png"}
    run_case(setup, files, 5, ComposeConfig(**size), RenderConfig(), EvaluateConfig(), 0, **outputs)
    return pd.read_parquet(outputs["rows_parquet"])


def test_a_case_from_files_to_rows(material, tmp_path):
    default = run(material, tmp_path, Setup())
    assert len(default) == 5 and default["psnr"].min() > 45 and default["mask_iou"].min() > 0.99
    radius = run(material, tmp_path, Setup("radius", Parts(extraction="radius")), "tool_paper.ply")
    assert np.allclose(radius["mask_iou"], default["mask_iou"], atol=0.01)  # here the same Gaussians
    error = TrackerError("jitter", 2.0, 1.0)
    jitter = run(material, tmp_path, Setup(error.name, error=error))
    assert list(jitter["frame"]) == list(default["frame"])
    assert jitter["psnr"].mean() < default["psnr"].mean() - 5 and jitter["mask_iou"].mean() < 0.9
    (tmp_path / "again").mkdir()
    run(material, tmp_path / "again", Setup(error.name, error=error))
    for suffix in ("parquet", "png"):
        name = f"{error.name}.{suffix}"
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def write_rows(path, iou, psnr):
    frames = np.arange(4)
    table = pd.DataFrame({"recording": "scene", "frame": frames, **{metric: np.nan for metric in METRICS}})
    table.assign(mask_iou=iou - 0.01 * frames, psnr=psnr - frames).to_parquet(path, index=False)
    return path


def test_the_budget_is_read_between_cells(tmp_path):
    cases = list_cases(AblationConfig(jitter_mm=(0, 2, 4), jitter_deg=(0, 0.5), distortion=(), views_percent=()))
    rows = {}
    for case in cases:
        error = case.setup.error
        loss = 0.04 * error.mm + 0.02 * error.deg
        rows[case.name] = write_rows(tmp_path / f"{case.name}.parquet", 0.95 - loss, 30 - 10 * loss)
    outputs = {
        name: tmp_path / f"ablation_{name}" for name in ("table_csv", "cells_parquet", "summary_json", "plot_png")
    }
    outputs["table_csv"] = tmp_path / "ablation.csv"
    summary = gather_cases(cases, rows, AblationConfig(mask_iou_loss=0.05), **outputs)
    by_mm, by_degree = summary["budget"]["mm"], summary["budget"]["deg"]
    assert by_mm["mask_iou_change_at_1"] == pytest.approx(-0.04) and by_mm["psnr_change_at_1"] == pytest.approx(-0.4)
    assert by_mm["tolerable"] == pytest.approx(1.25) and by_mm["greatest_tried"] == 4
    assert by_degree["mask_iou_change_at_1"] is None and by_degree["tolerable"] is None  # beyond the grid
    table = pd.read_csv(outputs["table_csv"])
    assert json.loads(outputs["summary_json"].read_text())["cases"][0]["lpips_mean"] is None
    baseline = table[table["case"] == BASELINE].iloc[0]
    assert baseline["mask_iou_change"] == 0 and baseline["psnr_mean"] == pytest.approx(28.5)
    assert baseline["psnr_std"] == pytest.approx(np.std([0, 1, 2, 3], ddof=1))
    grid = jitter_grid(table, "psnr_change")
    assert list(grid.index) == [0, 2, 4] and grid.loc[4, 0.5] == pytest.approx(-1.7)
    assert outputs["plot_png"].read_bytes().startswith(b"\x89PNG")


def test_without_truth_the_budget_has_psnr_alone(tmp_path):
    cases = list_cases(AblationConfig(jitter_mm=(0, 1), jitter_deg=(0,), distortion=(), views_percent=()))
    rows = {
        case.name: write_rows(tmp_path / f"{case.name}.parquet", np.nan, 30 - case.setup.error.mm) for case in cases
    }
    outputs = {"table_csv": "a.csv", "cells_parquet": "a.parquet", "summary_json": "a.json", "plot_png": "a.png"}
    summary = gather_cases(cases, rows, AblationConfig(), **{name: tmp_path / file for name, file in outputs.items()})
    assert summary["budget"]["mm"]["mask_iou_change_at_1"] is None
    assert summary["budget"]["mm"]["psnr_change_at_1"] == pytest.approx(-1)

"""evaluate: metrics against other people's implementations, the replay protocol, and errors that were put in."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import trimesh
from pycocotools import mask as coco_mask
from scipy.spatial.transform import Rotation
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import fake_results as fake
from splatscope.config.evaluate import EvaluateConfig
from splatscope.errors import InputError
from splatscope.evaluate import box_iou, evaluate_replay, evaluate_truth, mask_iou, similarity
from splatscope.evaluate.overlap import mask_box
from splatscope.evaluate.similarity import Backbone, load_lpips, psnr, ssim
from splatscope.evaluate.tool_fit import fit_tool_to_mesh
from splatscope.geometry import Camera, apply, make_transform, pose_columns, poses_from_columns
from splatscope.images import decode_image, to_float
from splatscope.shards import read_shard, write_shard
from splatscope.summary import SummaryInputs, write_summary

RNG = np.random.default_rng(0)


def image_pair(height=60, width=80):
    first = to_float(fake.tissue(1, width, height))
    return first, np.clip(first + RNG.normal(0, 0.05, first.shape), 0, 1).astype(np.float32)


def test_psnr_and_ssim_agree_with_scikit_image():
    first, second = image_pair()
    assert psnr(first, second) == pytest.approx(peak_signal_noise_ratio(first, second, data_range=1), abs=1e-4)
    assert psnr(first, first) == np.inf and ssim(first, first) == pytest.approx(1)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
    _, full = structural_similarity(first, second, data_range=1, full=True, **settings)
    # away from the borders, where both reflect but scikit-image repeats the edge pixel
    valid = np.zeros(first.shape[:2], bool)
    valid[5:-5, 5:-5] = True
    assert ssim(first, second, valid) == pytest.approx(full[10:-10, 10:-10].mean(), abs=1e-4)
    assert ssim(first, second) == pytest.approx(full.mean(), abs=5e-3)


def test_invalid_pixels_have_no_say():
    first, second = image_pair()
    valid = np.ones(first.shape[:2], bool)
    valid[20:30, 30:50] = False
    spoiled = second.copy()
    spoiled[~valid] = 0
    assert psnr(first, spoiled, valid) == psnr(first, second, valid) > psnr(first, spoiled)
    assert ssim(first, spoiled, valid) == ssim(first, second, valid) > ssim(first, spoiled)
    assert psnr(first, spoiled, valid) == pytest.approx(
        peak_signal_noise_ratio(first[valid], second[valid], data_range=1), abs=1e-4
    )
    assert np.isnan(ssim(first, second, np.zeros_like(valid)))


def test_mask_and_box_iou_agree_with_pycocotools():
    for _ in range(50):
        masks = [RNG.random((20, 30)) < RNG.uniform(0.02, 0.9) for _ in range(2)]
        rle = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
        assert mask_iou(*masks) == pytest.approx(coco_mask.iou(rle[:1], rle[1:], [0])[0, 0])
        boxes = [mask_box(mask) for mask in masks]
        assert np.array(boxes) == pytest.approx(coco_mask.toBbox(rle))
        corners = RNG.uniform(0, 20, (2, 2))
        boxes = np.hstack([corners, RNG.uniform(0.1, 20, (2, 2))])
        assert box_iou(*map(tuple, boxes)) == pytest.approx(coco_mask.iou(boxes[:1], boxes[1:], [0])[0, 0])
    empty = np.zeros((4, 4), bool)
    assert np.isnan(mask_iou(empty, empty)) and mask_iou(empty, ~empty) == 0
    assert mask_box(empty) is None and np.isnan(box_iou(None, None)) and box_iou(None, (0, 0, 1, 1)) == 0


# --- LPIPS


@pytest.fixture
def alexnet_file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "my-alexnet.pth"
    torch.save(torchvision.models.alexnet().state_dict(), path)
    return path


def test_lpips_is_none_without_weights_and_nothing_is_downloaded(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert load_lpips(None) is None


def test_lpips_refuses_weights_that_are_not_torchvisions(alexnet_file, tmp_path):
    with pytest.raises(InputError, match=r"alexnet-owt-7be5be79.pth"):
        load_lpips(alexnet_file)
    with pytest.raises(InputError, match="no such file"):
        load_lpips(tmp_path / "missing.pth")


def test_lpips_uses_the_given_weights(alexnet_file, monkeypatch):
    digest = similarity.sha256(alexnet_file)
    backbone = Backbone("alex", similarity.BACKBONES[0].file_name, (digest[:8],))
    monkeypatch.setattr(similarity, "BACKBONES", (backbone,))
    before = torch.hub.get_dir()
    lpips = load_lpips(alexnet_file)
    assert torch.hub.get_dir() == before and lpips.weights_sha256 == digest
    loaded = dict(lpips._metric.net.net.named_parameters())["slice1.0.weight"]
    assert torch.equal(loaded, torch.load(alexnet_file)["features.0.weight"])
    first, second = image_pair(96, 96)
    assert lpips(first, first) == 0 and lpips(first, second) > 0
    valid = np.ones((96, 96), bool)
    valid[:10] = False
    spoiled = second.copy()
    spoiled[:10] = 1
    assert lpips(first, spoiled, valid) == lpips(first, second, valid) != lpips(first, second)


def test_backbones_are_named_as_torchvision_names_them():
    weights = (torchvision.models.AlexNet_Weights.DEFAULT, torchvision.models.VGG16_Weights.DEFAULT)
    for backbone, weight in zip(similarity.BACKBONES, weights):
        assert weight.url.endswith(backbone.file_name) and backbone.sha256_starts[0] in backbone.file_name


# --- replay


@pytest.fixture
def replay(tmp_path):
    return fake.write_replay(tmp_path, frames=5)


def test_replay_of_equal_masks_has_overlap_one(replay):
    rendered, recordings, outputs = replay
    summary = evaluate_replay(rendered, recordings, EvaluateConfig(), outputs)
    table = pd.read_parquet(outputs.table_parquet)
    assert list(table["frame"]) == [0, 3, 6, 9, 12] and set(table["recording"]) == {"scene"}
    assert (table[["mask_iou", "box_iou", "amodal_iou"]] == 1).all(axis=None)
    assert summary["images"] == 5 and summary["mask_iou"]["images"] == 5
    assert summary["psnr"]["mean"] == pytest.approx(table["psnr"].mean(), abs=1e-5)
    assert summary["psnr"]["std"] == pytest.approx(table["psnr"].std(), abs=1e-5)  # pandas: sample deviation
    assert summary["lpips"]["mean"] is None and "alexnet" in summary["lpips"]["not_available"]
    assert summary["best"]["psnr"] >= table["psnr"].max() - 1e-5
    assert summary["worst"]["frame"] == table["frame"][table["psnr"].argmin()]
    pd.testing.assert_frame_equal(table, pd.read_csv(outputs.table_csv))
    assert decode_image(outputs.best_png.read_bytes()).shape == (96, 4 * 128 + 12, 3)
    assert json.loads(outputs.summary_json.read_text()) == summary


def test_replay_with_a_shifted_tool_has_lower_overlap(tmp_path):
    straight = evaluate_replay(*_evaluated(fake.write_replay(tmp_path / "a", frames=3)))
    shifted = evaluate_replay(*_evaluated(fake.write_replay(tmp_path / "b", frames=3, shift=4)))
    assert shifted["mask_iou"]["mean"] < straight["mask_iou"]["mean"] - 0.1
    assert shifted["psnr"]["mean"] < straight["psnr"]["mean"]


def test_frames_of_a_lens_that_poses_found_are_undistorted(replay):
    """As a recording without a calibration has them: stored as filmed, the distortion in the camera file of poses."""
    rendered, recordings, outputs = replay
    straight = evaluate_replay(rendered, recordings, EvaluateConfig(), outputs)
    recording = recordings["scene"]
    pinhole = Camera.from_dict(json.loads(recording.camera.read_text())["camera"])
    lens = replace(pinhole, distortion=(-0.3, 0.05, 0.0, 0.0))
    filmed = [replace(frame, rgb=through(lens, frame.rgb), stored={}) for frame in read_shard(recording.frames)]
    write_shard(recording.frames, filmed)
    bent = evaluate_replay(rendered, recordings, EvaluateConfig(), outputs)
    recording.camera.write_text(json.dumps({"camera": lens.to_dict()}))
    mended = evaluate_replay(rendered, recordings, EvaluateConfig(), outputs)
    assert bent["psnr"]["mean"] < straight["psnr"]["mean"] - 2
    assert mended["psnr"]["mean"] == pytest.approx(straight["psnr"]["mean"], abs=0.5)
    recording.camera.write_text('{"camera": null}')
    with pytest.raises(InputError, match="no camera"):
        evaluate_replay(rendered, recordings, EvaluateConfig(), outputs)


def through(lens, image):
    """The picture of a pinhole camera as the lens would have taken it."""
    rows, columns = np.indices(image.shape[:2], np.float32)
    rays = lens.unproject(np.stack([columns.ravel(), rows.ravel()], 1) + 0.5)
    pixels = (rays * [lens.fx, lens.fy] + lens.opencv_matrix[:2, 2]).astype(np.float32).reshape(*rows.shape, 2)
    return cv2.remap(image, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def test_replay_without_truth_gives_null_overlap(replay):
    rendered, recordings, outputs = replay
    recordings = {name: replace(recording, truth=None) for name, recording in recordings.items()}
    summary = evaluate_replay(rendered, recordings, EvaluateConfig(), outputs)
    assert summary["mask_iou"]["mean"] is None and "no true masks" in summary["mask_iou"]["not_available"]
    assert summary["psnr"]["mean"] > 10


def test_replay_names_what_does_not_fit(replay):
    rendered, recordings, outputs = replay
    with pytest.raises(InputError, match=r"one of the recordings \['other'\]"):
        evaluate_replay(rendered, {"other": recordings["scene"]}, EvaluateConfig(), outputs)
    with pytest.raises(InputError, match="no frames"):
        evaluate_replay([], recordings, EvaluateConfig(), outputs)
    short = fake.write_real_frames(rendered[0].parent / "short.tar", [0, 3])
    with pytest.raises(InputError, match="3 of 5 replayed frames"):
        evaluate_replay(rendered, {"scene": replace(recordings["scene"], frames=short)}, EvaluateConfig(), outputs)


def _evaluated(replay):
    rendered, recordings, outputs = replay
    return rendered, recordings, EvaluateConfig(), outputs


# --- truth


def splat_of(mesh, count=6000, depth=0.2, noise=0.2, floaters=0.1, seed=1):
    """Gaussian means as training leaves them: below the surface, scattered, some astray; and their opacities."""
    points, triangles = trimesh.sample.sample_surface(mesh, count, seed=seed)
    rng = np.random.default_rng(seed)
    points = points - mesh.face_normals[triangles] * rng.normal(depth, noise, (count, 1))
    lost = rng.choice(count, round(floaters * count), replace=False)
    points[lost] += rng.normal(0, 4, (len(lost), 3))
    return np.asarray(points), rng.uniform(0.1, 1, count)


@pytest.mark.parametrize("seed", range(2))
def test_tool_fit_finds_the_motion_that_was_put_in(seed):
    mesh = fake.tool_mesh()
    points, opacity = splat_of(mesh, seed=seed)
    rng = np.random.default_rng(seed + 10)
    rotation = Rotation.from_rotvec(np.radians(rng.uniform(-1, 1, 3)))
    centre = points.mean(0)
    shift = rng.uniform(-0.8, 0.8, 3)
    moved_from_true = make_transform(rotation.as_matrix(), centre - rotation.apply(centre) + shift)
    fit = fit_tool_to_mesh(apply(moved_from_true, points), opacity, mesh, max_distance_mm=3)
    left = fit.mesh_from_splat @ moved_from_true
    assert np.linalg.norm(apply(left, centre[None])[0] - centre) < 0.1
    assert np.degrees(Rotation.from_matrix(left[:3, :3]).magnitude()) < 0.5  # mostly about the shaft
    assert fit.depth_mm == pytest.approx(0.2, abs=0.06) and fit.residual_mm < 0.3
    assert fit.uncertainty_mm < 0.05 and fit.uncertainty_deg < 0.3
    assert 0.85 < fit.used / fit.offered < 0.99


def test_tool_fit_says_when_the_tool_is_far_off():
    mesh = fake.tool_mesh()
    points, opacity = splat_of(mesh)
    fit = fit_tool_to_mesh(points + np.array([0, 6, 0]), opacity, mesh, max_distance_mm=3)
    assert fit.displacement_mm(fit.centroid) == pytest.approx(6, abs=0.5)
    with pytest.raises(ValueError, match="within 3 mm"):
        fit_tool_to_mesh(points + 500, opacity, mesh, max_distance_mm=3)


def test_truth_errors_are_those_that_were_put_in(tmp_path):
    estimated, truth = fake.write_truth(
        tmp_path, hand_eye_shift=[0.3, 0.4, 0], hand_eye_deg=0.5, clock_error_s=-0.004, camera_shift=[0, 0, 0.2]
    )
    report = evaluate_truth(estimated, truth, EvaluateConfig(), tmp_path / "truth.json")
    assert report["hand_eye"] == {"translation_error_mm": pytest.approx(0.5), "rotation_error_deg": pytest.approx(0.5)}
    assert report["clock"]["error_ms"] == {"background": pytest.approx(-4), "scene": pytest.approx(-4)}
    assert report["clock"]["max_abs_error_ms"] == pytest.approx(4)
    assert report["clock"]["refined_error_ms"] == {"background": pytest.approx(-4), "scene": pytest.approx(-1)}
    assert report["clock"]["max_abs_refined_error_ms"] == pytest.approx(4)
    assert report["cameras"]["scene"]["ate_mm"] == pytest.approx(0.2)
    assert report["cameras"]["scene"]["frames"] == 9  # one is not valid
    tool = report["tools"]["needle_driver"]
    assert tool["translation_error_mm"] < 0.1 and tool["rotation_error_deg"] < 0.5
    assert tool["tip_displacement_mm"] < 0.3
    assert json.loads((tmp_path / "truth.json").read_text()) == report


def test_what_the_poses_alone_misplace_is_exact(tmp_path):
    """The cameras of the tool's recording are turned by 2 degrees about the tip and shifted by 0.3 mm in the world."""
    estimated, truth = fake.write_truth(tmp_path)
    sensor_from_tool = np.array(json.loads(truth.truth_json.read_text())["tool_sensor_from_tool"]["needle_driver"])
    true_sensor = make_transform(Rotation.from_euler("z", 30, degrees=True).as_matrix(), [5.0, -8, 40])
    extract = estimated.extract_jsons["needle_driver"]
    content = json.loads(extract.read_text()) | {"world_from_sensor": true_sensor.tolist()}
    extract.write_text(json.dumps(content))
    tip = apply(true_sensor, np.array(content["tip_mm"])[None])[0]
    turn = Rotation.from_euler("x", 2, degrees=True).as_matrix()
    wrong = make_transform(turn, tip - turn @ tip + [0.3, 0, 0])
    found = pd.read_parquet(truth.pose_tables["scene"])
    cameras = poses_from_columns(found, "world_from_camera")
    tools = np.broadcast_to(true_sensor @ sensor_from_tool, cameras.shape)
    columns = {"frame": found["frame"], **pose_columns("world_from_needle_driver", tools)}
    true_table, table = tmp_path / "true.parquet", tmp_path / "found.parquet"
    pd.DataFrame(columns | pose_columns("world_from_camera", cameras)).to_parquet(true_table)
    rows = {"frame": found["frame"], "valid": True, **pose_columns("world_from_camera", wrong @ cameras)}
    pd.DataFrame(rows).to_parquet(table)
    report = evaluate_truth(
        replace(estimated, pose_tables={"needle_driver": table}),
        replace(truth, pose_tables={"needle_driver": true_table}),
        EvaluateConfig(),
        tmp_path / "truth.json",
    )
    placement = report["tools"]["needle_driver"]["placement"]
    assert placement["frames"] == len(found)
    assert placement["rotation_error_deg"] == pytest.approx(2, abs=1e-4)
    assert placement["tip_displacement_mm"] == pytest.approx(0.3, abs=1e-4)
    figures = write_summary(SummaryInputs(truth=tmp_path / "truth.json"), tmp_path / "summary.json")
    assert figures["poses.tool.placement_tip_mm"] == placement["tip_displacement_mm"]


def test_truth_without_hand_eye_or_metric_scale(tmp_path):
    estimated, truth = fake.write_truth(tmp_path, metric=False)
    report = evaluate_truth(estimated, truth, EvaluateConfig(), tmp_path / "truth.json")
    assert report["hand_eye"] is None
    assert report["cameras"]["scene"]["aligned"] and report["cameras"]["scene"]["ate_mm"] < 1e-5

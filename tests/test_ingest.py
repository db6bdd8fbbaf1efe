"""The whole ingest job on small recordings, and on real endoscopy."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ingest_material import CAMERA, hand_held_video, tracked_poses, write_toolbox_log, write_video
from splatscope.config.ingest import IngestConfig
from splatscope.errors import InputError
from splatscope.geometry import Camera, pose_difference, poses_from_columns
from splatscope.images import decode_image, encode_png
from splatscope.ingest import IngestOutputs, ingest_recording, validate_recording
from splatscope.ingest.frames import REASONS, Survey, choose_frames, survey_frames
from splatscope.ingest.static_mask import brightest, find_border
from splatscope.ingest.video import VideoFrame, first_frame, read_frames
from splatscope.recordings import Recording, Role
from splatscope.shards import read_shard, verify_shard

SECONDS, OFFSET_S = 5.0, 0.27


def outputs_in(folder: Path) -> IngestOutputs:
    names = ("frames.tar", "frames.parquet", "camera.json", "valid.png", "ingest.json", "thumbnails.jpg")
    return IngestOutputs(*(folder / name for name in names))


def spoil(index: int, image: np.ndarray) -> np.ndarray:
    """Frames 90 to 92 out of focus."""
    return cv2.GaussianBlur(image, (0, 0), 4) if 90 <= index < 93 else image


@pytest.fixture(scope="module")
def brought(tmp_path_factory) -> Path:
    """A folder with what a user brings: video.mp4, tracker.csv, calibration.yaml."""
    folder = tmp_path_factory.mktemp("brought")
    hand_held_video(folder / "video.mp4", SECONDS, decorate=spoil)
    times = np.arange(-0.5, SECONDS + 1, 1 / 40) + OFFSET_S
    camera, tool = tracked_poses(times, OFFSET_S), tracked_poses(np.zeros(len(times)), 0, jitter=False)
    camera[100:120] = np.nan  # half a second out of view
    write_toolbox_log(folder / "tracker.csv", times, {"camera": camera, "driver": tool})
    (folder / "calibration.json").write_text(
        json.dumps(
            {
                "image_width": 640,  # twice the video's size
                "image_height": 512,
                "camera_matrix": CAMERA.scaled(640, 512).opencv_matrix.tolist(),
                "distortion_coefficients": [-0.1, 0.01, 0, 0],
            }
        )
    )
    return folder


def recording_of(folder: Path, role: Role = Role.SCENE, name: str = "scene") -> Recording:
    return Recording(name, role, folder / "video.mp4", folder / "tracker.csv", folder / "calibration.json")


CONFIG = IngestConfig(tool_sensors={"needle_driver": "driver", "grasper": "absent"}, max_frames={"scene": 40})


@pytest.fixture(scope="module")
def ingested(brought, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ingested")
    ingest_recording(recording_of(brought), CONFIG, outputs_in(folder), provenance={"config": "x"})
    return folder


def test_record_says_what_happened(ingested):
    record = json.loads((ingested / "ingest.json").read_text())
    assert abs(record["clock_offset_s"] - OFFSET_S) < 0.01
    assert 0 < record["clock_offset_uncertainty_s"] < 0.015 and record["clock_offset_reliable"]
    assert record["frames"]["kept"] == 40 and record["frames"]["total"] == 150
    assert record["frames"]["blurred"] == 3
    assert 10 <= record["frames"]["no_pose"] <= 20
    assert sum(record["frames"][name] for name in REASONS) + 40 == 150
    assert record["tools"] == ["needle_driver"]
    assert record["tracker"]["sensors"]["camera"]["missing"] == 20
    assert record["calibration"] == {"source": "opencv", "reprojection_error_px": None, "scaled_from": [640, 512]}
    assert any("grasper" in warning for warning in record["warnings"])


def test_frame_table_holds_every_frame_and_its_poses(ingested):
    table = pd.read_parquet(ingested / "frames.parquet")
    assert list(table["frame"]) == list(range(150)) and table["kept"].sum() == 40
    assert set(table["reason"]) == {"", "blurred", "no_pose", "not_sampled"}
    assert (table["kept"] == (table["reason"] == "")).all()
    poses = poses_from_columns(table, "tracker_from_camera_sensor")
    assert np.isfinite(poses[table["kept"]]).all()
    assert np.isnan(poses[table["reason"] == "no_pose"]).all()
    truth = tracked_poses(table["time_s"].to_numpy() + OFFSET_S, OFFSET_S, jitter=False)
    distance, angle = pose_difference(poses[table["kept"]], truth[table["kept"]])
    assert np.median(distance) < 0.5 and np.median(angle) < 0.2
    assert np.isfinite(poses_from_columns(table, "tracker_from_needle_driver_sensor")).all()
    assert not [column for column in table if "grasper" in column]


def test_shard_holds_the_kept_frames_undistorted(brought, ingested):
    verify_shard(ingested / "frames.tar")
    table = pd.read_parquet(ingested / "frames.parquet")
    frames = list(read_shard(ingested / "frames.tar"))
    assert [int(frame.key) for frame in frames] == list(table["frame"][table["kept"]])
    assert frames[3].meta == {"frame": int(frames[3].key), "time_s": table["time_s"][int(frames[3].key)]}
    raw = next(f for f in read_frames(brought / "video.mp4") if f.index == int(frames[3].key))
    assert np.abs(frames[3].rgb.astype(float) - raw.rgb).mean() > 1
    camera = Camera.from_dict(json.loads((ingested / "camera.json").read_text())["camera"])
    assert camera == CAMERA
    valid = decode_image((ingested / "valid.png").read_bytes())
    assert valid.shape == (256, 320) and set(np.unique(valid)) <= {0, 255} and (valid == 255).mean() > 0.8
    assert decode_image((ingested / "thumbnails.jpg").read_bytes()).shape[1] == 6 * 160
    assert json.loads((ingested / "frames.json").read_text())["provenance"] == {"config": "x"}


def test_same_recording_same_bytes(brought, ingested, tmp_path, monkeypatch):
    monkeypatch.chdir(brought)  # relative paths this time
    recording = recording_of(Path())
    ingest_recording(recording, CONFIG, outputs_in(tmp_path), provenance={"config": "x"})
    for path in sorted(ingested.iterdir()):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_fixed_clock_offset_and_tool_recording(brought, tmp_path):
    config = IngestConfig(tool_sensors={"needle_driver": "driver"}, clock_offset_s={"needle_driver": 0.25})
    recording = recording_of(brought, Role.TOOL, "needle_driver")
    record = ingest_recording(recording, config, outputs_in(tmp_path))
    assert record["clock_offset_s"] == 0.25 and record["clock_offset_source"] == "config"
    assert record["tools"] == ["needle_driver"]


def test_folder_of_images_without_tracker_or_calibration(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (60, 80, 3), dtype=np.uint8) for _ in range(4)]
    for number, image in zip((1, 2, 10, 11), [images[0], images[1], images[1], images[2]]):
        (folder / f"{number}.png").write_bytes(encode_png(image))
    (folder / "notes.txt").write_text("not an image")
    recording = Recording("bg", Role.BACKGROUND, folder)
    validate_recording(recording, IngestConfig())
    record = ingest_recording(recording, IngestConfig(folder_fps=10, static_mask="none"), outputs_in(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "frames.parquet")
    assert list(table["reason"]) == ["", "", "duplicate", ""]
    np.testing.assert_allclose(table["time_s"], [0, 0.1, 0.2, 0.3])
    assert record["clock_offset_s"] is None and record["tracker"] is None and record["tools"] == []
    assert json.loads((tmp_path / "out" / "camera.json").read_text()) == {"camera": None}
    assert np.array_equal(next(read_shard(tmp_path / "out" / "frames.tar")).rgb, images[0])


def test_static_mask_from_a_file(brought, tmp_path):
    mask = np.zeros((256, 320), np.uint8)
    mask[50:200, 60:260] = 255
    (tmp_path / "mask.png").write_bytes(encode_png(mask))
    recording = Recording("bg", Role.BACKGROUND, brought / "video.mp4")
    config = IngestConfig(static_mask=str(tmp_path / "mask.png"), max_frames={"background": 5})
    assert ingest_recording(recording, config, outputs_in(tmp_path / "out"))["static_mask"]["mode"] == "file"
    assert np.array_equal(decode_image((tmp_path / "out" / "valid.png").read_bytes()), mask)


def test_border_of_real_endoscopy_is_found(shared_data):
    folder = shared_data / "sinus_endoscopy"
    bright = None
    for frame in read_frames(folder / "frames"):
        if frame.index % 5 == 0:
            bright = brightest(bright, frame.rgb)
    usable = find_border(bright)
    # the scope's mask that came with the frames is the same view, drawn at another place of the image
    mask = decode_image((folder / "undistorted_mask.jpg").read_bytes())
    mask = (mask if mask.ndim == 2 else mask.max(2)) > 127
    assert 0.85 < usable.sum() / mask.sum() < 1.1
    # dark outside, lit inside
    frame = first_frame(folder / "frames").rgb.max(2)
    assert (frame[~cv2.dilate(usable.astype(np.uint8), np.ones((61, 61))).astype(bool)] < 40).mean() > 0.995
    assert np.median(frame[usable]) > 100


def test_border_is_not_invented():
    bright = np.full((100, 120), 90, np.uint8)
    assert find_border(bright).all()
    bright[:, :] = 10
    bright[20:40, 10:110] = bright[20:90, 50:70] = 200  # a lit tool before black: fills no convex shape
    assert find_border(bright).all()
    assert find_border(np.zeros((100, 120), np.uint8)).all()
    disc = np.zeros((100, 120), np.uint8)
    cv2.circle(disc, (60, 50), 45, 180, -1)
    usable = find_border(disc)
    assert usable[50, 60] and not usable[2, 2] and 0.85 < usable.sum() / (disc > 0).sum() < 1


def test_blurred_duplicate_and_sampled():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (80, 200, 3), dtype=np.uint8)
    images = [base[:, 2 * i : 2 * i + 96] for i in range(40)]
    images[20] = cv2.GaussianBlur(images[20], (0, 0), 3)
    images[31] = images[30]
    survey = survey_frames((VideoFrame(i, i / 30, im) for i, im in enumerate(images)), 0.3, with_motion=False)
    has_pose = np.ones(40, bool)
    has_pose[:3] = False
    reason = choose_frames(survey, has_pose, 10, 0.5, 1.0)
    assert reason[20] == "blurred" and reason[31] == "duplicate" and list(reason[:3]) == ["no_pose"] * 3
    kept = np.flatnonzero(reason == "")
    assert len(kept) == 10 and np.diff(kept).max() <= 8
    assert survey.motion is None and survey.size == (96, 80)


def test_choose_frames_takes_the_sharpest_of_each_stretch():
    sharpness = np.ones(20)
    sharpness[[3, 14]] = 1.2
    survey = Survey(np.arange(20) / 30, sharpness, np.zeros(20, bool), None, np.zeros((2, 2), np.uint8))
    assert list(np.flatnonzero(choose_frames(survey, np.ones(20, bool), 2, 0.5, 1) == "")) == [3, 14]


def test_video_times_are_those_of_the_container(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    for name in ("v.mp4", "v.mkv", "v.avi"):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        path = write_video(tmp_path / name, [image + i for i in range(20)], fps=25, codec=codec)
        np.testing.assert_allclose([frame.time_s for frame in read_frames(path)], np.arange(20) / 25, atol=6e-4)


def test_validate_recording_passes_what_ingest_accepts(brought):
    validate_recording(recording_of(brought), CONFIG)
    with pytest.raises(InputError, match="camera_sensor"):
        validate_recording(recording_of(brought), IngestConfig(camera_sensor="endoscope"))


def test_max_frames_keeps_the_other_roles():
    config = IngestConfig(max_frames={"scene": 7})
    assert config.max_frames[Role.SCENE] == 7 and config.max_frames[Role.TOOL] == 150
    assert IngestConfig.model_validate(config.model_dump(mode="json")) == config

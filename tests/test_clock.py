"""The clock offset between video and tracker, on a plane seen by a hand-held camera."""

from functools import cache

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ingest_material import CAMERA, SENSOR_FROM_CAMERA, hand_held_path, plane_texture, render_plane, tracked_poses
from splatscope.errors import InputError
from splatscope.geometry import pose_difference
from splatscope.ingest.clock import estimate_clock_offset
from splatscope.ingest.motion import ImageMotion, MotionTracker
from splatscope.ingest.tracker_log import TrackerLog

SECONDS = 8
FRAME_TIMES = np.arange(SECONDS * 30) / 30


def with_tool(index: int, image: np.ndarray) -> np.ndarray:
    """A tool that moves on its own through a fifth of the view."""
    x = int(160 + 80 * np.sin(index * 0.11))
    cv2.rectangle(image, (x - 30, 0), (x + 30, 180), (150, 150, 150), -1)
    for y in range(0, 180, 20):
        cv2.circle(image, (x + (y * 7) % 40 - 16, y), 5, (255, 255, 255), -1)
    return image


@cache
def motion_of(seed: int, tool: bool) -> ImageMotion:
    texture, tracker = plane_texture(seed), MotionTracker()
    for index, pose in enumerate(hand_held_path(FRAME_TIMES, seed)):
        image = render_plane(pose, texture)
        tracker.add(with_tool(index, image) if tool else image, FRAME_TIMES[index])
    return tracker.result()


def log_of(seed: int, offset_s: float, missing: float = 0.05, reorder: int = 0) -> TrackerLog:
    times = np.arange(-1, SECONDS + 1, 1 / 40) + offset_s
    poses = tracked_poses(times, offset_s, seed)
    if reorder:
        quaternion = Rotation.from_matrix(poses[:, :3, :3]).as_quat(scalar_first=True)
        poses[:, :3, :3] = Rotation.from_quat(np.roll(quaternion, reorder, 1), scalar_first=True).as_matrix()
    rng = np.random.default_rng(seed)
    poses[rng.random(len(poses)) < missing] = np.nan
    poses[100:116] = np.nan  # a gap of 0.4 s
    return TrackerLog("log.csv", "test", times, {"camera": poses})


@pytest.mark.parametrize(
    "seed, tool, offset_s", [(0, False, 0.13), (1, False, -0.72), (0, True, -0.05), (2, True, 0.5)]
)
def test_offset_and_hand_eye_are_found(seed, tool, offset_s):
    found = estimate_clock_offset(motion_of(seed, tool), log_of(seed, offset_s), "camera", camera=CAMERA)
    assert abs(found.offset_s - offset_s) < 0.004
    assert found.uncertainty_s < 0.006 and found.reliable
    distance, angle = pose_difference(found.refined.camera_sensor_from_camera, SENSOR_FROM_CAMERA)
    assert distance < 2 and angle < 0.5
    assert found.r_squared > 0.85


def test_same_seed_same_answer():
    motion, log = motion_of(0, True), log_of(0, 0.2)
    first, second = (estimate_clock_offset(motion, log, "camera", seed=3) for _ in range(2))
    assert (first.offset_s, first.uncertainty_s) == (second.offset_s, second.uncertainty_s)


def test_without_calibration_the_focal_length_is_found_along():
    found = estimate_clock_offset(motion_of(1, False), log_of(1, 0.4), "camera")
    assert abs(found.offset_s - 0.4) < 0.004 and found.refined is not None


def test_short_video_falls_back_on_the_linear_stage():
    long = motion_of(0, False)
    short = ImageMotion(long.frame_time_s[:70], long.affine[:69], long.matches[:5], long.size)
    found = estimate_clock_offset(short, log_of(0, 0.1), "camera", camera=CAMERA)
    assert found.refined is None and abs(found.offset_s - 0.1) < 0.02


@pytest.mark.parametrize("tool", [False, True])
@pytest.mark.parametrize("reorder", [1, -1])
def test_wrong_quaternion_order_is_refused(reorder, tool):
    with pytest.raises(InputError, match="wrong quaternion order"):
        estimate_clock_offset(motion_of(0, tool), log_of(0, 0.13, reorder=reorder), "camera")


def test_log_of_another_recording_is_not_believed():
    with pytest.raises(InputError, match="the log of another recording"):
        estimate_clock_offset(motion_of(0, False), log_of(5, 0.13), "camera", camera=CAMERA)


def test_static_camera_is_refused():
    rng = np.random.default_rng(0)
    image, tracker = render_plane(hand_held_path(np.zeros(1))[0], plane_texture(0)), MotionTracker()
    for time in FRAME_TIMES[:150]:
        tracker.add(np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8), time)
    times = np.arange(-1, 6, 1 / 40)
    poses = np.repeat(tracked_poses(np.zeros(1), 0.0), len(times), 0)
    poses[:, :3, 3] += 0.05 * rng.standard_normal((len(times), 3))
    log = TrackerLog("log.csv", "test", times, {"camera": poses})
    with pytest.raises(InputError, match=r"hardly moves[\s\S]*clock_offset_s\.scene"):
        estimate_clock_offset(tracker.result(), log, "camera", recording="scene")
    nothing = ImageMotion(FRAME_TIMES, np.full((len(FRAME_TIMES) - 1, 4), np.nan), (), (320, 256))
    with pytest.raises(InputError, match="between 0 pairs"):
        estimate_clock_offset(nothing, log, "camera")


def test_offset_outside_the_search_is_refused():
    motion = motion_of(0, False)
    with pytest.raises(InputError, match="clock_search_s"):
        estimate_clock_offset(motion, log_of(0, 0.7), "camera", search_s=0.3)
    nothing_valid = TrackerLog("log.csv", "test", np.arange(80) / 40, {"camera": np.full((80, 4, 4), np.nan)})
    nothing_valid.tracker_from_sensor["camera"][:3] = np.eye(4)
    with pytest.raises(InputError, match="too few valid poses in a common stretch"):
        estimate_clock_offset(motion, nothing_valid, "camera")
    found = estimate_clock_offset(motion, log_of(0, 2.5), "camera", search_s=4)
    assert abs(found.offset_s - 2.5) < 0.005


def test_clocks_that_share_no_time_are_searched_from_a_common_start():
    """A log in seconds since 1970 beside a video from 0; the log starts a second early."""
    found = estimate_clock_offset(motion_of(0, False), log_of(0, 1.7e9), "camera", search_s=1.5)
    assert abs(found.offset_s - 1.7e9) < 0.005


def test_motion_of_a_known_shift_and_turn():
    image = plane_texture(0, 320)
    angle, growth = 0.02, 0.015
    turn = cv2.getRotationMatrix2D((159.5, 159.5), -np.degrees(angle), 1 + growth)
    turn[:, 2] += [3, -2]
    tracker = MotionTracker()
    tracker.add(image, 0.0)
    tracker.add(cv2.warpAffine(image, turn, (320, 320), borderMode=cv2.BORDER_REFLECT), 0.5)
    found = tracker.result()
    np.testing.assert_allclose(found.affine[0], [3 / 320, -2 / 320, angle, growth], atol=2e-3)
    (match,) = found.matches
    expected = (match.first * 320 - 0.5) @ turn[:, :2].T + turn[:, 2]
    assert np.median(np.abs(match.second * 320 - 0.5 - expected)) < 0.1


def test_image_without_corners_has_no_motion():
    tracker = MotionTracker()
    for time in range(3):
        tracker.add(np.zeros((64, 64, 3), np.uint8), float(time))
    assert np.isnan(tracker.result().affine).all() and tracker.result().matches == ()

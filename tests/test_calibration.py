"""Calibration files of every kind, and calibration from a checkerboard recording."""

import json
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ingest_material import SENSOR_FROM_CAMERA, render_plane, tracked_poses, write_video
from splatscope.errors import InputError
from splatscope.geometry import Camera, invert, look_at, make_transform, pose_difference
from splatscope.images import undistort
from splatscope.ingest.calibration import Calibration, fit_to_video, read_calibration
from splatscope.ingest.checkerboard import calibrate_checkerboard, calibrate_hand_eye_from_checkerboard
from splatscope.ingest.tracker_log import TrackerLog

MATRIX = np.array([[500.0, 0, 320], [0, 510, 250], [0, 0, 1]])
DISTORTION = [-0.2, 0.05, 0.001, -0.002]
EXPECTED = Camera.from_opencv(640, 512, MATRIX, DISTORTION)


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_opencv_file_storage(tmp_path, suffix):
    path = tmp_path / f"calibration{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 512)
    storage.write("camera_matrix", MATRIX)
    storage.write("distortion_coefficients", np.array([DISTORTION]))
    storage.release()
    found = read_calibration(path)
    assert found.source == "opencv" and found.camera == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        {"image_width": 640, "image_height": 512, "camera_matrix": MATRIX.tolist(), "dist_coeffs": DISTORTION},
        {"K": MATRIX.ravel().tolist(), "D": DISTORTION, "width": 640, "height": 512},
        {"cameraMatrix": MATRIX.tolist(), "distCoeffs": [DISTORTION], "imageSize": [640, 512]},
        {  # as ROS writes it
            "image_width": 640,
            "image_height": 512,
            "distortion_model": "plumb_bob",
            "camera_matrix": {"rows": 3, "cols": 3, "data": MATRIX.ravel().tolist()},
            "distortion_coefficients": {"rows": 1, "cols": 5, "data": [*DISTORTION, 0.0]},
        },
    ],
)
def test_common_spellings(tmp_path, content):
    for name in ("calibration.json", "calibration.yml"):  # JSON is YAML too
        (tmp_path / name).write_text(json.dumps(content))
        camera = read_calibration(tmp_path / name).camera
        assert camera.to_dict() | {"distortion": []} == EXPECTED.to_dict() | {"distortion": []}
        assert camera.distortion[:4] == tuple(DISTORTION) and not any(camera.distortion[4:])


def test_colmap_text_and_binary(tmp_path):
    (tmp_path / "cameras.txt").write_text(
        "# Camera list\n1 OPENCV 640 512 500 510 320.5 250.5 -0.2 0.05 0.001 -0.002\n"
    )
    values = (500.0, 510.0, 320.5, 250.5, *DISTORTION)
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<QIiQQ8d", 1, 1, 4, 640, 512, *values))
    for name in ("cameras.txt", "cameras.bin"):
        found = read_calibration(tmp_path / name)
        assert found.source == "colmap" and found.camera == EXPECTED
    (tmp_path / "cameras.txt").write_text("3 SIMPLE_RADIAL 640 512 500 320 256 0.1\n")
    camera = read_calibration(tmp_path / "cameras.txt").camera
    assert camera == Camera(640, 512, 500, 500, 320, 256, (0.1, 0, 0, 0))


def test_colmap_binary_written_by_pycolmap(tmp_path):
    script = (
        "import sys, pycolmap\n"
        "r = pycolmap.Reconstruction()\n"
        "c = pycolmap.Camera(model='RADIAL', width=640, height=512, params=[500, 320, 256, 0.1, -0.05], camera_id=4)\n"
        "r.add_camera(c)\n"
        "r.write_binary(sys.argv[1]); r.write_text(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
    for name in ("cameras.txt", "cameras.bin"):
        assert read_calibration(tmp_path / name).camera == Camera(640, 512, 500, 500, 320, 256, (0.1, -0.05, 0, 0))


def test_calibration_is_scaled_to_a_video_of_the_same_shape():
    calibration = Calibration(EXPECTED, "opencv")
    assert fit_to_video(calibration, 640, 512, "c.yaml", "v.mp4") is calibration
    half = fit_to_video(calibration, 320, 256, "c.yaml", "v.mp4")
    assert half.scaled_from == (640, 512) and half.camera.fx == 250 and half.camera.cx == EXPECTED.cx / 2
    with pytest.raises(InputError, match=r"640x512, while v[.]mp4 has 640x480"):
        fit_to_video(calibration, 640, 480, "c.yaml", "v.mp4")


BOARD_CORNERS, SQUARE_MM = (9, 6), 10.0
BOARD_CAMERA = Camera(480, 384, 430.0, 430.0, 245.0, 188.0)


def checkerboard_texture(pixels_per_mm: int = 6) -> np.ndarray:
    """Texture of 300 mm for `render_plane`: a white plane with a board of 10x7 squares in the middle."""
    texture = np.full((300 * pixels_per_mm,) * 2 + (3,), 235, np.uint8)
    side = round(SQUARE_MM * pixels_per_mm)
    left, top = (300 * pixels_per_mm - 10 * side) // 2, (300 * pixels_per_mm - 7 * side) // 2
    for row in range(7):
        for column in range(10):
            if (row + column) % 2 == 0:
                y, x = top + row * side, left + column * side
                texture[y : y + side, x : x + side] = 20
    return texture


def board_path(time_s: np.ndarray) -> np.ndarray:
    """`world_from_camera` [N, 4, 4]: round the board, tilted to all sides, with some roll."""
    eyes = np.stack([70 * np.sin(1.3 * time_s), 60 * np.sin(1.9 * time_s + 1), 150 + 20 * np.sin(1.1 * time_s)], 1)
    poses = np.array([look_at(eye, np.array([0, 0, 0.0]), np.array([0, -1.0, 0])) for eye in eyes])
    roll = Rotation.from_rotvec(np.radians(25) * np.sin(0.9 * time_s)[:, None] * [0, 0, 1]).as_matrix()
    return poses @ make_transform(roll, np.zeros(3))


def test_checkerboard_recording_gives_intrinsics_and_hand_eye(tmp_path):
    texture, offset = checkerboard_texture(), 0.2
    video_poses = board_path(np.arange(0, 150, 2) / 30)
    video = write_video(tmp_path / "board.mp4", (render_plane(p, texture, BOARD_CAMERA) for p in video_poses), 15)
    board = calibrate_checkerboard(video, BOARD_CORNERS, SQUARE_MM)
    assert board.reprojection_error_px < 0.3 and board.orientation_known and len(board.time_s) > 50
    assert abs(board.camera.fx / 430 - 1) < 0.01 and abs(board.camera.fy / 430 - 1) < 0.01
    assert abs(board.camera.cx - 245) < 3 and abs(board.camera.cy - 188) < 3

    times = np.arange(-0.5, 5.5, 1 / 40)
    tracker_from_world = tracked_poses(np.zeros(1), 0.0, jitter=False)[0]
    rng = np.random.default_rng(0)
    jitter = make_transform(
        Rotation.from_rotvec(np.radians(0.1) * rng.standard_normal((len(times), 3))).as_matrix(),
        0.1 * rng.standard_normal((len(times), 3)),
    )
    poses = tracker_from_world @ board_path(times) @ invert(SENSOR_FROM_CAMERA) @ jitter
    log = TrackerLog("log.csv", "test", times + offset, {"camera": poses})
    found = calibrate_hand_eye_from_checkerboard(board, log, "camera", offset)
    distance, angle = pose_difference(found.camera_sensor_from_camera, SENSOR_FROM_CAMERA)
    assert distance < 1.0 and angle < 0.3
    assert found.residual_mm < 1.5 and found.residual_deg < 0.5
    with pytest.raises(InputError, match="views with a tracker pose"):
        calibrate_hand_eye_from_checkerboard(board, log, "camera", 100.0)


def test_recording_without_the_board_is_refused(tmp_path):
    texture = checkerboard_texture()
    poses = board_path(np.arange(4) / 30)
    video = write_video(tmp_path / "board.mp4", (render_plane(p, texture, BOARD_CAMERA) for p in poses))
    with pytest.raises(InputError, match=r"7x5 inner corners in 0 views[\s\S]*checkerboard_corners"):
        calibrate_checkerboard(video, (7, 5), SQUARE_MM)


def test_undistortion_uses_the_calibrated_camera():
    """A distorted straight line becomes straight (OpenCV's own model on both sides, through our camera)."""
    grid = np.stack(np.meshgrid(np.linspace(-0.4, 0.4, 9), np.zeros(9)), -1).reshape(-1, 2)
    points = np.column_stack([grid, np.ones(len(grid))])
    pixels = cv2.projectPoints(points, np.zeros(3), np.zeros(3), EXPECTED.opencv_matrix, np.array(DISTORTION))[0][:, 0]
    image = np.zeros((512, 640), np.uint8)
    for x, y in pixels:
        cv2.circle(image, (round(x * 16), round(y * 16)), 48, 255, -1, cv2.LINE_AA, 4)
    rows = np.argwhere(undistort(image, EXPECTED) > 128)[:, 0]
    assert abs(rows - 250).max() <= 4

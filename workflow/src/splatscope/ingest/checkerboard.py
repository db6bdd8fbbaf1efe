"""Calibration from a recording of a checkerboard: intrinsics, and the hand-eye transform from its tracked poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.geometry import Camera, invert, make_transform, pose_difference
from splatscope.ingest.calibration import Calibration
from splatscope.ingest.motion import ImageMotion, MotionTracker
from splatscope.ingest.tracker_log import TrackerLog
from splatscope.ingest.video import read_frames

SEARCHED_FRAMES = 80  # frames in which the board is looked for, evenly spread
CALIBRATION_VIEWS = 40  # the most different of those found; more add time, not accuracy
MIN_VIEWS = 8
WORST_VIEW_RATIO = 3.0  # views with more than this times the median error are left out
DEG_PER_MM = 1.0  # weight of rotation against translation in hand-eye refinement


@dataclass(frozen=True)
class Checkerboard:
    """What was seen of the board, and the camera that explains it."""

    camera: Camera
    reprojection_error_px: float  # RMS over the views that calibrated
    time_s: np.ndarray  # [V] video times of the views
    camera_from_board: np.ndarray  # [V, 4, 4], mm; board axes: x along a row of corners, z away from the viewer
    motion: ImageMotion  # of all frames, for the clock
    orientation_known: bool  # False: the board looks the same turned by 180 degrees

    def calibration(self) -> Calibration:
        return Calibration(self.camera, "checkerboard", self.reprojection_error_px)


@dataclass(frozen=True)
class HandEye:
    """Hand-eye transform of the camera sensor; residuals are RMS over the views."""

    camera_sensor_from_camera: np.ndarray  # [4, 4], mm
    tracker_from_board: np.ndarray  # [4, 4], mm
    residual_mm: float
    residual_deg: float
    views: int


def calibrate_checkerboard(
    video: str | Path, corners: tuple[int, int], square_mm: float, folder_fps: float = 30.0
) -> Checkerboard:
    """Intrinsics (k1 k2 p1 p2) from a recording of a board with `corners` (per row, per column) inner corners.

    Raises InputError when the board is seen in too few frames.
    """
    times, points, motion, size = _find_boards(video, corners, folder_fps)
    if len(times) < MIN_VIEWS:
        raise InputError(
            video,
            found=f"a board of {corners[0]}x{corners[1]} inner corners in {len(times)} views",
            expected=f"at least {MIN_VIEWS} views of it",
            remedy="set ingest.checkerboard_corners to the inner corners of the board, or record it again, "
            "whole in view, sharp and from different sides",
        )
    board = np.zeros((corners[0] * corners[1], 3), np.float32)
    board[:, :2] = np.mgrid[: corners[0], : corners[1]].T.reshape(-1, 2) * square_mm
    chosen = _most_different(points, size)
    rms, matrix, distortion, errors = _calibrate(board, points[chosen], size)
    good = errors <= WORST_VIEW_RATIO * np.median(errors)
    if good.sum() >= MIN_VIEWS and not good.all():
        rms, matrix, distortion, _ = _calibrate(board, points[chosen][good], size)
    camera = Camera.from_opencv(*size, matrix, distortion[:4])
    poses = []
    for view in points:
        _, turn, shift = cv2.solvePnP(board, view, matrix, distortion)
        poses.append(make_transform(cv2.Rodrigues(turn)[0], shift[:, 0]))
    return Checkerboard(camera, float(rms), times, np.array(poses), motion, orientation_known=sum(corners) % 2 == 1)


def calibrate_hand_eye_from_checkerboard(
    board: Checkerboard,
    log: TrackerLog,
    sensor: str,
    clock_offset_s: float,
    max_gap_s: float = 0.15,
    video: str | Path = "checkerboard recording",
) -> HandEye:
    """Solve `tracker_from_sensor @ sensor_from_camera @ camera_from_board = tracker_from_board` over all views.

    Start: Park and Martin 1994 (cv2.calibrateHandEye); then both unknowns are refined with a soft-L1 loss on the
    difference of the two sides. Raises InputError when too few views have a pose or the camera turned too little.
    """
    if not board.orientation_known:
        raise InputError(
            video,
            found="a board that looks the same turned by 180 degrees",
            expected="an odd number of inner corners one way and an even number the other way",
            remedy="use another board, or leave ingest.checkerboard_tracker empty",
        )
    tracker_from_sensor = log.poses_at(sensor, board.time_s + clock_offset_s, max_gap_s)
    seen = np.isfinite(tracker_from_sensor).all((1, 2))
    tracker_from_sensor, camera_from_board = tracker_from_sensor[seen], board.camera_from_board[seen]
    turned = _spread_deg(tracker_from_sensor) if seen.sum() >= MIN_VIEWS else 0.0
    if seen.sum() < MIN_VIEWS or turned < 10:
        raise InputError(
            video,
            f"with {log.file}",
            found=f"{int(seen.sum())} views with a tracker pose, turned by {turned:.0f} degrees",
            expected=f"at least {MIN_VIEWS} views, turned by 10 degrees or more about different axes",
            remedy="record the board from more sides, or leave ingest.checkerboard_tracker empty",
        )
    rotation, translation = cv2.calibrateHandEye(
        list(tracker_from_sensor[:, :3, :3]),
        list(tracker_from_sensor[:, :3, 3]),
        list(camera_from_board[:, :3, :3]),
        list(camera_from_board[:, :3, 3]),
        method=cv2.CALIB_HAND_EYE_PARK,
    )
    start = make_transform(rotation, translation[:, 0])
    boards = tracker_from_sensor @ start @ camera_from_board
    middle = make_transform(Rotation.from_matrix(boards[:, :3, :3]).mean().as_matrix(), np.median(boards[:, :3, 3], 0))

    def difference(parameters: np.ndarray) -> np.ndarray:
        hand_eye, board_pose = start @ _exponential(parameters[:6]), middle @ _exponential(parameters[6:])
        relative = invert(board_pose) @ tracker_from_sensor @ hand_eye @ camera_from_board
        turn = np.degrees(Rotation.from_matrix(relative[:, :3, :3]).as_rotvec()) / DEG_PER_MM
        return np.concatenate([turn.ravel(), relative[:, :3, 3].ravel()])

    solution = least_squares(difference, np.zeros(12), loss="soft_l1", x_scale="jac").x
    hand_eye, board_pose = start @ _exponential(solution[:6]), middle @ _exponential(solution[6:])
    distance, angle = pose_difference(tracker_from_sensor @ hand_eye @ camera_from_board, board_pose)
    return HandEye(
        hand_eye,
        board_pose,
        float(np.sqrt((distance**2).mean())),
        float(np.sqrt((angle**2).mean())),
        int(seen.sum()),
    )


def _find_boards(video: str | Path, corners: tuple[int, int], folder_fps: float):
    """Times [V], corners [V, N, 2] float32 (OpenCV pixels), motion, (width, height)."""
    total = sum(1 for _ in read_frames(video, folder_fps))
    step = max(total // SEARCHED_FRAMES, 1)
    times, points, tracker = [], [], MotionTracker()
    for frame in read_frames(video, folder_fps):
        tracker.add(frame.rgb, frame.time_s)
        if frame.index % step:
            continue
        grey = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        found, view = cv2.findChessboardCornersSB(grey, corners)
        if found:
            times.append(frame.time_s)
            points.append(_oriented(grey, view[:, 0], corners))
    points = np.array(points, np.float32).reshape(-1, corners[0] * corners[1], 2)
    motion = tracker.result()
    return np.array(times), points, motion, motion.size


def _oriented(grey: np.ndarray, points: np.ndarray, corners: tuple[int, int]) -> np.ndarray:
    """The corners from the end at which the first inner square is dark."""
    grid = points.reshape(corners[1], corners[0], 2)

    def brightness(row: int, column: int) -> float:
        x, y = grid[row : row + 2, column : column + 2].mean((0, 1)).astype(int)
        return float(grey[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())

    return points[::-1] if brightness(0, 0) > brightness(0, 1) else points


def _most_different(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Indices of up to CALIBRATION_VIEWS views: farthest-point sampling of where the board's outer corners lie."""
    described = points[:, [0, -1]].reshape(len(points), -1) / max(size)
    described = np.column_stack([described, points.std(1) / max(size)])
    chosen = [0]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(CALIBRATION_VIEWS, len(points)):
        distance = np.minimum(distance, np.linalg.norm(described - described[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(sorted(chosen))


def _calibrate(board: np.ndarray, points: np.ndarray, size: tuple[int, int]):
    """RMS error, matrix, distortion and error per view [V] of cv2.calibrateCamera."""
    result = cv2.calibrateCameraExtended([board] * len(points), list(points), size, None, None, flags=cv2.CALIB_FIX_K3)
    return result[0], result[1], result[2].ravel(), result[7].ravel()


def _spread_deg(transforms: np.ndarray) -> float:
    rotation = Rotation.from_matrix(transforms[:, :3, :3])
    return float(np.degrees((rotation[0].inv() * rotation).magnitude()).max())


def _exponential(parameters: np.ndarray) -> np.ndarray:
    return make_transform(Rotation.from_rotvec(parameters[:3]).as_matrix(), parameters[3:])

"""Clock offset and hand-eye transform together, from corners matched between frames and the tracker's poses.

The tracker says how the camera sensor moved between two frames; with the sensor-to-camera transform X and the clock
offset that is how the camera moved, (R, t), and every corner of the static scene must satisfy the epipolar constraint
p0^T [t]x R p1 = 0 at whatever depth. X and the offset are found by robust least squares on the Sampson distance
(Hartley and Zisserman 2004, Eq. 11.9) over all corners of the recording. Neither depth nor 3D reconstruction is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from splatscope.geometry import Camera, interpolate_poses, invert, make_transform
from splatscope.ingest.motion import TRACKING_WIDTH, Match
from splatscope.ingest.tracker_log import TrackerLog

STEP_S = 0.005  # the sensor's poses are resampled to this step
SMOOTHING_S = 0.3  # Savitzky-Golay window over the poses: takes most of the tracker's jitter away
MAX_SENSOR_GAP_S = 0.15
MIN_MATCHES = 8
POINTS_PER_MATCH = 60
MAX_EVALUATIONS = 40  # of the residual; right logs need 10 to 25
BLOCKS = 8  # of the jackknife
# what makes a fit believed: measured 3.8 to 100 with 0.9 of the corners inside for logs of the same recording, at most
# 2.7 with 0.3 inside or 1.1 with 0.55 inside for logs of another one or with another quaternion order
CLEAR_DISTINCTNESS, CLEAR_INLIER_SHARE = 2.5, 0.5
SHIFTS_S = (-0.25, 0.25)  # far from the offset, to see whether it matters
INLIER_PX = 2.0  # of the tracking image
GUESSED_FOCAL = 0.9  # image widths; where there is no calibration the focal length is estimated too
_SCALES = np.array([0.1, 0.1, 0.1, 30.0, 30.0, 30.0, 0.03, 0.1])  # rad, mm, s, log focal length


@dataclass(frozen=True)
class EpipolarFit:
    """Result of the refinement."""

    clock_offset_s: float
    uncertainty_s: float  # standard error by jackknife over blocks of the recording; infinite where not clear
    camera_sensor_from_camera: np.ndarray  # [4, 4], mm
    inlier_share: float  # of the corners, within INLIER_PX of their epipolar line
    residual_px: float  # median distance of all corners from it, in pixels of the tracking image
    distinctness: float  # how many times larger that is when the offset is shifted by 0.25 s and the rest solved again
    clear: bool  # whether that is enough to believe the fit


def refine_clock(
    matches: Sequence[Match],
    log: TrackerLog,
    sensor: str,
    clock_offset_s: float,
    sensor_from_camera: np.ndarray,
    size: tuple[int, int],
    camera: Camera | None,
) -> EpipolarFit | None:
    """Refine a clock offset from its start value and a start rotation [3, 3]; None when too few matches have poses.

    `size` is the video's width and height; `camera` its calibration, None when unknown.
    """
    track = _SmoothTrack(log, sensor)
    known = track.select(matches, clock_offset_s)
    if len(known) < MIN_MATCHES:
        return None
    view = (size, camera)
    residual, pair = _residual_function(known, track, clock_offset_s, sensor_from_camera, *view)
    count = 7 if camera else 8
    solution = _solve(residual, np.zeros(count), slice(None), MAX_EVALUATIONS)
    distance = np.abs(residual(solution))
    offset = clock_offset_s + float(solution[6] * _SCALES[6])
    hand_eye = _hand_eye(solution, sensor_from_camera)
    elsewhere = [_residual_at(matches, track, offset + shift, hand_eye, *view) for shift in SHIFTS_S]
    median = float(np.median(distance))
    distinctness = min(elsewhere) / max(median, 1e-3)
    inlier_share = float((distance < INLIER_PX).mean())
    clear = distinctness >= CLEAR_DISTINCTNESS and inlier_share >= CLEAR_INLIER_SHARE
    return EpipolarFit(
        offset,
        _jackknife(residual, solution, pair * BLOCKS // len(known)) if clear else float("inf"),
        hand_eye,
        inlier_share,
        median,
        distinctness,
        clear,
    )


def _jackknife(residual, solution: np.ndarray, block: np.ndarray) -> float:
    """Standard error in seconds of the offset, from leaving out each block of corners [M] in turn."""
    left_out = [_solve(residual, solution, block != index, 6)[6] * _SCALES[6] for index in range(BLOCKS)]
    return float(np.sqrt((BLOCKS - 1) * np.var(left_out)))


def _residual_at(matches, track: _SmoothTrack, clock_offset_s: float, hand_eye: np.ndarray, size, camera) -> float:
    """Median distance at a given clock offset, with the hand-eye transform solved again; infinite without poses."""
    known = track.select(matches, clock_offset_s)
    if len(known) < MIN_MATCHES:
        return float("inf")
    residual, _ = _residual_function(known, track, clock_offset_s, hand_eye[:3, :3], size, camera)
    start = np.concatenate([np.zeros(3), hand_eye[:3, 3] / _SCALES[3:6]])

    def fixed_clock(parameters: np.ndarray) -> np.ndarray:
        return residual(np.concatenate([parameters, np.zeros(1 if camera else 2)]))

    return float(np.median(np.abs(fixed_clock(_solve(fixed_clock, start, slice(None), 10)))))


def start_rotation(twist: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Rough `sensor_from_camera` rotation [3, 3] from body twists [P, 6] and affine image motion per second [P, 4].

    To first order the image shifts against the camera's own x and y velocity and turns against its rotation about z:
    the fitted linear map holds the camera's axes in the sensor's frame.
    """
    weights = np.linalg.lstsq(twist, rate, rcond=None)[0].T  # [4, 6]
    x, y, z = -weights[0, 3:], -weights[1, 3:], -weights[2, :3]
    scale = (np.linalg.norm(x) + np.linalg.norm(y)) / 2
    u, _, vt = np.linalg.svd(np.stack([x / scale, y / scale, z]))
    return (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).T


class _SmoothTrack:
    """The sensor's smoothed poses, to be asked at any time."""

    def __init__(self, log: TrackerLog, sensor: str):
        poses, seen = log.tracker_from_sensor[sensor], log.valid(sensor)
        times = log.time_s[seen]
        self.start = np.ceil(times[0] / STEP_S)
        grid = np.arange(self.start, np.floor(times[-1] / STEP_S) + 1) * STEP_S
        grid = np.clip(grid, times[0], times[-1])
        transforms = interpolate_poses(times, poses[seen], grid)
        quaternion = Rotation.from_matrix(transforms[:, :3, :3]).as_quat()
        turned = np.sign((quaternion[1:] * quaternion[:-1]).sum(1))  # q and -q are one rotation: keep to one side
        quaternion[1:] *= np.cumprod(turned)[:, None]
        values = np.column_stack([quaternion, transforms[:, :3, 3]])
        window = 2 * round(SMOOTHING_S / STEP_S / 2) + 1
        self.values = savgol_filter(values, window, 2, axis=0) if len(values) >= window else values
        after = np.clip(np.searchsorted(times, grid, side="right"), 1, len(times) - 1)
        self.values[times[after] - times[after - 1] > MAX_SENSOR_GAP_S] = np.nan

    def select(self, matches: Sequence[Match], clock_offset_s: float) -> list[Match]:
        """The matches between frames that both have a pose."""
        times = np.array([(m.first_time_s, m.second_time_s) for m in matches]).reshape(-1, 2) + clock_offset_s
        seen = np.isfinite(self.at(times.ravel())).all((1, 2)).reshape(-1, 2).all(1)
        return [match for match, both in zip(matches, seen) if both]

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """`tracker_from_sensor` [M, 4, 4]; NaN in gaps and outside."""
        position = time_s / STEP_S - self.start
        low = np.clip(np.floor(position), 0, len(self.values) - 2).astype(int)
        fraction = (position - low)[:, None]
        value = self.values[low] * (1 - fraction) + self.values[low + 1] * fraction
        good = (position >= 0) & (position <= len(self.values) - 1) & np.isfinite(value).all(1)
        result = np.full((len(time_s), 4, 4), np.nan)
        result[good] = make_transform(Rotation.from_quat(value[good, :4]).as_matrix(), value[good, 4:])
        return result


def _residual_function(
    matches: Sequence[Match],
    track: _SmoothTrack,
    clock_offset_s: float,
    rotation: np.ndarray,
    size: tuple[int, int],
    camera: Camera | None,
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """The Sampson distances [M] in tracking pixels as a function of the parameters, and each corner's match [M]."""
    chosen = [np.unique(np.linspace(0, len(m.first) - 1, POINTS_PER_MATCH).astype(int)) for m in matches]
    pair = np.repeat(np.arange(len(matches)), [len(index) for index in chosen])
    first = _rays(np.concatenate([m.first[index] for m, index in zip(matches, chosen)]), size, camera)
    second = _rays(np.concatenate([m.second[index] for m, index in zip(matches, chosen)]), size, camera)
    first_time = np.array([m.first_time_s for m in matches]) + clock_offset_s
    second_time = np.array([m.second_time_s for m in matches]) + clock_offset_s
    focal_px = TRACKING_WIDTH * (camera.fx / camera.width if camera else GUESSED_FOCAL)

    def residual(parameters: np.ndarray) -> np.ndarray:
        hand_eye = _hand_eye(parameters, rotation)
        shift = parameters[6] * _SCALES[6]
        focal = np.exp(parameters[7] * _SCALES[7]) if len(parameters) > 7 else 1.0
        motion = invert(track.at(first_time + shift) @ hand_eye) @ track.at(second_time + shift) @ hand_eye
        direction = motion[:, :3, 3] / np.maximum(np.linalg.norm(motion[:, :3, 3], axis=1, keepdims=True), 1e-9)
        essential = (_cross(direction) @ motion[:, :3, :3])[pair]
        p0, p1 = first / [focal, focal, 1], second / [focal, focal, 1]
        line0 = np.einsum("nij,nj->ni", essential, p1)
        line1 = np.einsum("nij,ni->nj", essential, p0)
        norm = np.sqrt((line0[:, :2] ** 2).sum(1) + (line1[:, :2] ** 2).sum(1)) + 1e-12
        distance = (p0 * line0).sum(1) / norm * focal_px * focal
        return np.where(np.isfinite(distance), distance, 2 * INLIER_PX)  # a pose lost to the shift counts as outlier

    return residual, pair


def _rays(points: np.ndarray, size: tuple[int, int], camera: Camera | None) -> np.ndarray:
    """Undistorted (x, y, 1) [M, 3] of points [M, 2] in image widths."""
    pixels = points * size[0]
    if camera is None:
        rays = (pixels - np.array(size) / 2) / (GUESSED_FOCAL * size[0])
    else:
        distortion = np.array(camera.distortion) if camera.distortion else None
        rays = cv2.undistortPoints((pixels - 0.5)[:, None], camera.opencv_matrix, distortion)[:, 0]
    return np.column_stack([rays, np.ones(len(rays))])


def _hand_eye(parameters: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    scaled = parameters * _SCALES[: len(parameters)]
    return make_transform(rotation @ Rotation.from_rotvec(scaled[:3]).as_matrix(), scaled[3:6])


def _solve(residual, start: np.ndarray, chosen, max_evaluations: int) -> np.ndarray:
    return least_squares(lambda p: residual(p)[chosen], start, loss="cauchy", max_nfev=max_evaluations).x


def _cross(vector: np.ndarray) -> np.ndarray:
    """Matrices [N, 3, 3] of the cross product with vectors [N, 3]."""
    matrix = np.zeros((len(vector), 3, 3))
    matrix[:, [2, 0, 1], [1, 2, 0]] = vector
    matrix[:, [1, 2, 0], [2, 0, 1]] = -vector
    return matrix

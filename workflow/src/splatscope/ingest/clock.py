"""The clock offset between video and tracker: `tracker_time = video_time + clock_offset_s`.

While depth stays roughly the same, image motion y [4] (shift, rotation, expansion per second) is a constant linear map
of the camera sensor's body twist x [6] (angular and linear velocity in the sensor's own axes): y = A x. The unknown
sensor-to-camera transform is part of A, so none is needed. For each offset of a grid A is fitted; the offset that
explains most of the image motion is the answer. Its uncertainty comes from resampling blocks of the recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.ingest.tracker_log import TrackerLog

GRID_STEP_S = 0.004
TWIST_STEP_S = 0.005  # the sensor's velocity is resampled to this step
SMOOTHING_S = 0.2  # length of the Savitzky-Golay window over the velocity
BLOCK_S = 1.0
RESAMPLES = 200
MAX_PAIR_GAP_S = 0.25
MIN_PAIRS = 20
RELIABLE_UNCERTAINTY_S = 0.015
# least residual more than 0.2 s away over that at the best offset: measured 4 to 60 for logs of the same recording,
# 1.0 to 1.3 for logs of another one
MIN_DISTINCTNESS, RELIABLE_DISTINCTNESS = 1.2, 2.0
# residual with the other quaternion order over that with the log's own: measured 0.1 to 0.77 for wrong logs, 1.3 to 9
# for right ones
WRONG_ORDER_RATIO = 0.8
_MAX_SENSOR_GAP_S = 0.15


@dataclass(frozen=True)
class ClockOffset:
    """Result of the estimation; times in seconds."""

    offset_s: float
    uncertainty_s: float  # standard deviation over block resamples
    r_squared: float  # share of the image motion's variance that the tracker explains
    distinctness: float  # how much larger the residual is at the next best offset, more than 0.2 s away
    pairs: int  # frame pairs used
    reliable: bool  # small uncertainty, and no other offset fits about as well


def estimate_clock_offset(
    frame_time_s: np.ndarray,
    motion: np.ndarray,
    log: TrackerLog,
    sensor: str,
    *,
    search_s: float = 1.0,
    min_r_squared: float = 0.3,
    video: str = "video",
    recording: str = "",
    seed: int = 0,
) -> ClockOffset:
    """Estimate the offset from `motion` [N - 1, 4] between consecutive frames at `frame_time_s` [N].

    Offsets are searched within `search_s` of 0, or of the offset that starts both together when they share no time.
    Raises InputError when there is too little motion or common time, when the tracker does not explain the motion,
    when the best offset lies at the edge of the search, or when the log's quaternions are in another order.
    """
    remedy = f"set ingest.clock_offset_s.{recording or '<recording>'} to the known offset in seconds"
    pair_time, rate = _motion_rates(frame_time_s, motion)
    if len(pair_time) < MIN_PAIRS:
        raise InputError(
            video,
            found=f"image motion measurable between {len(pair_time)} pairs of frames",
            expected=f"at least {MIN_PAIRS}, to find the clock offset between video and tracker",
            remedy=f"record a longer, textured video, or {remedy}",
        )
    centre = _search_centre(frame_time_s, log, search_s)
    offsets = centre + np.arange(-round(search_s / GRID_STEP_S), round(search_s / GRID_STEP_S) + 1) * GRID_STEP_S
    transforms = log.require(sensor, "ingest.camera_sensor")
    fit = _best_offset(pair_time, rate, log.time_s, transforms, offsets)
    if fit is None:
        raise InputError(
            log.file,
            found=f"tracker times {log.time_s[0]:.3f} to {log.time_s[-1]:.3f} s beside video times "
            f"{pair_time[0]:.3f} to {pair_time[-1]:.3f} s: too few valid poses in a common stretch",
            expected=f"a log of this video, clocks within {search_s} s of each other or started together",
            remedy=f"raise ingest.clock_search_s, or {remedy}",
        )
    offset = fit.offset_s
    _check_quaternion_order(pair_time, rate, log, sensor, fit, offsets)
    distinctness = _distinctness(offsets, fit)
    if fit.r_squared < min_r_squared or distinctness < MIN_DISTINCTNESS:
        raise InputError(
            video,
            f"against sensor {sensor!r} of {log.file}",
            found=f"the tracker explains {100 * max(fit.r_squared, 0):.0f} % of the image motion at the best clock "
            f"offset ({offset:+.3f} s), where the residual is {distinctness:.1f} times smaller than elsewhere: a "
            "camera that hardly moves, the log of another recording, or the wrong sensor",
            expected=f"at least {100 * min_r_squared:.0f} % (ingest.clock_min_r_squared) and {MIN_DISTINCTNESS} times",
            remedy=f"check the log and ingest.camera_sensor, or {remedy}",
        )
    if abs(offset - centre) > search_s - 2 * GRID_STEP_S:
        raise InputError(
            log.file,
            found=f"the best clock offset {offset:+.3f} s at the edge of the search",
            expected=f"an offset within {search_s} s of {centre:.3f} s",
            remedy=f"raise ingest.clock_search_s, or {remedy}",
        )
    uncertainty = _bootstrap(offsets, fit, seed)
    reliable = uncertainty <= RELIABLE_UNCERTAINTY_S and distinctness >= RELIABLE_DISTINCTNESS
    return ClockOffset(offset, uncertainty, fit.r_squared, distinctness, len(pair_time), reliable)


def _search_centre(frame_time_s: np.ndarray, log: TrackerLog, search_s: float) -> float:
    """0, or the offset that starts both together when the two clocks share no time (a log in seconds since 1970)."""
    apart = max(log.time_s[0] - frame_time_s[-1], frame_time_s[0] - log.time_s[-1])
    return float(log.time_s[0] - frame_time_s[0]) if apart > search_s else 0.0


def _motion_rates(frame_time_s: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle times [P] and motion per second [P, 4] of the usable pairs, clipped at 6 robust deviations."""
    step = np.diff(frame_time_s)
    usable = np.isfinite(motion).all(1) & (step <= MAX_PAIR_GAP_S)
    rate = motion[usable] / step[usable, None]
    if len(rate):
        spread = 1.4826 * np.median(np.abs(rate - np.median(rate, axis=0)), axis=0)
        limit = 6 * np.maximum(spread, 1e-3)
        rate = np.clip(rate, -limit, limit)
    return (frame_time_s[:-1] + frame_time_s[1:])[usable] / 2, rate


def _body_twists(time_s: np.ndarray, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times [M] at TWIST_STEP_S and smoothed body twists [M, 6] (rad/s, mm/s); NaN inside gaps of the sensor."""
    seen = np.isfinite(transforms).all((1, 2))
    time_s, transforms = time_s[seen], transforms[seen]
    step = np.diff(time_s)
    rotation = Rotation.from_matrix(transforms[:, :3, :3])
    angular = (rotation[:-1].inv() * rotation[1:]).as_rotvec() / step[:, None]
    middle = rotation[:-1] * Rotation.from_rotvec(angular * step[:, None] / 2)
    linear = middle.inv().apply(np.diff(transforms[:, :3, 3], axis=0) / step[:, None])
    centre = (time_s[:-1] + time_s[1:]) / 2
    grid = np.arange(np.ceil(centre[0] / TWIST_STEP_S), np.floor(centre[-1] / TWIST_STEP_S) + 1) * TWIST_STEP_S
    twist = np.column_stack([np.interp(grid, centre, column) for column in np.column_stack([angular, linear]).T])
    window = 2 * round(SMOOTHING_S / TWIST_STEP_S / 2) + 1
    if len(twist) >= window:
        twist = savgol_filter(twist, window, 2, axis=0)
    interval = np.clip(np.searchsorted(time_s, grid, side="right"), 1, len(time_s) - 1) - 1
    twist[step[interval] > _MAX_SENSOR_GAP_S] = np.nan
    return grid, twist


@dataclass(frozen=True)
class _Fit:
    offset_s: float
    r_squared: float  # at the offset
    score: np.ndarray  # [K] of every offset of the grid; NaN where too few pairs have a pose
    sums: tuple[np.ndarray, ...]  # of every block and offset, as `_block_sums` returns them


def _best_offset(pair_time, rate, time_s, transforms, offsets) -> _Fit | None:
    """The offset with the best score, or None when no offset has enough common samples."""
    if np.isfinite(transforms).all((1, 2)).sum() < 10:
        return None
    grid, twist = _body_twists(time_s, transforms)
    if len(grid) < 2:
        return None
    weight = np.ones(len(pair_time))
    for _ in range(2):  # the second pass lets go of pairs that the first could not explain
        sums = _block_sums(pair_time, rate, grid, twist, offsets, weight)
        total = [part.sum(0) for part in sums]
        score = np.where(total[3] >= max(len(pair_time), MIN_PAIRS) / 2, _score(*total), np.nan)
        if not np.isfinite(score).any():
            return None
        offset = _maximum(offsets, score)
        weight = _pair_weights(pair_time, rate, grid, twist, offset)
    top = int(np.nanargmax(score))
    explained, motion = _explained(*(part[top] for part in total[:3]))
    return _Fit(offset, float(np.trace(explained) / np.trace(motion)), score, sums)


def _twists_at(grid: np.ndarray, twist: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    position = (time_s - grid[0]) / TWIST_STEP_S
    inside = (position >= 0) & (position <= len(grid) - 1)
    low = np.clip(position.astype(int), 0, len(grid) - 2)
    fraction = (position - low)[:, None]
    value = twist[low] * (1 - fraction) + twist[low + 1] * fraction
    value[~inside] = np.nan
    return value


def _block_sums(pair_time, rate, grid, twist, offsets, weight):
    """Weighted sums x x^T [B, K, 6, 6], x y^T [B, K, 6, 4], y y [B, K, 4] and counts [B, K] per block and offset."""
    scale = np.maximum(np.sqrt((rate**2).mean(0)), 1e-6)
    y = rate / scale
    twist = twist / np.maximum(np.sqrt(np.nanmean(twist**2, axis=0)), 1e-9)
    block = ((pair_time - pair_time[0]) / BLOCK_S).astype(int)
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    parts = [[], [], [], []]
    for offset in offsets:
        x = _twists_at(grid, twist, pair_time + offset)
        w = np.where(np.isfinite(x).all(1), weight, 0)
        x = np.nan_to_num(x)
        parts[0].append(np.add.reduceat(w[:, None, None] * x[:, :, None] * x[:, None, :], starts))
        parts[1].append(np.add.reduceat(w[:, None, None] * x[:, :, None] * y[:, None, :], starts))
        parts[2].append(np.add.reduceat(w[:, None, None] * y[:, :, None] * y[:, None, :], starts))
        parts[3].append(np.add.reduceat((w > 0).astype(float), starts))
    return tuple(np.stack(part, axis=1) for part in parts)


def _explained(xx, xy, yy) -> tuple[np.ndarray, np.ndarray]:
    """What the fitted map explains of the motion's moments [..., 4, 4], and these moments."""
    ridge = (1e-6 * np.trace(xx, axis1=-2, axis2=-1) + 1e-12)[..., None, None] * np.eye(6)
    return np.swapaxes(xy, -1, -2) @ np.linalg.solve(xx + ridge, xy), yy


def _score(xx, xy, yy, count) -> np.ndarray:
    """How well the map fits at each offset [...]: 1 - det(residual)^(1/4), the Gaussian likelihood with an unknown
    covariance of the residuals. Channels that something else disturbs (a moving tool, depth) count less by themselves.
    """
    explained, motion = _explained(xx, xy, yy)
    residual = (motion - explained) / np.maximum(count, 1)[..., None, None] + 1e-9 * np.eye(4)
    return 1 - np.exp(np.linalg.slogdet(residual)[1] / 4)


def _maximum(offsets: np.ndarray, score: np.ndarray) -> float:
    """Offset of the maximum: of a parabola over the scores within 20 ms of the largest."""
    top = int(np.nanargmax(score))
    near = slice(max(top - 5, 0), top + 6)
    x, y = offsets[near] - offsets[top], score[near]
    good = np.isfinite(y)
    if good.sum() < 5:
        return float(offsets[top])
    a, b, _ = np.polyfit(x[good], y[good], 2)
    return float(offsets[top] + np.clip(-b / (2 * a), x[0], x[-1])) if a < 0 else float(offsets[top])


def _pair_weights(pair_time, rate, grid, twist, offset) -> np.ndarray:
    """Tukey weights [P] of the pairs by how well the fitted map explains each."""
    x = _twists_at(grid, twist, pair_time + offset)
    good = np.isfinite(x).all(1)
    scale = np.maximum(np.sqrt((rate**2).mean(0)), 1e-6)
    solution = np.linalg.lstsq(x[good], (rate / scale)[good], rcond=None)[0]
    error = np.linalg.norm((rate / scale) - np.nan_to_num(x) @ solution, axis=1)
    spread = 1.4826 * np.median(error[good]) + 1e-6
    return np.where(good, np.clip(1 - (error / (4.685 * spread)) ** 2, 0, None) ** 2, 1.0)


def _distinctness(offsets: np.ndarray, fit: _Fit) -> float:
    far = np.where(np.abs(offsets - fit.offset_s) > 0.2, 1 - fit.score, np.nan)
    return float(np.nanmin(far) / (1 - np.nanmax(fit.score))) if np.isfinite(far).any() else 1.0


def _bootstrap(offsets, fit: _Fit, seed: int) -> float:
    """Standard deviation of the best offset over resampled blocks, searched within 0.1 s of the full answer."""
    near = (np.abs(offsets - fit.offset_s) <= 0.1) & np.isfinite(fit.score)
    blocks = len(fit.sums[0])
    rng = np.random.default_rng([seed, 0x0FF5E7])
    drawn = np.stack([np.bincount(rng.integers(0, blocks, blocks), minlength=blocks) for _ in range(RESAMPLES)])
    scores = _score(*(np.tensordot(drawn.astype(float), part[:, near], axes=1) for part in fit.sums))
    return float(np.std([_maximum(offsets[near], score) for score in scores]))


def _check_quaternion_order(pair_time, rate, log: TrackerLog, sensor: str, fit: _Fit, offsets) -> None:
    """Refuse quaternions that leave far less of the image motion unexplained when read in the other order.

    Nothing in a log itself tells: reordering keeps the length and the angle between any two quaternions.
    """
    transforms = log.tracker_from_sensor[sensor]
    seen = np.isfinite(transforms).all((1, 2))
    quaternion = Rotation.from_matrix(transforms[seen, :3, :3]).as_quat(scalar_first=True)
    for order, shift in (("x, y, z, scalar", 1), ("scalar, x, y, z", -1)):
        reordered = transforms.copy()
        reordered[seen, :3, :3] = Rotation.from_quat(np.roll(quaternion, shift, 1), scalar_first=True).as_matrix()
        other = _best_offset(pair_time, rate, log.time_s, reordered, offsets)
        if other is None or _distinctness(offsets, other) < RELIABLE_DISTINCTNESS:
            continue
        if 1 - np.nanmax(other.score) < WRONG_ORDER_RATIO * (1 - np.nanmax(fit.score)):
            raise InputError(
                log.file,
                f"quaternions of sensor {sensor!r}",
                found=f"values that explain {100 * other.r_squared:.1f} % of the image motion when read as {order}, "
                f"but {100 * fit.r_squared:.1f} % as the layout has them: a wrong quaternion order",
                expected="quaternions in the order of the log's layout",
                remedy="reorder the quaternion columns (NDI: scalar first; TUM: scalar last)",
            )

"""The linear stage of clock estimation: image motion against the sensor's body twist.

While depth stays roughly the same, image motion y [4] (shift, rotation, expansion per second) is a constant linear map
of the camera sensor's body twist x [6] (angular and linear velocity in the sensor's own axes): y = A x. The unknown
sensor-to-camera transform is part of A, so none is needed. For each offset of a grid A is fitted; the offset that
leaves the least residual is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

TWIST_STEP_S = 0.005  # the sensor's velocity is resampled to this step
SMOOTHING_S = 0.2  # length of the Savitzky-Golay window over the velocity
BLOCK_S = 1.0
RESAMPLES = 200
MIN_PAIRS = 20
_MAX_SENSOR_GAP_S = 0.15


@dataclass(frozen=True)
class TwistFit:
    """The linear map at its best offset."""

    offset_s: float
    r_squared: float  # share of the motion's variance that the map explains there
    score: np.ndarray  # [K] of every offset of the grid; NaN where too few pairs have a pose
    sums: tuple[np.ndarray, ...]  # of every block and offset, as `_block_sums` returns them


def body_twists(time_s: np.ndarray, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def fit_twists(pair_time, rate, time_s, transforms, offsets) -> TwistFit | None:
    """The offset with the best score, or None when no offset has enough common samples."""
    if np.isfinite(transforms).all((1, 2)).sum() < 10:
        return None
    grid, twist = body_twists(time_s, transforms)
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
    return TwistFit(offset, float(np.trace(explained) / np.trace(motion)), score, sums)


def twists_at(grid: np.ndarray, twist: np.ndarray, time_s: np.ndarray) -> np.ndarray:
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
        x = twists_at(grid, twist, pair_time + offset)
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
    x = twists_at(grid, twist, pair_time + offset)
    good = np.isfinite(x).all(1)
    scale = np.maximum(np.sqrt((rate**2).mean(0)), 1e-6)
    solution = np.linalg.lstsq(x[good], (rate / scale)[good], rcond=None)[0]
    error = np.linalg.norm((rate / scale) - np.nan_to_num(x) @ solution, axis=1)
    spread = 1.4826 * np.median(error[good]) + 1e-6
    return np.where(good, np.clip(1 - (error / (4.685 * spread)) ** 2, 0, None) ** 2, 1.0)


def distinctness(offsets: np.ndarray, fit: TwistFit) -> float:
    """How many times larger the residual is at the best offset more than 0.2 s away from the best of all."""
    far = np.where(np.abs(offsets - fit.offset_s) > 0.2, 1 - fit.score, np.nan)
    return float(np.nanmin(far) / (1 - np.nanmax(fit.score))) if np.isfinite(far).any() else 1.0


def bootstrap_offset(offsets, fit: TwistFit, seed: int) -> float:
    """Standard deviation of the best offset over resampled blocks, searched within 0.1 s of the full answer."""
    near = (np.abs(offsets - fit.offset_s) <= 0.1) & np.isfinite(fit.score)
    blocks = len(fit.sums[0])
    rng = np.random.default_rng([seed, 0x0FF5E7])
    drawn = np.stack([np.bincount(rng.integers(0, blocks, blocks), minlength=blocks) for _ in range(RESAMPLES)])
    scores = _score(*(np.tensordot(drawn.astype(float), part[:, near], axes=1) for part in fit.sums))
    return float(np.std([_maximum(offsets[near], score) for score in scores]))

"""The clock offset between video and tracker: `tracker_time = video_time + clock_offset_s`.

Two stages. `twist_fit` searches the whole range with a linear model that needs to know nothing; `epipolar` refines its
answer with the exact geometry and finds the hand-eye transform on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.geometry import Camera
from splatscope.ingest.epipolar import EpipolarFit, refine_clock, start_rotation
from splatscope.ingest.motion import ImageMotion
from splatscope.ingest.tracker_log import TrackerLog
from splatscope.ingest.twist_fit import (
    MIN_PAIRS,
    body_twists,
    bootstrap_offset,
    distinctness,
    fit_twists,
    twists_at,
)

GRID_STEP_S = 0.004
MAX_PAIR_GAP_S = 0.25
RELIABLE_UNCERTAINTY_S = 0.015
MIN_DISTINCTNESS = 2.0  # of the linear stage: measured 1.2 to 60 for logs of the same recording, 1.0 to 1.6 for others


@dataclass(frozen=True)
class ClockOffset:
    """Result of the estimation; times in seconds."""

    offset_s: float
    uncertainty_s: float  # one standard deviation
    r_squared: float  # share of the image motion's variance that the linear stage explains
    reliable: bool  # a small uncertainty, and the refinement succeeded unless the video is too short for it
    refined: EpipolarFit | None = None  # None where only the linear stage succeeded


def estimate_clock_offset(
    motion: ImageMotion,
    log: TrackerLog,
    sensor: str,
    *,
    camera: Camera | None = None,
    search_s: float = 1.0,
    min_r_squared: float = 0.4,
    video: str = "video",
    recording: str = "",
    seed: int = 0,
) -> ClockOffset:
    """Estimate the offset from the image's motion and the poses of the camera's sensor.

    `camera` is the calibration of the video; without one the focal length is estimated along.
    Offsets are searched within `search_s` of 0, or of the offset that starts both together when they share no time.
    Raises InputError when there is too little motion or common time, when the tracker does not explain the motion,
    when the best offset lies at the edge of the search, or when the log's quaternions are in another order.
    """
    remedy = f"set ingest.clock_offset_s.{recording or '<recording>'} to the known offset in seconds"
    pair_time, rate = _motion_rates(motion)
    if len(pair_time) < MIN_PAIRS:
        raise InputError(
            video,
            found=f"image motion measurable between {len(pair_time)} pairs of frames",
            expected=f"at least {MIN_PAIRS}, to find the clock offset between video and tracker",
            remedy=f"record a longer, textured video, or {remedy}",
        )
    centre = _search_centre(motion.frame_time_s, log, search_s)
    offsets = centre + np.arange(-round(search_s / GRID_STEP_S), round(search_s / GRID_STEP_S) + 1) * GRID_STEP_S
    transforms = log.require(sensor, "ingest.camera_sensor")
    fit = fit_twists(pair_time, rate, log.time_s, transforms, offsets)
    if fit is None:
        raise InputError(
            log.file,
            found=f"tracker times {log.time_s[0]:.3f} to {log.time_s[-1]:.3f} s beside video times "
            f"{pair_time[0]:.3f} to {pair_time[-1]:.3f} s: too few valid poses in a common stretch",
            expected=f"a log of this video, clocks within {search_s} s of each other or started together",
            remedy=f"raise ingest.clock_search_s, or {remedy}",
        )
    refined = _refine(pair_time, rate, motion, log, sensor, fit.offset_s, camera)
    if refined is not None and refined.clear:
        reliable = refined.uncertainty_s <= RELIABLE_UNCERTAINTY_S
        return ClockOffset(refined.clock_offset_s, refined.uncertainty_s, fit.r_squared, reliable, refined)
    if refined is not None:
        _check_quaternion_order(pair_time, rate, motion, log, sensor, offsets, camera)
    distinct = distinctness(offsets, fit)
    if fit.r_squared < min_r_squared or distinct < MIN_DISTINCTNESS:
        raise InputError(
            video,
            f"against sensor {sensor!r} of {log.file}",
            found=f"the tracker explains {100 * max(fit.r_squared, 0):.0f} % of the image motion at the best clock "
            f"offset ({fit.offset_s:+.3f} s), where the residual is {distinct:.1f} times smaller than elsewhere: a "
            "camera that hardly moves, the log of another recording, or the wrong sensor",
            expected=f"at least {100 * min_r_squared:.0f} % (ingest.clock_min_r_squared) and {MIN_DISTINCTNESS} times",
            remedy=f"check the log and ingest.camera_sensor, raise ingest.clock_search_s, or {remedy}",
        )
    if abs(fit.offset_s - centre) > search_s - 2 * GRID_STEP_S:
        raise InputError(
            log.file,
            found=f"the best clock offset {fit.offset_s:+.3f} s at the edge of the search",
            expected=f"an offset within {search_s} s of {centre:.3f} s",
            remedy=f"raise ingest.clock_search_s, or {remedy}",
        )
    uncertainty = bootstrap_offset(offsets, fit, seed)
    reliable = refined is None and uncertainty <= RELIABLE_UNCERTAINTY_S
    return ClockOffset(fit.offset_s, uncertainty, fit.r_squared, reliable)


def _refine(pair_time, rate, motion: ImageMotion, log: TrackerLog, sensor: str, offset, camera) -> EpipolarFit | None:
    grid, twist = body_twists(log.time_s, log.tracker_from_sensor[sensor])
    x = twists_at(grid, twist, pair_time + offset)
    seen = np.isfinite(x).all(1)
    start = start_rotation(x[seen], rate[seen])
    return refine_clock(motion.matches, log, sensor, offset, start, motion.size, camera)


def _search_centre(frame_time_s: np.ndarray, log: TrackerLog, search_s: float) -> float:
    """0, or the offset that starts both together when the two clocks share no time (a log in seconds since 1970)."""
    apart = max(log.time_s[0] - frame_time_s[-1], frame_time_s[0] - log.time_s[-1])
    return float(log.time_s[0] - frame_time_s[0]) if apart > search_s else 0.0


def _motion_rates(motion: ImageMotion) -> tuple[np.ndarray, np.ndarray]:
    """Middle times [P] and motion per second [P, 4] of the usable pairs of frames, clipped at 6 robust deviations."""
    time_s, step = motion.frame_time_s, np.diff(motion.frame_time_s)
    usable = np.isfinite(motion.affine).all(1) & (step <= MAX_PAIR_GAP_S)
    rate = motion.affine[usable] / step[usable, None]
    if len(rate):
        spread = 1.4826 * np.median(np.abs(rate - np.median(rate, axis=0)), axis=0)
        limit = 6 * np.maximum(spread, 1e-3)
        rate = np.clip(rate, -limit, limit)
    return (time_s[:-1] + time_s[1:])[usable] / 2, rate


def _check_quaternion_order(
    pair_time, rate, motion: ImageMotion, log: TrackerLog, sensor: str, offsets, camera
) -> None:
    """Refuse quaternions that fit the image motion only when they are read in another order.

    Nothing in a log itself tells: reordering keeps the length and the angle between any two quaternions.
    """
    transforms, seen = log.tracker_from_sensor[sensor], log.valid(sensor)
    quaternion = Rotation.from_matrix(transforms[seen, :3, :3]).as_quat(scalar_first=True)
    for order, shift in (("x, y, z, scalar", 1), ("scalar, x, y, z", -1)):
        reordered = transforms.copy()
        reordered[seen, :3, :3] = Rotation.from_quat(np.roll(quaternion, shift, 1), scalar_first=True).as_matrix()
        other = replace(log, tracker_from_sensor={sensor: reordered})
        fit = fit_twists(pair_time, rate, log.time_s, reordered, offsets)
        refined = fit and _refine(pair_time, rate, motion, other, sensor, fit.offset_s, camera)
        if refined and refined.clear:
            raise InputError(
                log.file,
                f"quaternions of sensor {sensor!r}",
                found=f"values that fit the image motion when read as {order}, but not as the layout has them: "
                "a wrong quaternion order",
                expected="quaternions in the order of the log's layout",
                remedy="reorder the quaternion columns (NDI: scalar first; TUM: scalar last)",
            )

"""A first estimate of hand-eye transform and group alignments that survives gross outliers."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.geometry import rotation_angle_deg

TRIALS = 60  # with 20 % outliers, 60 samples of 5 frames all hold one is less likely than 1e-10
SAMPLE = 5
MAX_OPENCV_FRAMES = 60  # OpenCV takes every pair of frames


def start_rotation(measured: np.ndarray, camera: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Rotation [3, 3] of the hand-eye transform from one group, and its median residual in degrees.

    `measured` [N, 3, 3] tracker_from_sensor, `camera` [N, 3, 3] sfm_from_camera. OpenCV's solver (Park and Martin
    1994) on random samples; the sample with the least median residual (Rousseeuw 1984) names the inliers, which are
    solved together. Scale plays no part in rotations.
    """
    best, best_error = np.eye(3), np.inf
    for _ in range(TRIALS):
        sample = rng.choice(len(measured), min(SAMPLE, len(measured)), replace=False)
        rotation = _opencv_rotation(measured[sample], camera[sample])
        if rotation is None:
            continue
        error = np.median(_rotation_errors(measured, camera, rotation))
        if error < best_error:
            best, best_error = rotation, error
    errors = _rotation_errors(measured, camera, best)
    inliers = np.flatnonzero(errors <= 3 * np.median(errors) + 1e-9)
    inliers = inliers[np.linspace(0, len(inliers) - 1, min(len(inliers), MAX_OPENCV_FRAMES)).astype(int)]
    refined = _opencv_rotation(measured[inliers], camera[inliers])
    if refined is not None:
        refined_error = np.median(_rotation_errors(measured, camera, refined))
        if refined_error < best_error:
            best, best_error = refined, refined_error
    return best, float(best_error)


def start_translations(
    measured: np.ndarray,
    positions: np.ndarray,
    group: np.ndarray,
    group_rotations: np.ndarray,
    known_translation: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hand-eye translation [3], scales [G] and translations [G, 3] of the groups, rotations given.

    Solves `t_i + R_i x = s_g (R_g c_i) + t_g` for all frames by iteratively reweighted least squares (L1 norm).
    `measured` [N, 4, 4] tracker_from_sensor, `positions` [N, 3] of the cameras in their models, `group` [N].
    """
    groups, frames = len(group_rotations), np.arange(len(measured))
    rotated = np.einsum("nab,nb->na", group_rotations[group], positions)
    design = np.zeros((len(measured), 3, 3 + 4 * groups))
    design[:, :, :3] = -measured[:, :3, :3]
    design[frames, :, 3 + 4 * group] = rotated
    for axis in range(3):
        design[frames, axis, 4 + 4 * group + axis] = 1
    target = measured[:, :3, 3].copy()
    if known_translation is not None:
        target -= design[:, :, :3] @ known_translation
        design[:, :, :3] = 0
    weight = np.ones(len(measured))
    for _ in range(30):
        root = np.sqrt(weight)[:, None]
        solution = np.linalg.lstsq(
            (design * root[..., None]).reshape(-1, design.shape[-1]), (target * root).reshape(-1), rcond=None
        )[0]
        residual = np.linalg.norm(design @ solution - target, axis=1)
        weight = 1 / np.maximum(residual, 1e-3)
    translation = solution[:3] if known_translation is None else known_translation
    per_group = solution[3:].reshape(groups, 4)
    return translation, per_group[:, 0], per_group[:, 1:]


def robust_mean_rotation(rotations: np.ndarray, iterations: int = 20) -> np.ndarray:
    """L1 mean [3, 3] of rotations [N, 3, 3] by reweighted chordal averaging, started at the medoid of a sample."""
    sample = rotations[np.linspace(0, len(rotations) - 1, min(len(rotations), 40)).astype(int)]
    trace = np.einsum("iab,jab->ij", sample, sample)
    mean = sample[np.argmin(np.arccos(np.clip((trace - 1) / 2, -1, 1)).sum(1))]
    for _ in range(iterations):
        angle = rotation_angle_deg(np.swapaxes(rotations, -1, -2) @ mean)
        mean = Rotation.from_matrix(rotations).mean(1 / np.maximum(angle, 1e-3)).as_matrix()
    return mean


def _rotation_errors(measured: np.ndarray, camera: np.ndarray, hand_eye: np.ndarray) -> np.ndarray:
    """Degrees [N] by which the frames disagree with the group alignment that most of them give."""
    alignments = measured @ hand_eye @ np.swapaxes(camera, -1, -2)
    return rotation_angle_deg(np.swapaxes(alignments, -1, -2) @ robust_mean_rotation(alignments, 4))


def _opencv_rotation(measured: np.ndarray, camera: np.ndarray) -> np.ndarray | None:
    zeros = [np.zeros((3, 1))] * len(measured)
    try:
        rotation, _ = cv2.calibrateHandEye(
            list(measured), zeros, list(np.swapaxes(camera, -1, -2)), zeros, method=cv2.CALIB_HAND_EYE_PARK
        )
    except cv2.error:
        return None
    if rotation is None or not np.isfinite(rotation).all() or abs(np.linalg.det(rotation) - 1) > 1e-3:
        return None
    return rotation

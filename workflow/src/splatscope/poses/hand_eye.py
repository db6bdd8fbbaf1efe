"""Metric scale, hand-eye transform and world alignment, solved together and robustly.

For frame i of group g, tracker and structure from motion see the same camera:

    tracker_from_sensor(i) @ sensor_from_camera = S_g @ sfm_from_camera(i),   S_g = (scale s_g, R_g, t_g)

with one `sensor_from_camera` for all groups. The start is OpenCV's hand-eye solver on rotations within a least-median
search, then a linear solution for translations and scales; the refinement minimises the residuals at the sensor, in
units of their own spread, over all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.geometry import make_transform
from splatscope.poses.field import Covariance, fit_covariance
from splatscope.poses.hand_eye_start import robust_mean_rotation, start_rotation, start_translations

MIN_FRAMES = 6
MAX_MEDIAN_MM, MAX_MEDIAN_DEG = 15.0, 8.0  # beyond, tracker and images are not of one motion
MIN_SECOND_AXIS_DEG = 3.0  # RMS turn about the second axis, below which the motion counts as turning about one only
OUTLIER_FACTOR = 5.0  # a frame whose residual exceeds this many medians is not used
TYPICAL_FIELD = (0.3, 0.17 * np.pi / 180)  # mm and radians along each axis: what makers of such trackers state
MAX_FIELD_FRAMES = 400  # the field's covariance is dense; more frames add cost and no knowledge
DEGREE = np.pi / 180


@dataclass(frozen=True)
class Observations:
    """Frames that both the tracker and structure from motion saw."""

    tracker_from_sensor: np.ndarray  # [N, 4, 4], mm
    sfm_from_camera: np.ndarray  # [N, 4, 4], unit of the model
    group: np.ndarray  # int [N], 0 .. G-1
    recording: np.ndarray  # int [N], 0 .. R-1
    velocity: np.ndarray  # [N, 3] mm/s, of the sensor in the tracker's frame
    angular_velocity: np.ndarray  # [N, 3] rad/s, in the tracker's frame
    clock_sigma_s: np.ndarray  # [R] uncertainty of each recording's clock offset; 0 keeps it

    def __len__(self) -> int:
        return len(self.group)

    def select(self, which: np.ndarray) -> Observations:
        """The frames of a mask [N] or of indices."""
        names = ("tracker_from_sensor", "sfm_from_camera", "group", "recording", "velocity", "angular_velocity")
        return replace(self, **{name: getattr(self, name)[which] for name in names})


@dataclass(frozen=True)
class Field:
    """What changes smoothly with position in the residuals of readings against the sparse models.

    Most of it is the tracker's field distortion. The models have smooth errors of their own, so each side is taken to
    be wrong by its share of the variance: a tracker without distortion is left as it is, and corrects the model.
    """

    positions: np.ndarray  # [N, 3] mm
    translations: np.ndarray  # [N, 3] mm, residuals
    rotations: np.ndarray  # [N, 3] radians, residuals
    translation_covariance: Covariance
    rotation_covariance: Covariance
    model_share: tuple[float, float] = (0.0, 0.0)  # the models' part of the variance, of translation and rotation

    def with_model_errors(self, sigma_mm: float, sigma_rad: float) -> Field:
        """This field, given the standard deviation along each axis of the models' own smooth errors."""
        amplitudes = self.translation_covariance.amplitude, self.rotation_covariance.amplitude
        return replace(
            self,
            model_share=tuple(
                min(sigma**2 / max(amplitude**2, 1e-12), 1.0)
                for sigma, amplitude in zip((sigma_mm, sigma_rad), amplitudes)
            ),
        )

    def correct_readings(self, tracker_from_sensor: np.ndarray) -> np.ndarray:
        """Readings [M, 4, 4] with the tracker's share of the predicted residual taken out; NaN stays NaN."""
        return self._moved(tracker_from_sensor, [share - 1 for share in self.model_share])

    def correct_model(self, tracker_from_sensor: np.ndarray) -> np.ndarray:
        """Sensor poses [M, 4, 4] as a model has them, with the model's share put right; NaN stays NaN."""
        return self._moved(tracker_from_sensor, self.model_share)

    def _moved(self, poses: np.ndarray, shares: Sequence[float]) -> np.ndarray:
        moved = poses.copy()
        valid = np.isfinite(poses).all((1, 2))
        position = poses[valid, :3, 3]
        shift = shares[0] * self.translation_covariance.predict(self.positions, self.translations, position)
        turn = shares[1] * self.rotation_covariance.predict(self.positions, self.rotations, position)
        moved[valid, :3, :3] = Rotation.from_rotvec(turn).as_matrix() @ poses[valid, :3, :3]
        moved[valid, :3, 3] += shift
        return moved


@dataclass(frozen=True)
class HandEye:
    """The solution."""

    sensor_from_camera: np.ndarray  # [4, 4]
    scale: np.ndarray  # [G] mm for each unit of the group's model
    tracker_from_sfm: np.ndarray  # [G, 4, 4] rigid, after scaling
    clock_shift_s: np.ndarray  # [R] to add to the time at which readings are taken
    residual_mm: np.ndarray  # [N]
    residual_deg: np.ndarray  # [N]
    inlier: np.ndarray  # bool [N]
    translation_sigma_mm: np.ndarray  # [3] standard deviation along each axis of the sensor; 0 if it was given
    rotation_sigma_deg: np.ndarray  # [3]
    field: Field | None

    def world_from_camera(self, group: int, sfm_from_camera: np.ndarray) -> np.ndarray:
        """Camera poses [N, 4, 4] of a group's model in the tracker's frame, mm."""
        scaled = sfm_from_camera.copy()
        scaled[:, :3, 3] *= self.scale[group]
        return self.tracker_from_sfm[group] @ scaled


def solve_hand_eye(
    observations: Observations,
    group_names: list[str],
    *,
    seed: int,
    known: np.ndarray | None = None,
    field_correction: bool = True,
    max_sigma_mm: float = 5.0,
) -> HandEye:
    """Solve for hand-eye transform, scales and alignments.

    `known` [4, 4]: a `sensor_from_camera` that is kept as it is. Raises InputError for too few frames, for readings
    that are not of the motion in the images, and for motion that turns about a single axis only, which leaves the
    hand-eye transform undetermined.
    """
    count = np.bincount(observations.group, minlength=len(group_names))
    for name, frames in zip(group_names, count):
        if frames < MIN_FRAMES:
            raise InputError(
                f"group {name}",
                found=f"{frames} frames with both a COLMAP pose and a tracker reading",
                expected=f"at least {MIN_FRAMES}",
                remedy="record longer, or check the Status column of the tracker log",
            )
    parameters = _start(observations, len(group_names), known, seed)
    if known is None:
        _check_motion(observations, parameters)
    parameters, sigma = _refine_robustly(parameters, observations)
    _check_agreement(observations, parameters, group_names)
    inlier = _inliers(parameters, observations)
    chosen = np.flatnonzero(inlier)
    if field_correction:
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), MAX_FIELD_FRAMES)).astype(int)]
    used = observations.select(chosen)
    field = None
    if field_correction:
        for _ in range(2):  # the covariance needs residuals, the best residuals need the covariance
            covariances = _fit_covariances(parameters, used)
            parameters, jacobian = _refine(parameters, used, covariances)
        shift, turn = parameters.residuals(used)
        field = Field(used.tracker_from_sensor[:, :3, 3], shift, turn, *covariances)
    else:
        white = tuple(Covariance(1.0, 0.0, value) for value in sigma)
        parameters, jacobian = _refine(parameters, used, white)
    translation_sigma, rotation_sigma = _uncertainty(parameters, jacobian)
    if translation_sigma.max() > max_sigma_mm:
        raise _undetermined(
            f"a hand-eye translation uncertain by {translation_sigma.max():.1f} mm (standard deviation)",
            f"at most {max_sigma_mm:g} mm (poses.max_hand_eye_sigma_mm)",
        )
    shift, turn = parameters.residuals(observations)
    return HandEye(
        parameters.hand_eye,
        parameters.scale,
        parameters.alignment,
        parameters.clock_shift_s,
        np.linalg.norm(shift, axis=1),
        np.linalg.norm(turn, axis=1) / DEGREE,
        inlier,
        translation_sigma,
        rotation_sigma,
        field,
    )


@dataclass(frozen=True)
class _Parameters:
    hand_eye: np.ndarray  # [4, 4]
    scale: np.ndarray  # [G]
    alignment: np.ndarray  # [G, 4, 4]
    clock_shift_s: np.ndarray  # [R]
    hand_eye_known: bool
    clock_sigma_s: np.ndarray  # [R]

    @property
    def size(self) -> int:
        return 6 + 7 * len(self.scale) + len(self.clock_shift_s)

    @property
    def free(self) -> np.ndarray:
        """Which entries of a step vary."""
        free = np.ones(self.size, bool)
        free[:6] = not self.hand_eye_known
        free[self.size - len(self.clock_shift_s) :] = self.clock_sigma_s > 0
        return free

    def moved(self, step: np.ndarray) -> _Parameters:
        """These parameters after a step of the free entries, in units that make all of them similar in size."""
        full = np.zeros(self.size)
        full[self.free] = step
        groups = full[6 : 6 + 7 * len(self.scale)].reshape(-1, 7)
        return replace(
            self,
            hand_eye=_turned(self.hand_eye[None], full[None, :3], full[None, 3:6])[0],
            scale=self.scale * np.exp((groups[:, 6] * 0.01).clip(-20, 20)),
            alignment=_turned(self.alignment, groups[:, :3], groups[:, 3:6]),
            clock_shift_s=self.clock_shift_s + full[6 + 7 * len(self.scale) :] * self.clock_sigma_s,
        )

    def residuals(self, seen: Observations) -> tuple[np.ndarray, np.ndarray]:
        """Reading minus prediction at the sensor, in the tracker's frame: mm [N, 3] and radians [N, 3]."""
        alignment, scale = self.alignment[seen.group], self.scale[seen.group]
        sensor_rotation = alignment[:, :3, :3] @ seen.sfm_from_camera[:, :3, :3] @ self.hand_eye[:3, :3].T
        camera_position = (
            np.einsum("nab,nb->na", alignment[:, :3, :3], seen.sfm_from_camera[:, :3, 3]) * scale[:, None]
            + alignment[:, :3, 3]
        )
        sensor_position = camera_position - sensor_rotation @ self.hand_eye[:3, 3]
        shift_s = self.clock_shift_s[seen.recording][:, None]
        translation = seen.tracker_from_sensor[:, :3, 3] + seen.velocity * shift_s - sensor_position
        turn = seen.tracker_from_sensor[:, :3, :3] @ np.swapaxes(sensor_rotation, -1, -2)
        return translation, Rotation.from_matrix(turn).as_rotvec() + seen.angular_velocity * shift_s


def _turned(transforms: np.ndarray, turn_deg: np.ndarray, shift: np.ndarray) -> np.ndarray:
    rotation = Rotation.from_rotvec(turn_deg * DEGREE).as_matrix()
    return make_transform(transforms[:, :3, :3] @ rotation, transforms[:, :3, 3] + shift)


def _start(seen: Observations, groups: int, known: np.ndarray | None, seed: int) -> _Parameters:
    measured, camera = seen.tracker_from_sensor[:, :3, :3], seen.sfm_from_camera[:, :3, :3]
    members = [seen.group == group for group in range(groups)]
    if known is None:
        rng = np.random.default_rng(seed)
        candidates = [start_rotation(measured[member], camera[member], rng) for member in members]
        spread = [_second_axis_deg(measured[member]) for member in members]
        # a group that hardly turns about two axes agrees with any rotation, so the residual alone would choose it
        order = [error / min(turn, 30.0) if turn > 0 else np.inf for (_, error), turn in zip(candidates, spread)]
        rotation = candidates[int(np.argmin(order))][0]
    else:
        rotation = known[:3, :3]
    alignments = np.stack(
        [robust_mean_rotation(measured[member] @ rotation @ np.swapaxes(camera[member], -1, -2)) for member in members]
    )
    translation, scale, shift = start_translations(
        seen.tracker_from_sensor,
        seen.sfm_from_camera[:, :3, 3],
        seen.group,
        alignments,
        None if known is None else known[:3, 3],
    )
    scale = np.where(scale > 0, scale, 1e-3)
    return _Parameters(
        make_transform(rotation, translation),
        scale,
        make_transform(alignments, shift),
        np.zeros(len(seen.clock_sigma_s)),
        known is not None,
        seen.clock_sigma_s,
    )


def _second_axis_deg(rotations: np.ndarray) -> float:
    """RMS turn in degrees about the second strongest axis, of rotations [N, 3, 3] about their mean."""
    turns = Rotation.from_matrix(robust_mean_rotation(rotations).T @ rotations).as_rotvec(degrees=True)
    return float(np.linalg.svd(turns, compute_uv=False)[1] / np.sqrt(len(turns)))


def _check_motion(seen: Observations, parameters: _Parameters) -> None:
    inlier = _inliers(parameters, seen)
    turn = max(
        _second_axis_deg(seen.tracker_from_sensor[inlier & (seen.group == group), :3, :3])
        for group in np.unique(seen.group[inlier])
    )
    if turn < MIN_SECOND_AXIS_DEG:
        raise _undetermined(
            f"turns of {turn:.1f} degrees RMS about the second axis of rotation: the camera turns about one axis only",
            f"at least {MIN_SECOND_AXIS_DEG:g} degrees about two different axes",
        )


def _check_agreement(seen: Observations, parameters: _Parameters, group_names: list[str]) -> None:
    shift, turn = (np.linalg.norm(residual, axis=1) for residual in parameters.residuals(seen))
    for index, name in enumerate(group_names):
        member = seen.group == index
        millimetres, degrees = np.median(shift[member]), np.median(turn[member]) / DEGREE
        if not (millimetres <= MAX_MEDIAN_MM and degrees <= MAX_MEDIAN_DEG):
            raise InputError(
                f"tracker readings of group {name}",
                found=f"tracker and images {millimetres:.1f} mm and {degrees:.1f} degrees apart (medians)",
                expected=f"at most {MAX_MEDIAN_MM:g} mm and {MAX_MEDIAN_DEG:g} degrees",
                remedy="check that the tracker log belongs to this video, its quaternion order and its clock offset",
            )


def _undetermined(found: str, expected: str) -> InputError:
    return InputError(
        "tracker readings of the camera's sensor",
        found=found,
        expected=expected,
        remedy="tilt, pan and roll the camera in one recording, or give poses.camera_sensor_from_camera in the config",
    )


def _inliers(parameters: _Parameters, seen: Observations) -> np.ndarray:
    shift, turn = (np.linalg.norm(residual, axis=1) for residual in parameters.residuals(seen))
    return (shift <= OUTLIER_FACTOR * np.median(shift) + 1e-6) & (turn <= OUTLIER_FACTOR * np.median(turn) + 1e-9)


def _spread(residuals: np.ndarray) -> float:
    """Standard deviation of one component, from the median length of 3-vectors (Maxwell's distribution)."""
    return float(np.median(np.linalg.norm(residuals, axis=1)) / 1.538)


def _refine_robustly(parameters: _Parameters, seen: Observations) -> tuple[_Parameters, tuple[float, float]]:
    for _ in range(3):
        sigma = tuple(
            max(_spread(residual), floor) for residual, floor in zip(parameters.residuals(seen), (1e-4, 1e-6))
        )

        def cost(step, base=parameters, sigma=sigma):
            moved = base.moved(step)
            shift, turn = moved.residuals(seen)
            return np.concatenate([shift.ravel() / sigma[0], turn.ravel() / sigma[1], _clock_prior(moved)])

        start = np.zeros(int(parameters.free.sum()))
        parameters = parameters.moved(least_squares(cost, start, loss="cauchy", f_scale=2.0, x_scale="jac").x)
    return parameters, sigma


def _clock_prior(parameters: _Parameters) -> np.ndarray:
    known = parameters.clock_sigma_s > 0
    return parameters.clock_shift_s[known] / parameters.clock_sigma_s[known]


def _refine(
    parameters: _Parameters, seen: Observations, covariances: tuple[Covariance, Covariance]
) -> tuple[_Parameters, np.ndarray]:
    """Generalised least squares; returns the parameters and the Jacobian of the whitened residuals."""
    positions = seen.tracker_from_sensor[:, :3, 3]
    white = [np.linalg.inv(np.linalg.cholesky(covariance.of_readings(positions))) for covariance in covariances]

    def cost(step):
        moved = parameters.moved(step)
        shift, turn = moved.residuals(seen)
        return np.concatenate([(white[0] @ shift).ravel(), (white[1] @ turn).ravel(), _clock_prior(moved)])

    solution = least_squares(cost, np.zeros(int(parameters.free.sum())), method="trf", x_scale="jac")
    return parameters.moved(solution.x), solution.jac


def _fit_covariances(parameters: _Parameters, seen: Observations) -> tuple[Covariance, Covariance]:
    positions = seen.tracker_from_sensor[:, :3, 3]
    residuals = parameters.residuals(seen)
    steps = 1e-4 * np.eye(int(parameters.free.sum()))
    moved = [parameters.moved(step).residuals(seen) for step in steps]
    return tuple(
        fit_covariance(
            positions,
            residuals[kind],
            np.stack([(other[kind] - residuals[kind]) / 1e-4 for other in moved], axis=-1),
            TYPICAL_FIELD[kind],
        )
        for kind in (0, 1)
    )


def _uncertainty(parameters: _Parameters, jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations of the hand-eye transform: worst-first along the principal axes, mm [3] and degrees [3]."""
    if parameters.hand_eye_known:
        return np.zeros(3), np.zeros(3)
    information = jacobian.T @ jacobian
    covariance = np.linalg.inv(information + 1e-13 * np.trace(information) * np.eye(len(information)))
    return tuple(np.sqrt(np.linalg.eigvalsh(covariance[part, part])[::-1].clip(0)) for part in (slice(3, 6), slice(3)))

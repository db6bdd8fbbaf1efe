"""Poses, quaternions and camera models. The conventions of the whole project stand here.

- Unit of length: millimetre. Angles in degrees only where a name ends in `_deg`, else radians.
- Rotation: quaternion in w, x, y, z order, unit norm.
- Camera axes (OpenCV): x right, y down, z forward.
- A transform is a float64 [4, 4] matrix named `target_from_source`: `world_from_camera @ p_camera`.
- Pixel coordinates: the centre of the first pixel is (0.5, 0.5), as in COLMAP and gsplat. OpenCV puts it at (0, 0);
  `Camera.opencv_matrix` and `Camera.from_opencv` convert.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation, Slerp

MAX_SIDE_PX = 65_535  # of an image: what JPEG can have, and beyond any camera
POSE_FIELDS = ("qw", "qx", "qy", "qz", "tx", "ty", "tz")


def quaternion_to_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] of quaternions [..., 4] (w, x, y, z; normalised here)."""
    quaternion = np.asarray(quaternion, dtype=np.float64)
    flat = quaternion.reshape(-1, 4)
    return Rotation.from_quat(flat, scalar_first=True).as_matrix().reshape(*quaternion.shape[:-1], 3, 3)


def matrix_to_quaternion(rotation: np.ndarray) -> np.ndarray:
    """Quaternions [..., 4] (w, x, y, z; w >= 0) of rotation matrices [..., 3, 3]."""
    rotation = np.asarray(rotation, dtype=np.float64)
    flat = Rotation.from_matrix(rotation.reshape(-1, 3, 3)).as_quat(canonical=True, scalar_first=True)
    return flat.reshape(*rotation.shape[:-2], 4)


def make_transform(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Transforms [..., 4, 4] from rotations [..., 3, 3] and translations [..., 3]."""
    rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
    transform = np.zeros((*np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1]), 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = translation
    transform[..., 3, 3] = 1
    return transform


def pose_from_quaternion(quaternion: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Transforms [..., 4, 4] from quaternions [..., 4] (w, x, y, z) and translations [..., 3]."""
    return make_transform(quaternion_to_matrix(quaternion), translation)


def invert(transform: np.ndarray) -> np.ndarray:
    """Inverse of rigid transforms [..., 4, 4]."""
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    return make_transform(rotation, -(rotation @ transform[..., :3, 3:])[..., 0])


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [..., N, 3] under an affine transform [..., 4, 4]."""
    return points @ np.swapaxes(transform[..., :3, :3], -1, -2) + transform[..., None, :3, 3]


def rotation_angle_deg(rotation: np.ndarray) -> np.ndarray:
    """Angle in degrees of rotation matrices [..., 3, 3] (or transforms [..., 4, 4])."""
    rotation = np.asarray(rotation)[..., :3, :3]
    flat = Rotation.from_matrix(rotation.reshape(-1, 3, 3)).magnitude()
    return np.degrees(flat).reshape(rotation.shape[:-2])


def pose_difference(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in mm of the origins and angle in degrees between transforms [..., 4, 4] of equal source and target."""
    distance = np.linalg.norm(first[..., :3, 3] - second[..., :3, 3], axis=-1)
    relative = np.swapaxes(first[..., :3, :3], -1, -2) @ second[..., :3, :3]
    return distance, rotation_angle_deg(relative)


def look_at(eye: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """`world_from_camera` [4, 4] of a camera at `eye` [3] looking at `target` [3], with `up` [3] up in the image."""
    forward = np.asarray(target, np.float64) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right = right / np.linalg.norm(right)
    return make_transform(np.stack([right, np.cross(forward, right), forward], axis=1), eye)


def interpolate_poses(times: np.ndarray, transforms: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Transforms [M, 4, 4] at `query` [M] seconds: slerp of the rotation, linear translation.

    `times` [N] must increase strictly and enclose every query time (ValueError from scipy otherwise).
    """
    rotation = Slerp(times, Rotation.from_matrix(transforms[:, :3, :3]))(query).as_matrix()
    translation = np.stack([np.interp(query, times, transforms[:, axis, 3]) for axis in range(3)], axis=-1)
    return make_transform(rotation, translation)


def fit_similarity(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> tuple[float, np.ndarray]:
    """Least-squares (scale, transform [4, 4]) with `target ~ scale * R @ source + t`, points [N, 3] (Umeyama 1991)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_centred, target_centred = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(target_centred.T @ source_centred / len(source))
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float((singular * sign).sum() / source_centred.var(0).sum()) if with_scale else 1.0
    return scale, make_transform(rotation, target_mean - scale * rotation @ source_mean)


def pose_columns(name: str, transforms: np.ndarray) -> dict[str, np.ndarray]:
    """Table columns `<name>_qw .. <name>_tz` of transforms [N, 4, 4]; a transform holding NaN gives NaN columns."""
    transforms = np.asarray(transforms, np.float64).reshape(-1, 4, 4)
    valid = np.isfinite(transforms).all((1, 2))
    columns = np.full((len(transforms), 7), np.nan)
    columns[valid, :4] = matrix_to_quaternion(transforms[valid, :3, :3])
    columns[valid, 4:] = transforms[valid, :3, 3]
    return {f"{name}_{field}": columns[:, index] for index, field in enumerate(POSE_FIELDS)}


def poses_from_columns(table: pd.DataFrame, name: str) -> np.ndarray:
    """Transforms [N, 4, 4] from the columns that `pose_columns` made; invalid rows are all NaN."""
    values = table[[f"{name}_{field}" for field in POSE_FIELDS]].to_numpy(np.float64)
    valid = np.isfinite(values).all(1)
    transforms = np.full((len(values), 4, 4), np.nan)
    transforms[valid] = pose_from_quaternion(values[valid, :4], values[valid, 4:])
    return transforms


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with OpenCV (Brown-Conrady) distortion; pixel centres at half-integers."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()  # k1, k2, p1, p2[, k3[, k4, k5, k6]]; empty means none

    @classmethod
    def from_opencv(cls, width: int, height: int, matrix: np.ndarray, distortion=()) -> Camera:
        """From OpenCV's camera matrix [3, 3], whose pixel centres are integers."""
        matrix = np.asarray(matrix, np.float64)
        coefficients = tuple(float(value) for value in np.ravel(distortion))
        return cls(
            int(width),
            int(height),
            float(matrix[0, 0]),
            float(matrix[1, 1]),
            float(matrix[0, 2]) + 0.5,
            float(matrix[1, 2]) + 0.5,
            coefficients if any(coefficients) else (),
        )

    @classmethod
    def from_dict(cls, content: dict) -> Camera:
        return cls(**{**content, "distortion": tuple(content.get("distortion", ()))})

    def to_dict(self) -> dict:
        return {**asdict(self), "distortion": list(self.distortion)}

    @property
    def matrix(self) -> np.ndarray:
        """Intrinsic matrix [3, 3], pixel centres at half-integers."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def opencv_matrix(self) -> np.ndarray:
        """Intrinsic matrix [3, 3] for OpenCV's functions, pixel centres at integers."""
        return np.array([[self.fx, 0, self.cx - 0.5], [0, self.fy, self.cy - 0.5], [0, 0, 1.0]])

    def undistorted(self) -> Camera:
        """The same camera without distortion."""
        return replace(self, distortion=())

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of the image resized to `width` x `height`; distortion coefficients are scale-free."""
        x, y = width / self.width, height / self.height
        return Camera(width, height, self.fx * x, self.fy * y, self.cx * x, self.cy * y, self.distortion)

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """Points [N, 2] of the image plane at depth 1 that the lens puts at `pixels` [N, 2]."""
        centred = np.asarray(pixels, np.float64) - 0.5
        if not self.distortion:
            return (centred - self.opencv_matrix[:2, 2]) / [self.fx, self.fy]
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-10)
        coefficients = np.array(self.distortion)
        return cv2.undistortPointsIter(centred[:, None], self.opencv_matrix, coefficients, None, None, criteria)[:, 0]

    def pixel_rays(self) -> np.ndarray:
        """float64 [H, W, 2]: the point of the image plane at depth 1 that each pixel's centre sees."""
        across, down = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        rays = self.unproject(np.stack([across, down], -1).reshape(-1, 2))
        return rays.reshape(self.height, self.width, 2)

    def image_points(self, points: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] of points [N, 3] in camera axes (mm), through the lens; points must lie before the camera."""
        coefficients = np.array(self.distortion) if self.distortion else None
        points = np.asarray(points, np.float64)[:, None]
        return cv2.projectPoints(points, np.zeros(3), np.zeros(3), self.opencv_matrix, coefficients)[0][:, 0] + 0.5

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] of points [N, 3] in camera axes (mm); ignores distortion; points must lie before the camera."""
        return points[:, :2] / points[:, 2:] * [self.fx, self.fy] + [self.cx, self.cy]

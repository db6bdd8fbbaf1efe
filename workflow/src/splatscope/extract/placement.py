"""Where the tool is and which way it points: its sensor's mean pose, its working tip and shaft."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.extract.filters import long_axis
from splatscope.geometry import Camera, apply, invert, make_transform, pose_difference


def robust_mean_pose(transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean [4, 4], distances [N] mm, angles [N] degrees of each from it) of nearly equal transforms [N, 4, 4].

    The mean of those within three times the median distance and angle; started from the componentwise median position
    and the chordal mean rotation.
    """
    mean = make_transform(
        Rotation.from_matrix(transforms[:, :3, :3]).mean().as_matrix(), np.median(transforms[:, :3, 3], axis=0)
    )
    for _ in range(10):
        distances, angles = pose_difference(transforms, mean[None])
        inside = (distances <= 3 * np.median(distances) + 1e-9) & (angles <= 3 * np.median(angles) + 1e-6)
        if not inside.any():
            inside = distances <= np.median(distances) + 1e-9
        mean = make_transform(
            Rotation.from_matrix(transforms[inside, :3, :3]).mean().as_matrix(), transforms[inside, :3, 3].mean(0)
        )
    return mean, *pose_difference(transforms, mean[None])


@dataclass(frozen=True)
class Shaft:
    """The tool as a line: from its working tip along `direction` (unit) for `length_mm`."""

    tip: np.ndarray  # [3] mm
    direction: np.ndarray  # [3] from the tip to the far end
    length_mm: float


def find_shaft(
    points: np.ndarray,
    view_centre: np.ndarray,
    world_from_camera: np.ndarray,
    camera: Camera,
    tip: np.ndarray | None = None,
) -> Shaft:
    """The tool's line from its points [N, 3], all in world mm.

    Of the two ends of the long axis the tip is the one nearer to `tip` where that is given. Else it is the end that
    more cameras [C, 4, 4] have in their image: the other end, held by something, leaves the image. When the counts are
    within a tenth of each other it is the end nearer to the point the cameras look at.
    """
    _, direction, position = long_axis(points)
    low, high = np.percentile(position, [1, 99])
    # the mean of the outermost points, not a point on the axis: jaws may be bent
    ends = np.array([points[position <= low].mean(0), points[position >= high].mean(0)])
    if tip is not None:
        first = int(np.linalg.norm(ends - tip, axis=1).argmin())
    else:
        seen = [_views_seeing(end, world_from_camera, camera) for end in ends]
        if abs(seen[0] - seen[1]) > 0.1 * len(world_from_camera):
            first = int(np.argmax(seen))
        else:
            first = int(np.linalg.norm(ends - view_centre, axis=1).argmin())
        tip = ends[first]
    direction = direction if first == 0 else -direction
    return Shaft(np.asarray(tip, np.float64), direction, float((ends[1 - first] - tip) @ direction))


def _views_seeing(point: np.ndarray, world_from_camera: np.ndarray, camera: Camera) -> int:
    in_camera = apply(invert(world_from_camera), np.broadcast_to(point, (len(world_from_camera), 1, 3)))[:, 0]
    in_camera = in_camera[in_camera[:, 2] > 0]
    pixels = camera.project(in_camera)
    return int(((pixels >= 0) & (pixels < [camera.width, camera.height])).all(1).sum())


def view_directions(
    tip: np.ndarray, sensor_from_world: np.ndarray, world_from_camera: np.ndarray, limit: int = 400
) -> np.ndarray:
    """Unit vectors [M, 3] from the tip (world) to the cameras [C, 4, 4], in the sensor's frame; at most `limit`."""
    chosen = np.unique(
        np.linspace(0, len(world_from_camera) - 1, min(limit, len(world_from_camera))).round().astype(int)
    )
    towards = world_from_camera[chosen, :3, 3] - tip
    towards = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    return towards @ sensor_from_world[:3, :3].T

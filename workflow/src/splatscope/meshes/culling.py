"""Leaving out what cannot be seen: faces in small compact groups, each with a bounding sphere and a cone of normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GROUP = 128  # faces


def compact_order(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Order [F] in which neighbouring faces lie together: along a Morton curve through their centres."""
    centres = vertices[faces].mean(1)
    low = centres.min(0)
    cells = ((centres - low) / max(float((centres - low).max()), 1e-9) * 1023).astype(np.int64)
    code = np.zeros(len(faces), np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")


@dataclass
class FaceGroups:
    """Groups of consecutive faces of one object, in its axes."""

    starts: np.ndarray  # [G], first face; a group ends where the next begins
    end: int  # where the last group ends
    centres: np.ndarray  # [G, 3] mm
    radii: np.ndarray  # [G] mm
    axes: np.ndarray  # [G, 3] mean normals, unit
    spreads: np.ndarray  # [G] sine of the largest angle to a face normal; 2 when beyond a right angle

    @classmethod
    def of(cls, vertices: np.ndarray, faces: np.ndarray, starts: np.ndarray, first_face: int = 0) -> FaceGroups:
        """Bounds of the groups of `faces` that begin at `starts` (indices into `faces`)."""
        corners = vertices[faces].astype(np.float64)
        owner = np.repeat(np.arange(len(starts)), np.diff([*starts, len(faces)]))
        low = np.minimum.reduceat(corners.min(1), starts)
        high = np.maximum.reduceat(corners.max(1), starts)
        centres = (low + high) / 2
        radii = np.maximum.reduceat(np.linalg.norm(corners - centres[owner, None], axis=-1).max(1), starts)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        axes = np.add.reduceat(normals, starts)
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
        cosine = np.minimum.reduceat((normals * axes[owner]).sum(1), starts)
        spreads = np.where(cosine > 0, np.sqrt(np.maximum(1 - cosine**2, 0)), 2.0)
        return cls(starts + first_face, first_face + len(faces), centres, radii, axes, spreads)

    @property
    def ranges(self) -> np.ndarray:
        """int32 [G, 2]: first face, number of faces."""
        return np.stack([self.starts, np.diff([*self.starts, self.end])], -1).astype(np.int32)

    def visible(self, camera_from_object: np.ndarray, field: np.ndarray, near_mm: float) -> np.ndarray:
        """bool [G]: groups that may have a pixel in the picture.

        `camera_from_object` [4, 4] or one for each group [G, 4, 4]. `field` [2, 2]: least and greatest x, y at depth 1
        that any pixel sees, through the lens if it distorts.
        """
        rotation, translation = camera_from_object[..., :3, :3], camera_from_object[..., :3, 3]
        centre = (rotation @ self.centres[..., None])[..., 0] + translation
        inside = centre[:, 2] > near_mm - self.radii
        for sign, slopes in zip((-1, 1), field):
            for axis, slope in enumerate(slopes):
                outside = sign * (centre[:, axis] - slope * centre[:, 2]) / np.hypot(1, slope)
                inside &= outside < self.radii
        away = (centre * (rotation @ self.axes[..., None])[..., 0]).sum(1)
        backward = away >= self.spreads * np.linalg.norm(centre, axis=1) + self.radii
        return inside & ~backward

    @classmethod
    def unbounded(cls, starts: np.ndarray, end: int) -> FaceGroups:
        """Groups that may be anywhere."""
        count = len(starts)
        zero = np.zeros((count, 3))
        return cls(starts, end, zero, np.full(count, np.inf), zero, np.full(count, 2.0))

    @classmethod
    def concatenate(cls, several: Sequence[FaceGroups]) -> FaceGroups:
        """All groups of objects whose faces follow one another."""
        firsts = np.cumsum([0] + [groups.end for groups in several])
        starts = np.concatenate([groups.starts + first for groups, first in zip(several, firsts)])
        bounds = [
            np.concatenate([getattr(groups, name) for groups in several])
            for name in ("centres", "radii", "axes", "spreads")
        ]
        return cls(starts, int(firsts[-1]), *bounds)

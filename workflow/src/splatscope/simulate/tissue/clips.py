"""Clips that close a duct or an artery for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from splatscope.geometry import apply, invert, make_transform, matrix_to_quaternion
from splatscope.simulate.tissue.constraint_kernels import hold_in_clips
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tool_state import ToolState

FEWEST_HELD = 6
TAPER_EDGES = 1.5  # a taper shorter than this many edges would turn tetrahedra inside out


@dataclass
class Clip:
    """A clip on a tube. Its frame: x the way the legs close, y along the tube, z along the legs, origin between."""

    body: str
    class_id: int
    tets: np.ndarray  # int32 [K] of the tissue inside
    vertices: np.ndarray  # int32 [N] inside
    caught: np.ndarray  # [N, 3] mm in the clip's frame when it was set
    world_from_clip: np.ndarray  # [4, 4] now
    taper_mm: float  # beside the clip, over which the tube gets as thick as it was
    open_mm: float  # distance of the legs when it was set
    closed_mm: float  # distance of the legs now
    held_s: float = 0.0

    def give_up(self, rows: np.ndarray) -> None:
        """Hold some of the vertices no longer."""
        self.vertices, self.caught = np.delete(self.vertices, rows), np.delete(self.caught, rows, axis=0)

    def shape(self, settings: TissueSettings) -> np.ndarray:
        """[N, 3] mm in the clip's frame: flatter and flatter while the clip closes."""
        share = min(1.0, self.held_s / settings.clip_closing_s)
        self.closed_mm = self.open_mm + share * (settings.clip_gap_mm - self.open_mm)
        ratio = self.closed_mm / self.open_mm
        away = np.clip((np.abs(self.caught[:, 1]) - settings.clip_width_mm / 2) / self.taper_mm, 0, 1)
        flattened = self.caught.copy()
        flattened[:, 0] *= ratio + (1 - ratio) * away**2 * (3 - 2 * away)
        return flattened


class Clips:
    """All clips on a device."""

    def __init__(self, settings: TissueSettings, device: str):
        self._settings, self._device = settings, device
        self.placed: list[Clip] = []
        self._poses: wp.array | None = None

    def place(self, clip: Clip) -> None:
        """A vertex that another clip holds too goes to the nearer of the two."""
        for other in self.placed:
            _, mine, theirs = np.intersect1d(clip.vertices, other.vertices, return_indices=True)
            nearer = np.abs(clip.caught[mine, 1]) < np.abs(other.caught[theirs, 1])
            clip.give_up(mine[~nearer])
            other.give_up(theirs[nearer])
        self.placed.append(clip)

    def add_to(self, launches: Launches, positions: wp.array, inverse_mass: wp.array) -> None:
        if not self.placed:
            return

        def upload(values, dtype, kind):
            return wp.array(np.ascontiguousarray(values, dtype), dtype=kind, device=self._device)

        starts = np.cumsum([0, *(len(clip.vertices) for clip in self.placed)])
        poses = np.stack([clip.world_from_clip for clip in self.placed])
        quaternions = np.roll(matrix_to_quaternion(poses[:, :3, :3]), -1, axis=1)  # Warp: x, y, z, w
        self._poses = upload(np.hstack([poses[:, :3, 3], quaternions]), np.float32, wp.transform)
        vertices = np.concatenate([clip.vertices for clip in self.placed])
        shape = np.concatenate([clip.shape(self._settings) for clip in self.placed])
        contents = upload(starts, np.int32, wp.int32), upload(vertices, np.int32, wp.int32)
        shape = upload(shape, np.float32, wp.vec3)
        closing = [clip.held_s < self._settings.clip_closing_s for clip in self.placed]
        state = upload(closing, np.int32, wp.int32), self._poses
        launches.add(hold_in_clips, len(self.placed), [positions, inverse_mass, *contents, shape, *state])

    def finish(self, duration_s: float) -> None:
        """After an interval: where the clips are."""
        if self._poses is None:
            return
        for clip, pose in zip(self.placed, self._poses.numpy().astype(float)):
            clip.world_from_clip = make_transform(Rotation.from_quat(pose[3:]).as_matrix(), pose[:3])
            clip.held_s += duration_s


def find_clip(
    state: ToolState,
    positions: np.ndarray,
    tets: np.ndarray,
    tubes: dict[tuple[int, int], np.ndarray],
    names: list[str],
    settings: TissueSettings,
) -> Clip | None:
    """A clip on the tube that lies nearest to the middle of the jaws, or None where no tube does.

    `tubes`: tetrahedra (indices) by body and class.
    """
    axes = state.world_from_tool[:3, :3] @ state.jaw_axes()
    frame = make_transform(axes, state.in_world(state.grip_point))
    nearest, found = np.inf, None
    for (body, class_id), members in tubes.items():
        own = np.unique(tets[members])
        local = apply(invert(frame), positions[own].astype(float))
        corners = positions[tets[members]]
        edge = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1).mean()
        taper = max(settings.clip_taper_mm, TAPER_EDGES * float(edge))
        reach = [state.grip_reach_mm, settings.clip_width_mm / 2 + taper, state.grip_reach_mm]
        within = (np.abs(local) <= reach).all(1)
        distance = np.linalg.norm(local[within].mean(0)) if within.any() else np.inf
        if within.sum() >= FEWEST_HELD and np.ptp(local[within, 0]) > settings.clip_gap_mm and distance < nearest:
            nearest, found = distance, (body, class_id, members, own[within], local[within], taper)
    if found is None:
        return None
    body, class_id, members, inside, local, taper = found
    middle = local.mean(0)
    middle[0] = (local[:, 0].max() + local[:, 0].min()) / 2
    pose = frame @ make_transform(np.eye(3), middle)
    held = members[np.isin(tets[members], inside).any(1)]
    width = float(np.ptp(local[:, 0]))
    return Clip(names[body], class_id, held, inside.astype(np.int32), local - middle, pose, taper, width, width)

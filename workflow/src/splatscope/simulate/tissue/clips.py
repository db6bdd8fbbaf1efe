"""Clips that close a duct or an artery for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from splatscope.geometry import apply, invert, make_transform, matrix_to_quaternion
from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.meshes.tet_quality import tet_volumes
from splatscope.simulate.tissue.constraint_kernels import hold_in_clips
from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings

FEWEST_HELD = 6
EVENINGS = 50
TAPER_EDGES = 1.5  # a taper shorter than this many edges would turn tetrahedra inside out


@dataclass
class Clip:
    """A clip on a tube. Its frame: x the way the legs close, y along the tube, z along the legs, origin between."""

    body: str
    class_id: int
    tets: np.ndarray  # int32 [K] of the tissue inside
    vertices: np.ndarray  # int32 [N] inside
    caught: np.ndarray  # [N, 3] mm in the clip's frame when it was set
    thickness: np.ndarray  # [N] what is left of each vertex's x once the clip is closed, a share
    world_from_clip: np.ndarray  # [4, 4] now
    open_mm: float  # distance of the legs when it was set
    closed_mm: float  # distance of the legs now
    held_s: float = 0.0

    def give_up(self, rows: np.ndarray) -> None:
        """Hold some of the vertices no longer."""
        for name in ("vertices", "caught", "thickness"):
            setattr(self, name, np.delete(getattr(self, name), rows, axis=0))

    def shape(self, settings: TissueSettings) -> np.ndarray:
        """[N, 3] mm in the clip's frame: flatter and flatter while the clip closes."""
        share = min(1.0, self.held_s / settings.clip_closing_s)
        self.closed_mm = self.open_mm + share * (settings.clip_gap_mm - self.open_mm)
        return self.caught * np.stack([1 + share * (self.thickness - 1), *np.ones((2, len(self.caught)))], -1)


class Clips:
    """All clips on a device."""

    def __init__(self, settings: TissueSettings, device: str):
        self._settings, self._device = settings, device
        self._placed: list[Clip] = []
        self._poses: wp.array | None = None  # that a launch has moved since they were read
        self._shapes: list[wp.array] = []  # of clips that have closed; empty: to be made

    @property
    def placed(self) -> list[Clip]:
        """All clips, with their poses now."""
        if self._poses is not None:
            poses = self._poses.numpy().astype(float)
            matrices = make_transform(Rotation.from_quat(poses[:, 3:]).as_matrix(), poses[:, :3])
            for clip, pose in zip(self._placed, matrices):
                clip.world_from_clip = pose
            self._poses = None
        return self._placed

    def place(self, clip: Clip) -> None:
        """A vertex that another clip holds too goes to the nearer of the two."""
        for other in self.placed:
            _, mine, theirs = np.intersect1d(clip.vertices, other.vertices, return_indices=True)
            nearer = np.abs(clip.caught[mine, 1]) < np.abs(other.caught[theirs, 1])
            clip.give_up(mine[~nearer])
            other.give_up(theirs[nearer])
        self._placed.append(clip)
        self._shapes = []

    def add_to(self, launches: Launches, positions: wp.array, inverse_mass: wp.array) -> None:
        if not self._placed:
            return
        if not self._shapes:
            self._shapes = self._upload()
        self._poses = self._shapes[-1]
        launches.add(hold_in_clips, len(self._placed), [positions, inverse_mass, *self._shapes])

    def _upload(self) -> list[wp.array]:
        clips, device = self.placed, self._device
        starts = np.cumsum([0, *(len(clip.vertices) for clip in clips)])
        vertices = np.concatenate([clip.vertices for clip in clips])
        shape = np.concatenate([clip.shape(self._settings) for clip in clips])
        closing = np.array([clip.held_s < self._settings.clip_closing_s for clip in clips])
        poses = np.stack([clip.world_from_clip for clip in clips])
        quaternions = np.roll(matrix_to_quaternion(poses[:, :3, :3]), -1, axis=1)  # Warp: x, y, z, w
        kinds = ((starts, wp.int32), (vertices, wp.int32), (shape, wp.vec3), (closing, wp.int32))
        poses = upload(np.hstack([poses[:, :3, 3], quaternions]), wp.transform, device)
        return [*(upload(values, kind, device) for values, kind in kinds), poses]

    def finish(self, duration_s: float) -> None:
        """After an interval: clips that close go on closing."""
        for clip in self._placed:
            if clip.held_s < self._settings.clip_closing_s:
                self._shapes = []
            clip.held_s += duration_s


def find_clip(
    state: ToolState,
    positions: np.ndarray,
    tets: np.ndarray,
    tubes: dict[tuple[int, int], np.ndarray],
    placed: list[Clip],
    names: list[str],
    settings: TissueSettings,
) -> Clip | None:
    """A clip on the tube that lies nearest to the middle of the jaws, or None where no tube or a clip already is.

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
    pose, local = frame @ make_transform(np.eye(3), middle), local - middle
    if any(np.linalg.norm(clip.world_from_clip[:3, 3] - pose[:3, 3]) < settings.clip_apart_mm for clip in placed):
        return None
    width = float(np.ptp(local[:, 0]))
    rows = np.full(len(positions), -1)
    rows[inside] = np.arange(len(inside))
    held = members[(rows[tets[members]] >= 0).any(1)]
    whole = rows[tets[held]]
    thickness = _thickness(local, whole[(whole >= 0).all(1)], settings.clip_gap_mm / width, settings, taper)
    return Clip(names[body], class_id, held, inside.astype(np.int32), local, thickness, pose, width, width)


def _thickness(
    local: np.ndarray, tets: np.ndarray, closed: float, settings: TissueSettings, taper_mm: float
) -> np.ndarray:
    """Share [N] that is left of x: `closed` under the clip, rising to 1 beside it, evened out where a tetrahedron
    (rows of `local` [K, 4]) would be turned inside out."""
    away = np.clip((np.abs(local[:, 1]) - settings.clip_width_mm / 2) / taper_mm, 0, 1)
    share = closed + (1 - closed) * away**2 * (3 - 2 * away)
    for _ in range(EVENINGS):
        flat = local * np.stack([share, *np.ones((2, len(share)))], -1)
        turned = tets[tet_volumes(flat, tets) <= 0]
        if not len(turned):
            break
        mean = np.repeat(share[turned].mean(1), 4)
        count = np.bincount(turned.ravel(), minlength=len(share))
        total = np.bincount(turned.ravel(), mean, minlength=len(share))
        share = np.where(count > 0, 0.5 * (share + total / np.maximum(count, 1)), share)
    return share

"""Clips that close a duct or an artery for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from splatscope.geometry import apply, fit_similarity, invert, make_transform
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tool_state import ToolState


@dataclass
class Clip:
    """A clip on a tube. Its frame: x the way its legs close, y along the tube, z along the legs, origin between them."""

    body: str
    class_id: int
    tets: np.ndarray  # int32 [K] of the tissue inside
    vertices: np.ndarray  # int32 [N] inside
    pairs: np.ndarray  # int32 [M, 2] rows of `vertices` on opposite sides
    caught: np.ndarray  # [N, 3] mm in the clip's frame when it was set
    flat: np.ndarray  # [N, 3] mm in the clip's frame once closed
    closed_mm: float  # distance of the legs now
    world_from_clip: np.ndarray  # [4, 4] now
    number: int = -1
    held_s: float = 0.0

    def follow(self, positions: np.ndarray, duration_s: float, settings: TissueSettings) -> np.ndarray:
        """Close further and move with the tissue; distances [M] mm that the pairs are to keep along the closing axis."""
        self.held_s += duration_s
        share = min(1.0, self.held_s / settings.clip_closing_s)
        shape = self.caught + share * (self.flat - self.caught)
        self.world_from_clip = fit_similarity(shape, positions[self.vertices].astype(float), with_scale=False)[1]
        self.closed_mm = float(np.ptp(shape[:, 0]))
        return shape[self.pairs[:, 0], 0] - shape[self.pairs[:, 1], 0]


def set_clip(
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
    best = None
    for (body, class_id), members in tubes.items():
        own = np.unique(tets[members])
        local = apply(invert(frame), positions[own].astype(float))
        width = max(settings.clip_width_mm, _spacing(positions, tets[members]))
        within = (np.abs(local) <= [state.grip_reach_mm, width / 2, state.grip_reach_mm]).all(1)
        inside, local = own[within], local[within]
        if len(inside) < 6 or np.ptp(local[:, 0]) < 0.2:
            continue
        distance = np.linalg.norm(local.mean(0))
        if best is None or distance < best[0]:
            best = distance, body, class_id, members, inside, local
    if best is None:
        return None
    _, body, class_id, members, inside, local = best
    middle = local.mean(0)
    middle[0] = (local[:, 0].max() + local[:, 0].min()) / 2
    local = local - middle
    frame = frame @ make_transform(np.eye(3), middle)
    flat = local * [settings.clip_gap_mm / np.ptp(local[:, 0]), 1, 1]
    return Clip(
        names[body],
        class_id,
        members[np.isin(tets[members], inside).any(1)],
        inside.astype(np.int32),
        _opposite(local),
        local,
        flat,
        float(np.ptp(local[:, 0])),
        frame,
    )


def _spacing(positions: np.ndarray, tets: np.ndarray) -> float:
    corners = positions[tets]
    return float(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1).mean())


def _opposite(local: np.ndarray) -> np.ndarray:
    """Pairs [M, 2]: each vertex with the two nearest, seen along the closing axis, of the other half."""
    upper, lower = np.flatnonzero(local[:, 0] > 0), np.flatnonzero(local[:, 0] <= 0)
    pairs = []
    for here, there in ((upper, lower), (lower, upper)):
        count = min(2, len(there))
        nearest = cKDTree(local[there, 1:]).query(local[here, 1:], k=count)[1].reshape(len(here), count)
        pair = np.stack([np.repeat(here, count), there[nearest].ravel()], -1)
        pairs.append(pair if here is upper else pair[:, ::-1])
    return np.unique(np.concatenate(pairs), axis=0)

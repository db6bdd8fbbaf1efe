"""Where a blade or too much stress parts the tissue, and what that means for ducts and arteries."""

from __future__ import annotations

import numpy as np

from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.meshes.tet_quality import OUTWARD
from splatscope.simulate.tissue.topology import Parting, Topology


def blade_cut(state: ToolState, positions: np.ndarray, topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """(side bool [T], core vertices) for Topology.separate: the plane of the blade, as far as the blade reaches."""
    blade = state.blade
    centre = state.in_world(blade.centre)
    normal, direction = (state.world_from_tool[:3, :3] @ axis for axis in (blade.normal, blade.direction))
    offset = positions - centre
    height = offset @ normal
    reached = np.abs(offset @ direction) <= blade.length_mm / 2
    reached &= np.abs(offset @ np.cross(normal, direction)) <= blade.width_mm / 2
    near = np.flatnonzero(topology.active & reached[topology.tets].any(1))
    above = height[topology.tets[near]] > 0
    crossing = near[above.any(1) & ~above.all(1)]
    core = np.unique(topology.tets[crossing])
    return height[topology.tets].mean(1) > 0, core[reached[core]]


def tear_cut(tet: int, positions: np.ndarray, rest: np.ndarray, topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """(side bool [T], core vertices) that open an overstressed tetrahedron square to its greatest principal stress, at
    one of its two vertices in the middle of that direction."""
    corners = topology.tets[tet]
    direction = principal_stretch(positions[corners], rest[corners])
    vertex = corners[np.argsort(positions[corners] @ direction)[1]]
    height = (positions - positions[vertex]) @ direction
    return height[topology.tets].mean(1) > 0, np.array([vertex])


def principal_stretch(now: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Direction [3] of greatest stretch of a tetrahedron with corners [4, 3]; the stress is greatest along it too."""
    gradient = (now[1:] - now[0]).T @ np.linalg.inv((rest[1:] - rest[0]).T.astype(float))
    return np.linalg.svd(gradient)[0][:, 0]


def opened_area(parting: Parting, positions: np.ndarray, topology: Topology) -> np.ndarray:
    """mm^2 [M] of each face that opened."""
    tet, face = parting.opened[:, 0].T
    corners = positions[topology.tets[tet[:, None], OUTWARD[face]]]
    return 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)


def severed_pieces(parting: Parting, of_tube: np.ndarray, topology: Topology) -> tuple[np.ndarray, bool]:
    """(labels [T] of the pieces of a tube, whether the opened faces go all the way through it).

    `of_tube` bool [T]: its tetrahedra.
    """
    labels = topology.pieces(of_tube)
    first, second = (labels[parting.opened[:, side, 0]] for side in (0, 1))
    inside = (first >= 0) & (second >= 0)
    return labels, bool(inside.any() and (first[inside] != second[inside]).all())

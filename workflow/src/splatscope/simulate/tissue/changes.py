"""What happens to tissue by itself in an interval: slipping, breaking, heating, tearing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue import cutting
from splatscope.simulate.tissue.actions import parted_event, stop_bleeding
from splatscope.simulate.tissue.events import TissueEvent
from splatscope.simulate.tissue.heat import HeatedSpot, heated_spots
from splatscope.simulate.tissue.nearest import nearest_face

if TYPE_CHECKING:
    from splatscope.simulate.tissue.tissue import Tissue

TEAR_TRIES = 12  # overstressed tetrahedra, worst first, of which the first that can open cleanly does


def slip(tissue: Tissue, duration_s: float, positions: np.ndarray) -> list[TissueEvent]:
    events = []
    for tool, force in tissue.grips.finish(duration_s):
        grip = tissue.grips.held.pop(tool)
        events.append(tissue.event("slip", tool, positions[grip.vertices].mean(0), force, grip.body, None))
    return events


def break_bonds(tissue: Tissue, positions: np.ndarray) -> list[TissueEvent]:
    """An event for each pair of bodies between which bonds failed."""
    broken = tissue.bonds.read_broken()
    events = []
    if not len(broken):
        return events
    bodies = tissue.bonds.bodies[broken]
    for first, second in np.unique(bodies, axis=0):
        among = broken[(bodies == [first, second]).all(1)]
        point = positions[tissue.bonds.vertices[among]].mean((0, 1))
        events.append(tissue.event("bond_broken", None, point, len(among), int(first), None))
    return events


def heat(tissue: Tissue, duration_s: float, tools: Mapping[str, ToolState], positions: np.ndarray) -> list[TissueEvent]:
    """Heat flows; what it coagulates, vaporises, burns through and seals."""
    settings = tissue.settings

    def surface_distance(point):
        return nearest_face(tissue.surface(), positions, point)

    spots = heated_spots(tools, positions, tissue.masses, surface_distance, duration_s, settings)
    burnt = tissue.heat.advance(duration_s, spots, tissue.topology)
    if not burnt and not spots:
        return []
    burn = tissue.burn
    _burn_bonds(tissue, spots, burn, positions, duration_s, tools)
    if not burnt:
        return []
    mean = burn[tissue.tets].mean(1)
    white = tissue.active & (mean > settings.coagulated)
    events = _by_body(tissue, "coagulate", np.flatnonzero(white & ~tissue.coagulated), spots, positions)
    tissue.coagulated |= white
    stop_bleeding(tissue, spots[0].tool if spots else None)
    gone = np.flatnonzero(tissue.active & (mean > settings.vaporised))
    if len(gone):
        tissue.apply(tissue.topology.remove(gone))
        events += _by_body(tissue, "vaporise", gone[~tissue.active[gone]], spots, positions)
    return events


def _burn_bonds(
    tissue: Tissue,
    spots: list[HeatedSpot],
    burn: np.ndarray,
    positions: np.ndarray,
    duration_s: float,
    tools: Mapping[str, ToolState],
) -> None:
    """Bonds fail where their ends are coagulated, or after enough heat passed close to the strand itself."""
    bonds, settings = tissue.bonds, tissue.settings
    whole = np.flatnonzero(~bonds.broken)
    if not len(whole):
        return
    ends = bonds.vertices[whole]
    for spot in spots:
        squared = ((positions[ends].mean(1) - spot.point) ** 2).sum(1)
        share = np.exp(-squared / (2 * settings.heat_spot_mm**2))
        bonds.heat_j[whole] += tools[spot.tool].heating_w * duration_s * share
    failing = (burn[ends].max(1) > settings.coagulated) | (bonds.heat_j[whole] > settings.bond_heat_j)
    if failing.any():
        bonds.fail(whole[failing])


def _by_body(
    tissue: Tissue, kind: str, tets: np.ndarray, spots: list[HeatedSpot], positions: np.ndarray
) -> list[TissueEvent]:
    """An event for each body and class among tetrahedra (indices), by the tool nearest to where it happened."""
    events = []
    if not len(tets):
        return events
    keys = np.stack([tissue.tet_body[tets], tissue.tet_class[tets]], -1)
    for body, class_id in np.unique(keys, axis=0):
        among = tets[(keys == [body, class_id]).all(1)]
        point = positions[tissue.tets[among]].mean((0, 1))
        nearest = min(spots, key=lambda spot: float(np.linalg.norm(spot.point - point)), default=None)
        tool = nearest.tool if nearest else None
        events.append(tissue.event(kind, tool, point, tissue.elements.volume[among].sum(), int(body), class_id))
    return events


def tear(tissue: Tissue, duration_s: float, positions: np.ndarray) -> list[TissueEvent]:
    """Where the greatest principal stress is farthest beyond the strength, the tissue parts square to it: one vertex in
    an interval, so that a crack runs with a finite speed."""
    over = tissue.tearing.overloaded(tissue.fields, duration_s)
    over = over[~np.isin(tissue.tets[over], tissue.grips.vertices()).any(1)]  # jaws carry what they hold
    for tet in over[:TEAR_TRIES]:
        parting = tissue.topology.separate(*cutting.tear_cut(tet, positions, tissue.rest, tissue.topology))
        if len(parting.opened):
            tissue.apply(parting)
            return [parted_event(tissue, "tear", None, parting)]
    return []

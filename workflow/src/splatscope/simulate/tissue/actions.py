"""What a surgeon does at once: grasp, release, cut, clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splatscope.geometry import apply, invert, make_transform
from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue import bleeding, cutting
from splatscope.simulate.tissue.clips import find_clip
from splatscope.simulate.tissue.events import TissueEvent
from splatscope.simulate.tissue.nearest import nearest_face
from splatscope.simulate.tissue.topology import Parting

if TYPE_CHECKING:
    from splatscope.simulate.tissue.tissue import Tissue

FEWEST_HELD = 3


def grasp(tissue: Tissue, tool: str, state: ToolState) -> TissueEvent:
    """The vertices of one body inside an ellipsoid about the grip point, half as thick as the jaws are long; where the
    mesh is too coarse for that, the corners of the nearest face."""
    tissue.grips.held.pop(tool, None)
    centre = state.in_world(state.grip_point)
    frame = make_transform(state.world_from_tool[:3, :3] @ state.jaw_axes(), centre)
    positions = tissue.positions
    reach = state.grip_reach_mm
    local = apply(invert(frame), positions.astype(float)) / [0.5 * reach, 0.6 * reach, reach]
    distance = np.linalg.norm(local, axis=1)
    free = ~tissue.fixed & (tissue.masses > 0)
    free[tissue.grips.vertices()] = False
    inside = np.flatnonzero((distance <= 1) & free)
    if len(inside):
        body = tissue.vertex_body[inside[distance[inside].argmin()]]
        inside = inside[tissue.vertex_body[inside] == body]
    if len(inside) < FEWEST_HELD:
        away, corners = nearest_face(tissue.surface(), positions, centre)
        inside = corners[free[corners]] if away <= reach else inside[:0]
    if not len(inside):
        return tissue.event("grasp", tool, centre, 0, None, None)
    body = int(tissue.vertex_body[inside[0]])
    tissue.grips.catch(tool, state, positions, inside, body)
    held = tissue.active & np.isin(tissue.tets, inside).any(1)
    class_id = np.bincount(tissue.tet_class[held]).argmax()
    return tissue.event("grasp", tool, centre, len(inside), body, class_id)


def release(tissue: Tissue, tool: str) -> TissueEvent:
    grip = tissue.grips.held.pop(tool, None)
    if grip is None:
        return tissue.event("release", tool, (0, 0, 0), 0, None, None)
    point = tissue.positions[grip.vertices].mean(0)
    return tissue.event("release", tool, point, len(grip.vertices), grip.body, None)


def cut(tissue: Tissue, tool: str, state: ToolState) -> TissueEvent:
    if state.blade is None:
        raise ValueError(f"{tool}: expected a tool with a blade to cut")
    positions = tissue.positions
    side, core = cutting.blade_cut(state, positions, tissue.topology)
    parting = tissue.topology.separate(side, core)
    tissue.apply(parting)
    if not len(parting.opened):
        return tissue.event("cut", tool, state.in_world(state.blade.centre), 0, None, None)
    return parted_event(tissue, "cut", tool, parting)


def clip(tissue: Tissue, tool: str, state: ToolState) -> TissueEvent:
    tubes = {}
    for class_id in sorted(tissue.settings.tubes):
        for body in range(len(tissue.bodies)):
            members = np.flatnonzero(tissue.active & (tissue.tet_class == class_id) & (tissue.tet_body == body))
            if len(members):
                tubes[body, class_id] = members
    placed = find_clip(state, tissue.positions, tissue.tets, tubes, tissue.clips, tissue.bodies, tissue.settings)
    if placed is None:
        centre = state.in_world(state.grip_point)
        return tissue.event("clip", tool, centre, 0, None, None)
    tissue.clip_set.place(placed)
    stop_bleeding(tissue, tool)
    body = tissue.bodies.index(placed.body)
    point = placed.world_from_clip[:3, 3]
    return tissue.event("clip", tool, point, len(placed.vertices), body, placed.class_id)


def parted_event(tissue: Tissue, kind: str, tool: str | None, parting: Parting) -> TissueEvent:
    """The event of a cut or tear; notes the bleeding that it starts.

    Named by the class that lost most; a cut by the duct or artery in it, if there is one.
    """
    positions, tets = tissue.positions, parting.opened[:, 0, 0]
    areas = cutting.opened_area(parting, positions, tissue.topology)
    classes = tissue.tet_class[tets]
    tubes = np.isin(classes, sorted(tissue.settings.tubes)) & (kind == "cut")  # what a surgeon means to cut
    named = tubes if tubes.any() else np.ones(len(classes), bool)
    class_id = int(np.bincount(classes[named], areas[named] + 1e-6).argmax())  # opened faces may have no area
    body = int(tissue.tet_body[tets[classes == class_id][0]])
    corners = positions[tissue.tets[tets]].mean(1)
    point = (corners * areas[:, None]).sum(0) / areas.sum()
    more = {}
    if class_id in tissue.settings.tubes:
        of_tube = (tissue.tet_class == class_id) & (tissue.tet_body == body)
        labels, severed = cutting.severed_pieces(parting, of_tube, tissue.topology)
        clipped = {int(label) for placed in tissue.clips for label in labels[placed.tets]}
        ends = np.unique(labels[parting.opened[..., 0]])
        more = {"severed": severed, "clipped_ends": sum(int(label) in clipped for label in ends if label >= 0)}
    for source in bleeding.sources_of(
        parting,
        areas,
        tissue.topology,
        positions,
        tissue.tet_body,
        tissue.tet_class,
        tissue.fixed,
        tissue.clips,
        tissue.settings,
    ):
        tissue.bleeding.append(source)
        point_there = positions[source.vertex]
        tissue.note(tissue.event("bleed", tool, point_there, source.rate_ml_per_s, source.body, source.class_id))
    return tissue.event(kind, tool, point, areas.sum(), body, class_id, **more)


def stop_bleeding(tissue: Tissue, tool: str | None) -> None:
    """Sources that heat has sealed or whose supply a clip has closed are over; notes the event."""
    if not tissue.bleeding:
        return
    burn, positions = tissue.burn, tissue.positions
    kept = []
    for source in tissue.bleeding:
        open_still = burn[source.vertex] < tissue.settings.coagulated
        if open_still and source.class_id in tissue.settings.arteries:
            vessel = (tissue.tet_class == source.class_id) & (tissue.tet_body == source.body)
            supplied = bleeding.supplied_pieces(vessel, tissue.topology, tissue.fixed, tissue.clips)
            open_still = bool(supplied[source.tet])
        if open_still:
            kept.append(source)
        else:
            point, rate = positions[source.vertex], source.rate_ml_per_s
            tissue.note(tissue.event("seal", tool, point, rate, source.body, source.class_id))
    tissue.bleeding = kept

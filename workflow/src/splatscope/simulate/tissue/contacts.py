"""Which parts of the tissue may touch something in the next interval, and the launches that keep them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.meshes.distance_fields import SampledField
from splatscope.simulate.tissue import contact_kernels, obstacle_kernels
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tool_motion import ToolMotion
from splatscope.simulate.tissue.topology import Surface
from splatscope.simulate.tissue.vertex_fields import VertexFields

TOUCH_MM = 0.02  # clearance at which tissue is taken to lie on the surroundings
REACH_MM = 1.5  # beyond contact, for what the tissue moves during an interval


@dataclass
class _Pairs:
    """Triangles [N, 3] with what they may touch [N]: a capsule, or a vertex of another organ."""

    faces: np.ndarray
    others: np.ndarray


class Contacts:
    """Contact of all bodies of one tissue. Call `surface_changed` whenever the surface is another one."""

    def __init__(self, settings: TissueSettings, obstacle: SampledField | None, device: str):
        self._settings, self._device = settings, device
        self._grid = None
        self._tool_faces = np.zeros((0, 3), np.int32)
        self._organ_pairs = _Pairs(self._tool_faces, np.zeros(0, np.int32))
        self._off_obstacle = np.zeros(0, np.int32)
        if obstacle is not None:
            values = wp.array(np.ascontiguousarray(obstacle.values, np.float32), dtype=float, device=device)
            self._grid = values, wp.vec3(*map(float, obstacle.origin)), float(obstacle.spacing)

    def surface_changed(self, surface: Surface, vertex_body: np.ndarray, fields: VertexFields) -> None:
        self._faces = surface.faces
        self._vertices = np.unique(surface.faces).astype(np.int32)
        self._faces_device = self._upload(surface.faces, wp.vec3i)
        self._near = wp.zeros(len(surface.faces), dtype=wp.int32, device=self._device)
        self._vertices_device = self._upload(self._vertices, wp.int32)
        self._clearance = wp.zeros(len(self._vertices), dtype=float, device=self._device)
        self._vertex_body = vertex_body[self._vertices]
        self._body_device = self._upload(vertex_body, wp.int32)
        face_body = vertex_body[surface.faces[:, 0]]
        self._body_faces = [np.flatnonzero(face_body == body) for body in range(vertex_body.max() + 1)]
        self._meshes = [
            wp.Mesh(points=fields["positions"], indices=self._upload(surface.faces[faces].ravel(), wp.int32))
            for faces in self._body_faces
            if len(faces)
        ]
        self._body_faces = [faces for faces in self._body_faces if len(faces)]
        self._mesh_bodies = [int(face_body[faces[0]]) for faces in self._body_faces]
        self._mesh_ids = wp.array([mesh.id for mesh in self._meshes], dtype=wp.uint64, device=self._device)
        self._edges = self._mean_edges(surface.faces, fields)
        count = len(self._vertices)
        self._near_mesh, self._near_face = (wp.zeros(count, dtype=wp.int32, device=self._device) for _ in range(2))
        self._mesh_of_vertex = self._upload(_renumber(vertex_body, self._mesh_bodies), wp.int32)

    def add_to(
        self,
        launches: Launches,
        motion: ToolMotion,
        held_faces: np.ndarray,
        fields: VertexFields,
        positions: np.ndarray,
        step_s: float,
    ) -> None:
        """Search now, and add what is to be done every substep.

        `held_faces` bool [F, tools]: faces of which a tool holds a vertex; its own capsules do not push them.
        """
        settings = self._settings
        most = settings.separation_mm_s * step_s
        state = [fields["positions"], fields["previous"], fields["inverse_mass"]]
        tool_pairs = self._near_tools(motion, held_faces, fields)
        organ_pairs = self._near_organs(fields, positions)
        self._tool_faces, self._organ_pairs = tool_pairs.faces, organ_pairs
        counts = len(tool_pairs.faces), len(organ_pairs.faces)
        if sum(counts):
            self._pushes = pushes = wp.zeros(sum(counts), dtype=wp.vec3, device=self._device)
            weights = wp.zeros(sum(counts), dtype=wp.vec4, device=self._device)
            if counts[0]:
                targets = [self._upload(tool_pairs.faces, wp.vec3i), self._upload(tool_pairs.others, wp.int32)]
                capsules = [motion.starts, motion.ends, motion.radii]
                launches.add(
                    contact_kernels.push_by_tools,
                    counts[0],
                    [*state, *targets, *capsules, most, settings.friction, 0, pushes, weights],
                )
            if counts[1]:
                targets = [self._upload(organ_pairs.faces, wp.vec3i), self._upload(organ_pairs.others, wp.int32)]
                launches.add(
                    contact_kernels.push_organs_apart,
                    counts[1],
                    [*state, *targets, settings.organ_gap_mm, most, settings.friction, counts[0], pushes, weights],
                )
            vertices, starts, entries = _incidence(tool_pairs, organ_pairs)
            lists = [self._upload(values, wp.int32) for values in (vertices, starts, entries)]
            launches.add(contact_kernels.gather_pushes, len(vertices), [state[0], state[2], *lists, pushes, weights])
        if self._grid is not None:
            near = self._near_obstacle(fields)
            launches.add(
                obstacle_kernels.push_off_obstacle,
                len(near),
                [*state, self._upload(near, wp.int32), *self._grid, most, settings.friction],
            )

    def touching(self) -> np.ndarray:
        """Vertices of organs that pushed each other in the last substep, or that the surroundings pushed, ascending."""
        first = len(self._tool_faces)
        if not len(self._organ_pairs.faces):
            return self._off_obstacle
        pushing = self._pushes.numpy()[first:].any(1)
        pairs = self._organ_pairs
        return np.union1d(np.union1d(pairs.faces[pushing], pairs.others[pushing]), self._off_obstacle)

    def pressed(self) -> np.ndarray:
        """Vertices that instruments pushed in the last substep, ascending."""
        if not len(self._tool_faces):
            return np.zeros(0, np.int32)
        pushing = self._pushes.numpy()[: len(self._tool_faces)].any(1)
        return np.unique(self._tool_faces[pushing])

    def _mean_edges(self, faces: np.ndarray, fields: VertexFields) -> wp.array:
        """Of each body's surface, mm."""
        corners = fields.read("positions")[faces]
        length = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean(1)
        return wp.array([length[own].mean() for own in self._body_faces], dtype=float, device=self._device)

    def _near_tools(self, motion: ToolMotion, held_faces: np.ndarray, fields: VertexFields) -> _Pairs:
        if not len(motion.capsule_tool):
            return _Pairs(np.zeros((0, 3), np.int32), np.zeros(0, np.int32))
        reaches = wp.array(motion.reaches.numpy() + REACH_MM, dtype=float, device=self._device)
        wp.launch(
            contact_kernels.note_faces_near_tools,
            dim=len(self._faces),
            inputs=[fields["positions"], self._faces_device, motion.starts, motion.ends, reaches, motion.middle],
            outputs=[self._near],
            device=self._device,
        )
        bits = self._near.numpy()
        face = np.flatnonzero(bits)
        touches = bits[face][:, None] >> np.arange(len(motion.capsule_tool)) & 1 > 0
        touches &= ~held_faces[face][:, motion.capsule_tool]
        row, capsule = np.nonzero(touches)
        return _Pairs(self._faces[face[row]], capsule.astype(np.int32))

    def _near_organs(self, fields: VertexFields, positions: np.ndarray) -> _Pairs:
        nothing = _Pairs(np.zeros((0, 3), np.int32), np.zeros(0, np.int32))
        if len(self._meshes) < 2:
            return nothing
        for mesh in self._meshes:
            mesh.refit()
        here = positions[self._vertices]
        lows, highs = (
            np.array([bound(here[self._vertex_body == body], axis=0) for body in self._mesh_bodies], np.float32)
            for bound in (np.min, np.max)
        )
        reach = REACH_MM + self._settings.organ_gap_mm
        wp.launch(
            obstacle_kernels.find_nearby_organ,
            dim=len(self._vertices),
            inputs=[fields["positions"], self._vertices_device, self._mesh_of_vertex, self._mesh_ids, self._edges]
            + [wp.array(bound, dtype=wp.vec3, device=self._device) for bound in (lows, highs)]
            + [reach],
            outputs=[self._near_mesh, self._near_face],
            device=self._device,
        )
        mesh, face = self._near_mesh.numpy(), self._near_face.numpy()
        found = np.flatnonzero(mesh >= 0)
        if not len(found):
            return nothing
        firsts = np.cumsum([0, *(len(faces) for faces in self._body_faces)])
        touching = np.concatenate(self._body_faces)[firsts[mesh[found]] + face[found]]
        return _Pairs(self._faces[touching], self._vertices[found])

    def _near_obstacle(self, fields: VertexFields) -> np.ndarray:
        wp.launch(
            obstacle_kernels.measure_clearance,
            dim=len(self._vertices),
            inputs=[fields["positions"], self._vertices_device, *self._grid],
            outputs=[self._clearance],
            device=self._device,
        )
        clearance = self._clearance.numpy()
        self._off_obstacle = self._vertices[clearance < TOUCH_MM]
        return self._vertices[clearance < REACH_MM]

    def _upload(self, values: np.ndarray, dtype) -> wp.array:
        return wp.array(np.ascontiguousarray(values, np.int32), dtype=dtype, device=self._device)


def _renumber(vertex_body: np.ndarray, bodies: list[int]) -> np.ndarray:
    number = np.full(vertex_body.max() + 1, -1, np.int32)
    number[bodies] = np.arange(len(bodies))
    return number[vertex_body]


def _incidence(tools: _Pairs, organs: _Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [V], starts [V + 1] and entries: which weight (contact * 4 + number) of which contact concerns whom."""
    corners = np.concatenate([tools.faces, organs.faces])
    contact = np.repeat(np.arange(len(corners)), 3)
    vertex = np.concatenate([corners.ravel(), organs.others])
    organ_contact = len(tools.faces) + np.arange(len(organs.faces))
    entry = np.concatenate([contact * 4 + np.tile([0, 1, 2], len(corners)), organ_contact * 4 + 3])
    order = np.argsort(vertex, kind="stable")
    vertices, starts = np.unique(vertex[order], return_index=True)
    return vertices, np.append(starts, len(vertex)), entry[order]

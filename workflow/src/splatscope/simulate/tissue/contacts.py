"""Which parts of the tissue may touch something in the next interval, and the launches that keep them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.meshes.distance_fields import SampledField
from splatscope.simulate.tissue import contact_kernels, obstacle_kernels
from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.tool_motion import ToolMotion
from splatscope.simulate.tissue.topology import Surface
from splatscope.simulate.tissue.vertex_fields import VertexFields

TOUCH_MM = 0.02  # clearance at which tissue is taken to lie on the surroundings
REACH_MM = 1.5  # beyond contact, for what the tissue moves during an interval
FINER = 0.75  # an organ whose edges are shorter than this, compared to another's, is the finer of the two


@dataclass
class _Pairs:
    """Triangles [N, 3] with what they may touch [N]: a capsule, or a vertex of another organ."""

    faces: np.ndarray
    others: np.ndarray


_NOTHING = _Pairs(np.zeros((0, 3), np.int32), np.zeros(0, np.int32))


class Contacts:
    """Contact of all bodies of one tissue. Call `surface_changed` whenever the surface is another one."""

    def __init__(self, settings: TissueSettings, obstacle: SampledField | None, device: str):
        self._settings, self._device = settings, device
        self._grid = None
        self._tool_faces, self._organ_pairs = _NOTHING.faces, _NOTHING
        self._pushes = wp.zeros(0, dtype=wp.vec3, device=device)
        self._off_obstacle = np.zeros(0, np.int32)
        if obstacle is not None:
            values = wp.array(np.ascontiguousarray(obstacle.values, np.float32), dtype=float, device=device)
            self._grid = values, wp.vec3(*map(float, obstacle.origin)), float(obstacle.spacing)

    def surface_changed(self, surface: Surface, vertex_body: np.ndarray, fields: VertexFields) -> None:
        face_body = vertex_body[surface.faces[:, 0]]
        order = np.argsort(face_body, kind="stable")
        bodies, firsts = np.unique(face_body[order], return_index=True)
        self._faces = surface.faces[order]  # body by body
        self._first_faces = np.append(firsts, len(order))  # of each body that has a surface
        vertices = np.unique(self._faces)
        self._vertices = vertices[np.argsort(vertex_body[vertices], kind="stable")].astype(np.int32)  # body by body
        self._first_vertices = np.searchsorted(vertex_body[self._vertices], bodies)
        self._mesh_of_vertex = upload(np.searchsorted(bodies, vertex_body), wp.int32, self._device)
        self._faces_device = upload(self._faces, wp.vec3i, self._device)
        self._vertices_device = upload(self._vertices, wp.int32, self._device)
        self._near = wp.zeros(len(self._faces), dtype=wp.int32, device=self._device)
        self._clearance, self._near_mesh, self._near_face = (
            wp.zeros(len(self._vertices), dtype=kind, device=self._device) for kind in (float, wp.int32, wp.int32)
        )
        self._meshes = [
            wp.Mesh(points=fields["positions"], indices=upload(faces.ravel(), wp.int32, self._device))
            for faces in np.split(self._faces, firsts[1:])
        ]
        self._mesh_ids = wp.array([mesh.id for mesh in self._meshes], dtype=wp.uint64, device=self._device)
        corners = fields.read("positions")[self._faces]
        length = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean(1)
        self._edges = np.add.reduceat(length, firsts) / np.diff(self._first_faces)  # mm, mean of each body's surface

    def add_to(
        self,
        launches: Launches,
        motion: ToolMotion,
        held: np.ndarray,
        fields: VertexFields,
        positions: np.ndarray,
        step_s: float,
    ) -> None:
        """Search now, and add what is to be done every substep.

        `held` bool [V, tools]: vertices in a tool's jaws; its own capsules do not push their faces.
        """
        settings, device = self._settings, self._device
        most = settings.separation_mm_s * step_s
        state = [fields["positions"], fields["previous"], fields["inverse_mass"]]
        tool_pairs = self._near_tools(motion, held, fields)
        organ_pairs = self._near_organs(fields, positions)
        self._tool_faces, self._organ_pairs = tool_pairs.faces, organ_pairs
        counts = len(tool_pairs.faces), len(organ_pairs.faces)
        self._pushes = pushes = wp.zeros(sum(counts), dtype=wp.vec3, device=device)
        if sum(counts):
            weights = wp.zeros(sum(counts), dtype=wp.vec4, device=device)
            if counts[0]:
                targets = [upload(tool_pairs.faces, wp.vec3i, device), upload(tool_pairs.others, wp.int32, device)]
                capsules = [motion.starts, motion.ends, motion.radii]
                launches.add(
                    contact_kernels.push_by_tools,
                    counts[0],
                    [*state, *targets, *capsules, most, settings.friction, 0, pushes, weights],
                )
            if counts[1]:
                targets = [upload(organ_pairs.faces, wp.vec3i, device), upload(organ_pairs.others, wp.int32, device)]
                launches.add(
                    contact_kernels.push_organs_apart,
                    counts[1],
                    [*state, *targets, settings.organ_gap_mm, most, settings.friction, counts[0], pushes, weights],
                )
            vertices, starts, entries = _incidence(tool_pairs, organ_pairs)
            lists = [upload(values, wp.int32, device) for values in (vertices, starts, entries)]
            launches.add(contact_kernels.gather_pushes, len(vertices), [state[0], state[2], *lists, pushes, weights])
        if self._grid is not None:
            near = self._near_obstacle(fields)
            launches.add(
                obstacle_kernels.push_off_obstacle,
                len(near),
                [*state, upload(near, wp.int32, device), *self._grid, most, settings.friction],
            )

    def touching(self) -> np.ndarray:
        """Vertices of organs that pushed each other in the last substep, or that the surroundings pushed; some more
        than once."""
        pairs, pushing = self._organ_pairs, self._pushing(len(self._tool_faces), None)
        return np.concatenate([pairs.faces[pushing].ravel(), pairs.others[pushing], self._off_obstacle])

    def pressed(self) -> np.ndarray:
        """Vertices that instruments pushed in the last substep; some more than once."""
        return self._tool_faces[self._pushing(0, len(self._tool_faces))].ravel()

    def _pushing(self, first: int, end: int | None) -> np.ndarray:
        return self._pushes.numpy()[first:end].any(1)

    def _near_tools(self, motion: ToolMotion, held: np.ndarray, fields: VertexFields) -> _Pairs:
        if not len(motion.capsule_tool):
            return _NOTHING
        rows = [0, motion.steps // 2, motion.steps]
        starts, ends = motion.starts.numpy()[rows], motion.ends.numpy()[rows]
        travel = np.maximum(*(np.linalg.norm(path - path[1], axis=2).max(0) for path in (starts, ends)))
        reaches = motion.radii.numpy() + travel + REACH_MM
        lows = np.minimum(starts[1], ends[1]) - reaches[:, None]
        highs = np.maximum(starts[1], ends[1]) + reaches[:, None]
        capsules = [upload(values, wp.vec3, self._device) for values in (starts[1], ends[1], lows, highs)]
        wp.launch(
            contact_kernels.note_faces_near_tools,
            dim=len(self._faces),
            inputs=[fields["positions"], self._faces_device, *capsules, upload(reaches, float, self._device)],
            outputs=[self._near],
            device=self._device,
        )
        bits = self._near.numpy()
        face = np.flatnonzero(bits)
        touches = bits[face][:, None] >> np.arange(len(motion.capsule_tool)) & 1 > 0
        faces = self._faces[face]
        touches &= ~held[faces].any(1)[:, motion.capsule_tool]
        row, capsule = np.nonzero(touches)
        return _Pairs(faces[row], capsule.astype(np.int32))

    def _near_organs(self, fields: VertexFields, positions: np.ndarray) -> _Pairs:
        reach = REACH_MM + self._settings.organ_gap_mm
        here = positions[self._vertices]
        lows, highs = (bound.reduceat(here, self._first_vertices) for bound in (np.minimum, np.maximum))
        meeting = (lows[:, None] - reach < highs).all(2) & (highs[:, None] + reach > lows).all(2)
        # a coarse organ's vertex would come out on the far side of a thin vessel: the finer one's vertices see to it
        meeting &= self._edges >= FINER * self._edges[:, None]
        np.fill_diagonal(meeting, False)
        if not meeting.any():
            return _NOTHING
        for mesh in np.flatnonzero(meeting.any(0)):
            self._meshes[mesh].refit()
        wp.launch(
            obstacle_kernels.find_nearby_organ,
            dim=len(self._vertices),
            inputs=[fields["positions"], self._vertices_device, self._mesh_of_vertex, self._mesh_ids]
            + [wp.array(meeting, dtype=wp.bool, device=self._device)]
            + [upload(bound, wp.vec3, self._device) for bound in (lows, highs)]
            + [reach],
            outputs=[self._near_mesh, self._near_face],
            device=self._device,
        )
        mesh, face = self._near_mesh.numpy(), self._near_face.numpy()
        found = np.flatnonzero(mesh >= 0)
        return _Pairs(self._faces[self._first_faces[mesh[found]] + face[found]], self._vertices[found])

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

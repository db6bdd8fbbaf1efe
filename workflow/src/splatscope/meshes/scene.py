"""What stands before the camera: rigid objects made of parts, and surfaces that deform and come apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import warp as wp

from splatscope.classes import MAX_INSTANCES
from splatscope.geometry import invert
from splatscope.meshes import lens_kernels, shading_kernels
from splatscope.meshes.culling import GROUP, FaceGroups, compact_order
from splatscope.meshes.materials import MaterialLibrary
from splatscope.meshes.mesh import Mesh, concatenate, vertex_normals


@dataclass(frozen=True)
class Look:
    """What a face is made of, and its labels."""

    material: str
    class_id: int = 0
    instance: int = 0  # 0 nobody; 1..16 gets a visible and an amodal mask

    def __post_init__(self):
        if not 0 <= self.instance <= MAX_INSTANCES:
            raise ValueError(f"expected instances 0..{MAX_INSTANCES}, got {self.instance}")


@dataclass
class Part:
    """A mesh of one look; parts of one object move together."""

    mesh: Mesh
    material: str
    class_id: int = 0
    instance: int = 0

    @property
    def look(self) -> Look:
        return Look(self.material, self.class_id, self.instance)


@dataclass
class Surface:
    """Faces of several looks on common vertices. `mesh.texture` says which point of the material a vertex is."""

    mesh: Mesh
    looks: Sequence[Look]
    face_look: np.ndarray  # int [F], index into `looks`
    condition: np.ndarray | None = None  # [V, 2]: burn (0 raw, 1 coagulated, more: charred), blood on it (0..1)
    rest_normals: np.ndarray | None = None  # [V, 3] when at rest, for the texture; those of the mesh when absent


class _Member:
    """An object of a scene, as it is now."""

    def __init__(self, content: Sequence[Part] | Surface):
        self.rigid = not isinstance(content, Surface)
        if isinstance(content, Surface):
            mesh, self.looks, self.face_look = content.mesh, list(content.looks), content.face_look
            self.points = mesh.texture
            self.rest_normals = mesh.normals if content.rest_normals is None else content.rest_normals
            self.group_starts = np.arange(0, len(mesh.faces), GROUP)
            condition = content.condition
        else:
            mesh = concatenate([_neighbours_together(part.mesh) for part in content])
            counts = [len(part.mesh.faces) for part in content]
            self.looks, self.face_look = [part.look for part in content], np.repeat(np.arange(len(content)), counts)
            self.points, self.rest_normals, condition = mesh.vertices, mesh.normals, None
            ends = np.cumsum([0, *counts])
            self.group_starts = np.concatenate([np.arange(low, high, GROUP) for low, high in pairwise(ends)])
        self.faces, self.texture, self.tint = mesh.faces, mesh.texture, mesh.tint
        self.condition = np.zeros((len(mesh.vertices), 2), np.float32) if condition is None else condition
        self.deform(mesh.vertices, mesh.normals)

    def deform(self, vertices: np.ndarray, normals: np.ndarray | None) -> None:
        self.vertices = vertices
        self.normals = vertex_normals(vertices, self.faces) if normals is None else normals
        # what deforms in every picture is drawn whole: its bounds would cost more than they save
        self.groups = (
            FaceGroups.of(self.vertices, self.faces, self.group_starts)
            if self.rigid
            else FaceGroups.unbounded(self.group_starts, len(self.faces))
        )


class Scene:
    """Objects on one device. Rigid poses, vertex positions and whole surfaces may change between pictures.

    scene = Scene({"needle_driver": parts, "liver": surface}, materials)
    scene.set_pose("needle_driver", world_from_tool)
    scene.set_vertices("liver", vertices)
    """

    def __init__(self, objects: dict[str, Sequence[Part] | Surface], materials: MaterialLibrary, device: str = "cpu"):
        self.device = device
        self.names = list(objects)
        self._materials = materials
        self.styles, self.tiles = materials.upload(device)
        self._poses = np.tile(np.eye(4), (len(self.names), 1, 1))
        self._members = {name: _Member(content) for name, content in objects.items()}
        self._upload_all()

    def set_pose(self, name: str, world_from_object: np.ndarray) -> None:
        """Move an object: rigid transform [4, 4]."""
        self._poses[self.names.index(name)] = world_from_object

    def set_vertices(
        self, name: str, vertices: np.ndarray, normals: np.ndarray | None = None, condition: np.ndarray | None = None
    ) -> None:
        """Deform an object: vertices [V, 3] in mm, of all its parts in order; its texture stays on the surface.

        `normals` [V, 3] are computed from the faces when absent; `condition` [V, 2] stays when absent.
        """
        member = self._members[name]
        if vertices.shape != member.vertices.shape:
            raise ValueError(f"{name}: expected {len(member.vertices)} vertices, got {list(vertices.shape)}")
        member.deform(vertices, normals)
        if member.rigid:
            self._group_together()
        changed = ("vertices", "normals") if condition is None else ("vertices", "normals", "condition")
        if condition is not None:
            member.condition = condition
        first = self.vertex_range(name).start
        for array in changed:
            target = getattr(self, array)
            values = np.ascontiguousarray(getattr(member, array), np.float32)
            wp.copy(target, wp.array(values, dtype=target.dtype, device=self.device), dest_offset=first)

    def replace(self, name: str, surface: Surface) -> None:
        """Give an object another surface, e.g. after a cut. Other objects and all poses stay as they are."""
        self._members[name] = _Member(surface)
        self._upload_all()

    def vertex_range(self, name: str) -> slice:
        """Where the object's vertices lie among those of the scene."""
        return self._range(name, "vertices")

    def face_range(self, name: str) -> slice:
        return self._range(name, "faces")

    def visible_groups(self, world_from_camera: np.ndarray, field: np.ndarray, near_mm: float) -> np.ndarray:
        """int32 [N, 2]: first face and number of faces of the groups that may be seen; `field`: see FaceGroups."""
        camera_from_object = (invert(world_from_camera) @ self._poses)[self._group_object]
        return self._groups.ranges[self._groups.visible(camera_from_object, field, near_mm)]

    def place_before(self, world_from_camera: np.ndarray) -> None:
        """Bring vertices into camera axes; their normals and condition, too, into the records that shading reads."""
        self.object_poses = (invert(world_from_camera) @ self._poses).astype(np.float32)
        self.camera_from_object = wp.array(self.object_poses, dtype=wp.mat44, device=self.device)
        wp.launch(
            lens_kernels.transform_vertices,
            dim=len(self.vertices),
            inputs=[self.vertices, self.normals, self.condition, self.vertex_object, self.camera_from_object],
            outputs=[self.camera_vertices, self.records],
            device=self.device,
        )

    def surfaces(self) -> shading_kernels.Surfaces:
        """All triangles as they were last placed before a camera."""
        surfaces = shading_kernels.Surfaces()
        for name in shading_kernels.Surfaces.vars:
            setattr(surfaces, name, getattr(self, name))
        return surfaces

    def _range(self, name: str, array: str) -> slice:
        before = self.names[: self.names.index(name)]
        first = sum(len(getattr(self._members[other], array)) for other in before)
        return slice(first, first + len(getattr(self._members[name], array)))

    def _gather(self, array: str) -> np.ndarray:
        return np.concatenate([getattr(member, array) for member in self._members.values()]).astype(np.float32)

    def _group_together(self) -> None:
        """All groups of faces, and the object that each belongs to."""
        several = [member.groups for member in self._members.values()]
        self._groups = FaceGroups.concatenate(several)
        self._group_object = np.repeat(np.arange(len(several)), [len(groups.starts) for groups in several])

    def _upload_all(self) -> None:
        """Bring all objects into common arrays; a face knows its part, i.e. its object and look."""
        self._group_together()
        members = list(self._members.values())
        vertex_counts, look_counts = ([len(getattr(m, array)) for m in members] for array in ("vertices", "looks"))
        first_vertex, first_part = np.cumsum([0, *vertex_counts]), np.cumsum([0, *look_counts])
        looks = [look for member in members for look in member.looks]

        def upload(values, dtype):
            return wp.array(np.ascontiguousarray(values), dtype=dtype, device=self.device)

        def upload_integers(values):
            return upload(np.asarray(values, np.int32), wp.int32)

        self.vertices, self.normals = (upload(self._gather(array), wp.vec3) for array in ("vertices", "normals"))
        self.condition = upload(self._gather("condition"), wp.vec2)
        owner = np.repeat(np.arange(len(members)), vertex_counts)
        self.points = upload(np.column_stack([owner + 1, self._gather("points")]).astype(np.float32), wp.vec4)
        still = np.hstack([self._gather(array) for array in ("texture", "rest_normals", "tint")])
        self.records = upload(np.pad(still, ((0, 0), (3, 3))), lens_kernels.Record)
        self.vertex_object = upload_integers(owner)
        self.faces = upload_integers(np.concatenate([m.faces + first for m, first in zip(members, first_vertex)]))
        self.face_part = upload_integers(np.concatenate([m.face_look + first for m, first in zip(members, first_part)]))
        self.part_object = upload_integers(np.repeat(np.arange(len(members)), look_counts))
        self.part_class = upload_integers([look.class_id for look in looks])
        self.part_instance = upload_integers([look.instance for look in looks])
        self.part_style = upload_integers([self._materials.index(look.material) for look in looks])
        self.camera_vertices = wp.empty_like(self.vertices)


def _neighbours_together(mesh: Mesh) -> Mesh:
    order = compact_order(mesh.vertices, mesh.faces)
    return Mesh(mesh.vertices, mesh.faces[order], mesh.normals, mesh.tint, mesh.texture)

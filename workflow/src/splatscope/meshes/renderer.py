"""A mesh renderer with exact labels: visibility buffer, then deferred shading.

scene = Scene(objects, materials)
scene.set_pose("needle_driver", world_from_tool)
image = Renderer(scene, camera).render(world_from_camera)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.geometry import Camera, invert
from splatscope.meshes import raster_kernels, shading_kernels
from splatscope.meshes.culling import GROUP, FaceGroups, compact_order
from splatscope.meshes.materials import MaterialLibrary
from splatscope.meshes.mesh import Mesh, vertex_normals
from splatscope.shards import MAX_INSTANCES

NEAR_MM = 1.0


@dataclass
class Part:
    """A mesh of one material and one label; parts of one object move together."""

    mesh: Mesh
    material: str
    class_id: int = 0
    instance: int = 0  # 0 nobody; 1..16 gets a visible and an amodal mask


@dataclass(frozen=True)
class Light:
    """A light at the camera. Radiance 1 is white paper facing the camera at `reference_mm` on the optical axis."""

    reference_mm: float = 70.0
    ambient: float = 0.06  # light thrown back by the surroundings, in units of radiance
    cone: float = 1.2  # fall-off away from the axis: the power is divided by 1 + cone tan(angle)^2

    def vector(self) -> wp.vec3:
        return wp.vec3(self.reference_mm**2, self.ambient, self.cone)


@dataclass
class Picture:
    """What the camera sees. Maps are None where they were not asked for."""

    radiance: np.ndarray | None  # float32 [H, W, 3], linear; may exceed 1
    class_map: np.ndarray | None  # uint8 [H, W]
    instance_map: np.ndarray | None  # uint8 [H, W]
    amodal_bits: np.ndarray | None  # uint16 [H, W]; bit i: instance i + 1 covers the pixel, hidden or not
    depth_mm: np.ndarray | None  # float32 [H, W] along the optical axis; 0 where nothing is
    normals: np.ndarray | None  # float32 [H, W, 3] in camera axes: of the surface, without the texture's bumps


class Scene:
    """Objects on one device. Rigid poses and vertex positions may change between pictures."""

    def __init__(self, objects: dict[str, list[Part]], materials: MaterialLibrary, device: str = "cpu"):
        self.device = device
        self.names = list(objects)
        self._poses = np.tile(np.eye(4), (len(self.names), 1, 1))
        parts = [(index, part) for index, name in enumerate(self.names) for part in objects[name]]
        bad = [part.instance for _, part in parts if not 0 <= part.instance <= MAX_INSTANCES]
        if bad:
            raise ValueError(f"expected instances 0..{MAX_INSTANCES}, got {bad[0]}")
        sizes = [len(part.mesh.vertices) for _, part in parts]
        starts = np.cumsum([0, *sizes])
        owners = np.array([owner for owner, _ in parts])
        self._ranges = {
            name: (starts[np.argmax(owners == index)], starts[np.argmax(owners == index) + (owners == index).sum()])
            for index, name in enumerate(self.names)
        }
        ordered = [part.mesh.faces[compact_order(part.mesh.vertices, part.mesh.faces)] for _, part in parts]
        self._faces = np.vstack([faces + start for faces, start in zip(ordered, starts)])
        self._vertices = np.vstack([part.mesh.vertices for _, part in parts])
        self._normals = np.vstack([part.mesh.normals for _, part in parts])

        def upload(values, dtype):
            return wp.array(np.ascontiguousarray(values), dtype=dtype, device=device)

        self.vertices, self.normals = upload(self._vertices, wp.vec3), upload(self._normals, wp.vec3)
        texture, tint = (np.vstack([getattr(part.mesh, name) for _, part in parts]) for name in ("texture", "tint"))
        self.attributes = upload(np.hstack([texture, self._normals, tint]), shading_kernels.Attributes)
        self.vertex_object = upload(np.repeat(owners, sizes).astype(np.int32), wp.int32)
        self.faces = upload(self._faces.astype(np.int32), wp.int32)
        face_counts = [len(part.mesh.faces) for _, part in parts]
        self.face_part = upload(np.repeat(np.arange(len(parts)), face_counts).astype(np.int32), wp.int32)
        self.part_object = upload(owners.astype(np.int32), wp.int32)
        self.part_class = upload(np.array([part.class_id for _, part in parts], np.int32), wp.int32)
        self.part_instance = upload(np.array([part.instance for _, part in parts], np.int32), wp.int32)
        self.part_style = upload(np.array([materials.index(part.material) for _, part in parts], np.int32), wp.int32)
        self.styles, self.tiles = materials.upload(device)
        self.camera_vertices, self.camera_normals = wp.empty_like(self.vertices), wp.empty_like(self.normals)
        face_starts = np.cumsum([0, *face_counts])
        self._groups = {}
        for index, name in enumerate(self.names):
            owned = np.flatnonzero(owners == index)
            groups = np.concatenate([np.arange(face_starts[at], face_starts[at + 1], GROUP) for at in owned])
            self._groups[name] = self._bound(groups, face_starts[owned[0]], face_starts[owned[-1] + 1])

    def set_pose(self, name: str, world_from_object: np.ndarray) -> None:
        """Move an object: rigid transform [4, 4]."""
        self._poses[self.names.index(name)] = world_from_object

    def set_vertices(self, name: str, vertices: np.ndarray) -> None:
        """Deform an object: its vertices [V, 3] in mm, of all its parts in order. Its texture stays on the surface."""
        first, last = self._ranges[name]
        if vertices.shape != (last - first, 3):
            raise ValueError(f"{name}: expected {last - first} vertices, got {list(vertices.shape)}")
        self._vertices[first:last] = vertices
        faces = self._faces[(self._faces[:, 0] >= first) & (self._faces[:, 0] < last)] - first
        self._normals[first:last] = vertex_normals(self._vertices[first:last], faces)
        self.vertices.assign(self._vertices)
        self.normals.assign(self._normals)
        groups = self._groups[name]
        self._groups[name] = self._bound(groups.starts, groups.starts[0], groups.end)

    def _bound(self, starts: np.ndarray, first: int, end: int) -> FaceGroups:
        return FaceGroups.of(self._vertices, self._faces[first:end], starts - first, first)

    def visible_groups(self, world_from_camera: np.ndarray, camera: Camera) -> np.ndarray:
        """int32 [N, 2]: first face and number of faces of the groups that may be seen."""
        camera_from_object = invert(world_from_camera) @ self._poses
        return np.concatenate(
            [
                groups.ranges[groups.visible(pose, camera, NEAR_MM)]
                for groups, pose in zip(self._groups.values(), camera_from_object)
            ]
        )

    def place_before(self, world_from_camera: np.ndarray) -> wp.array:
        """Vertices and normals in camera axes; returns camera_from_object of every object."""
        camera_from_object = wp.array(
            (invert(world_from_camera) @ self._poses).astype(np.float32), dtype=wp.mat44, device=self.device
        )
        wp.launch(
            raster_kernels.transform_vertices,
            dim=len(self.vertices),
            inputs=[self.vertices, self.normals, self.vertex_object, camera_from_object],
            outputs=[self.camera_vertices, self.camera_normals],
            device=self.device,
        )
        return camera_from_object


class Renderer:
    """Takes pictures of a scene with a pinhole camera. Surfaces are seen from outside only."""

    def __init__(self, scene: Scene, camera: Camera, light: Light | None = None):
        if camera.distortion:
            raise ValueError("expected a camera without distortion: render wider and warp the picture")
        self.scene, self.camera, self.light = scene, camera, light or Light()
        count = camera.width * camera.height
        self._shape = (camera.height, camera.width)
        self._intrinsics = wp.vec4(camera.fx, camera.fy, camera.cx, camera.cy)

        def buffer(dtype):
            return wp.empty(count, dtype=dtype, device=scene.device)

        self._keys, self._amodal = buffer(wp.int64), buffer(wp.int32)
        self._class, self._instance, self._depth = buffer(wp.uint8), buffer(wp.uint8), buffer(wp.float32)
        self._normals, self._radiance = buffer(wp.vec3), buffer(wp.vec3)

    def render(
        self, world_from_camera: np.ndarray, *, colour: bool = True, labels: bool = True, normals: bool = False
    ) -> Picture:
        """The picture from a camera pose [4, 4]."""
        scene, camera = self.scene, self.camera
        camera_from_object = scene.place_before(world_from_camera)
        self._keys.fill_(-1)
        self._amodal.zero_()
        groups = scene.visible_groups(world_from_camera, camera)
        self._launch(
            raster_kernels.rasterize,
            (len(groups), GROUP),
            [wp.array(groups, dtype=wp.int32, device=scene.device), scene.camera_vertices, scene.faces],
            [scene.face_part, scene.part_instance, self._intrinsics, camera.width, camera.height, NEAR_MM],
            outputs=[self._keys, self._amodal],
        )
        if labels or normals:
            self._resolve(normals)
        if colour:
            self._shade(camera_from_object)
        return Picture(
            self._read(self._radiance) if colour else None,
            self._read(self._class) if labels else None,
            self._read(self._instance) if labels else None,
            self._read(self._amodal).astype(np.uint16) if labels else None,
            self._read(self._depth) if labels else None,
            self._read(self._normals) if normals else None,
        )

    def _resolve(self, normals: bool) -> None:
        scene = self.scene
        self._launch(
            raster_kernels.resolve_labels,
            len(self._keys),
            [self._keys, scene.camera_vertices, scene.camera_normals, scene.faces, scene.face_part],
            [scene.part_class, scene.part_instance, self._intrinsics, self.camera.width, int(normals)],
            outputs=[self._class, self._instance, self._depth, self._normals],
        )

    def _shade(self, camera_from_object: wp.array) -> None:
        scene = self.scene
        self._launch(
            shading_kernels.shade,
            len(self._keys),
            [self._keys, scene.camera_vertices, scene.camera_normals, scene.attributes, scene.faces, scene.face_part],
            [scene.part_style, scene.part_object, camera_from_object, scene.styles, scene.tiles],
            [self._intrinsics, self.camera.width, self.light.vector()],
            outputs=[self._radiance],
        )

    def _launch(self, kernel, size, *inputs: list, outputs: list) -> None:
        everything = [value for group in inputs for value in group]
        wp.launch(kernel, dim=size, inputs=everything, outputs=outputs, device=self.scene.device)

    def _read(self, buffer: wp.array) -> np.ndarray:
        values = buffer.numpy()
        return values.reshape(*self._shape, *values.shape[1:]).copy()

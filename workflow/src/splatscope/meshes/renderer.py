"""A mesh renderer with exact labels: visibility buffer, then deferred shading.

scene = Scene({"needle_driver": parts}, materials)
scene.set_pose("needle_driver", world_from_tool)
picture = Renderer(scene, camera).render(world_from_camera)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.geometry import Camera
from splatscope.meshes import flow_kernels, raster_kernels, shading_kernels
from splatscope.meshes.culling import GROUP
from splatscope.meshes.scene import Scene

NEAR_MM = 1.0


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

    radiance: np.ndarray | None = None  # float32 [H, W, 3], linear; may exceed 1
    class_map: np.ndarray | None = None  # uint8 [H, W]
    instance_map: np.ndarray | None = None  # uint8 [H, W]
    amodal_bits: np.ndarray | None = None  # uint16 [H, W]; bit i: instance i + 1 covers the pixel, hidden or not
    depth_mm: np.ndarray | None = None  # float32 [H, W] along the optical axis; 0 where nothing is
    normals: np.ndarray | None = None  # float32 [H, W, 3] in camera axes: of the surface, without the texture's bumps
    object_map: np.ndarray | None = None  # uint16 [H, W]: 1 + number of the object in the scene; 0 where nothing is
    points: np.ndarray | None = None  # float32 [H, W, 3]: the point of the object that is seen, where it was at rest


@dataclass
class View:
    """Which surface point each pixel of a picture showed, kept to find these points again at another time."""

    keys: wp.array
    camera_vertices: wp.array
    faces: wp.array


class Renderer:
    """Takes pictures of a scene, through a distorting lens if the camera has one. Surfaces are seen from outside only.

    Every pixel shows what its own ray meets: distortion bends rays, it does not resample a picture.
    """

    def __init__(self, scene: Scene, camera: Camera, light: Light | None = None, blood_class: int = 0):
        """`blood_class`: the class of what lies under more blood than half; 0 keeps the class of what is bled on."""
        self.scene, self.camera, self.light, self._blood_class = scene, camera, light or Light(), blood_class
        count = camera.width * camera.height
        self._shape = (camera.height, camera.width)
        self._intrinsics = wp.vec4(camera.fx, camera.fy, camera.cx, camera.cy)
        coefficients = np.zeros(8)
        coefficients[: len(camera.distortion)] = camera.distortion
        self._distortion = raster_kernels.Distortion(*coefficients)
        rays = camera.pixel_rays().reshape(-1, 2)
        self._rays = wp.array(rays.astype(np.float32), dtype=wp.vec2, device=scene.device)
        self._field = np.stack([rays.min(0), rays.max(0)])  # wider than the focal length says behind a barrel lens
        low, high = self._field
        self._flow_field = wp.vec4(*(1.3 * low - 0.3 * high), *(1.3 * high - 0.3 * low))

        def buffer(dtype):
            return wp.empty(count, dtype=dtype, device=scene.device)

        self._keys, self._amodal = buffer(wp.int64), buffer(wp.int32)
        self._class, self._instance, self._depth = buffer(wp.uint8), buffer(wp.uint8), buffer(wp.float32)
        self._normals, self._radiance = buffer(wp.vec3), buffer(wp.vec3)
        self._object, self._points = buffer(wp.uint16), buffer(wp.vec3)

    def render(
        self,
        world_from_camera: np.ndarray,
        *,
        colour: bool = True,
        labels: bool = True,
        normals: bool = False,
        points: bool = False,
    ) -> Picture:
        """The picture from a camera pose [4, 4]."""
        scene, camera, picture = self.scene, self.camera, Picture()
        camera_from_object = scene.place_before(world_from_camera)
        self._keys.fill_(-1)
        self._amodal.zero_()
        groups = scene.visible_groups(world_from_camera, self._field, NEAR_MM)
        self._launch(
            raster_kernels.rasterize,
            (len(groups), GROUP),
            [wp.array(groups, dtype=wp.int32, device=scene.device), scene.camera_vertices, scene.faces],
            [scene.face_part, scene.part_instance, self._rays, wp.vec4(*self._field.ravel()), self._intrinsics],
            [self._distortion, int(bool(camera.distortion)), camera.width, camera.height, NEAR_MM],
            outputs=[self._keys, self._amodal],
        )
        if labels:
            self._launch(
                raster_kernels.resolve_labels,
                len(self._keys),
                [self._keys, scene.camera_vertices, scene.condition, scene.faces, scene.face_part],
                [scene.part_class, scene.part_instance, self._rays, self._blood_class],
                outputs=[self._class, self._instance, self._depth],
            )
            picture.class_map, picture.instance_map = self._read(self._class), self._read(self._instance)
            picture.amodal_bits = self._read(self._amodal).astype(np.uint16)
            picture.depth_mm = self._read(self._depth)
        if normals or points:
            self._launch(
                raster_kernels.resolve_points,
                len(self._keys),
                [self._keys, scene.camera_vertices, scene.camera_normals, scene.points, scene.faces],
                [scene.face_part, scene.part_object, self._rays],
                outputs=[self._normals, self._object, self._points],
            )
            picture.normals = self._read(self._normals) if normals else None
            picture.object_map = self._read(self._object) if points else None
            picture.points = self._read(self._points) if points else None
        if colour:
            self._launch(
                shading_kernels.shade,
                len(self._keys),
                [self._keys, scene.camera_vertices, scene.camera_normals, scene.attributes, scene.condition],
                [scene.faces, scene.face_part, scene.part_style, scene.part_object, camera_from_object],
                [scene.styles, scene.tiles, self._rays, self.light.vector()],
                outputs=[self._radiance],
            )
            picture.radiance = self._read(self._radiance)
        return picture

    def view(self) -> View:
        """What the last picture showed where; stays valid when the scene moves on."""
        return View(wp.clone(self._keys), wp.clone(self.scene.camera_vertices), self.scene.faces)

    def flow(self, source: View, target: View, corners: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Where the surface points of one view are in another, in pixels of this camera.

        `corners` int32 [F, 3]: the vertices of the target's scene that are the corners of the source's faces; the same
        ones when absent. Returns the displacement float32 [H, W, 2] (x, y) and uint8 [H, W]: 0 nothing there,
        1 seen in both, 2 hidden in the target or outside its image (then 0 where the lens does not look).
        """
        faces = source.faces
        if corners is not None:
            faces = wp.array(np.ascontiguousarray(corners, np.int32), dtype=wp.int32, device=self.scene.device)
        displacement = wp.empty(len(self._keys), dtype=wp.vec2, device=self.scene.device)
        found = wp.empty(len(self._keys), dtype=wp.uint8, device=self.scene.device)
        self._launch(
            flow_kernels.find_again,
            len(self._keys),
            [source.keys, source.camera_vertices, source.faces, target.keys, target.camera_vertices, faces],
            [self._rays, self._flow_field, self._intrinsics, self._distortion, self.camera.width, self.camera.height],
            outputs=[displacement, found],
        )
        return self._read(displacement), self._read(found)

    def _launch(self, kernel, size, *inputs: list, outputs: list) -> None:
        everything = [value for group in inputs for value in group]
        wp.launch(kernel, dim=size, inputs=everything, outputs=outputs, device=self.scene.device)

    def _read(self, buffer: wp.array) -> np.ndarray:
        values = buffer.numpy()
        return values.reshape(*self._shape, *values.shape[1:]).copy()

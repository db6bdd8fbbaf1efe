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
from splatscope.meshes import flow_kernels, label_kernels, lens_kernels, raster_kernels, shading_kernels
from splatscope.meshes.culling import GROUP
from splatscope.meshes.lens import Lens
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
    points: np.ndarray | None = None
    """float32 [H, W, 4]: 1 + number of the object in the scene, 0 where nothing is; the point of the object that is
    seen, where it was at rest."""


@dataclass
class View:
    """Which surface point each pixel of a picture showed, kept to find these points again at another time."""

    keys: wp.array
    weights: wp.array
    camera_vertices: wp.array
    faces: wp.array


class Renderer:
    """Takes pictures of a scene, through a distorting lens if the camera has one. Surfaces are seen from outside only.

    Every pixel shows what its own ray meets: distortion bends rays, it does not resample a picture.
    """

    def __init__(
        self,
        scene: Scene,
        camera: Camera,
        light: Light | None = None,
        blood_class: int = 0,
        samples: int = 1,
        labelled: np.ndarray | None = None,
    ):
        """`blood_class`: the class of what lies under more blood than half; 0 keeps the class of what is bled on.

        `samples` along each side of a pixel make its colour where it differs from its neighbours; elsewhere its centre
        alone does. Only pixels of `labelled` bool [H, W] have labels and flow; all when absent.
        """
        self.scene, self.camera, self.light, self._blood_class = scene, camera, light or Light(), blood_class
        self._samples, self._lens = samples, Lens(camera, samples, scene.device)
        self._shape = camera.height, camera.width
        fine = camera.height * samples, camera.width * samples

        def buffer(dtype, shape=self._shape):
            return wp.empty(shape, dtype=dtype, device=scene.device)

        self._keys, self._weights, self._amodal = buffer(wp.int64), buffer(wp.vec3), buffer(wp.int32)
        self._class, self._instance, self._depth = buffer(wp.uint8), buffer(wp.uint8), buffer(wp.float32)
        self._normals, self._points, self._radiance = buffer(wp.vec3), buffer(wp.vec4), buffer(wp.vec3)
        if samples > 1:
            self._flagged, self._sample_keys = buffer(wp.uint8), buffer(wp.int64, fine)
            self._sample_rays = self._lens.sample_rays.reshape(fine)
        self._unlabelled = None
        if labelled is not None:
            outside = np.flatnonzero(~labelled).astype(np.int32)
            self._unlabelled = wp.array(outside, dtype=wp.int32, device=scene.device)

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
        scene, picture, keys = self.scene, Picture(), self._keys.flatten()
        weights, count = self._weights.flatten(), self._keys.size
        self._see(world_from_camera)
        if colour:
            self._shade()
            picture.radiance = self._read(self._radiance)
        if self._unlabelled is not None:
            self._launch(
                label_kernels.conceal, len(self._unlabelled), [self._unlabelled], outputs=[keys, self._amodal.flatten()]
            )
        if labels:
            self._launch(
                label_kernels.resolve_labels,
                count,
                [keys, weights, scene.condition, scene.faces, scene.face_part],
                [scene.part_class, scene.part_instance, self._blood_class],
                outputs=[self._class.flatten(), self._instance.flatten(), self._depth.flatten()],
            )
            picture.class_map, picture.instance_map = self._read(self._class), self._read(self._instance)
            picture.amodal_bits = self._amodal.numpy().astype(np.uint16)
            picture.depth_mm = self._read(self._depth)
        if normals or points:
            self._launch(
                label_kernels.resolve_points,
                count,
                [keys, weights, scene.camera_normals, scene.points, scene.faces, scene.face_part, scene.part_object],
                outputs=[self._normals.flatten(), self._points.flatten()],
            )
            picture.normals = self._read(self._normals) if normals else None
            picture.points = self._read(self._points) if points else None
        return picture

    def view(self) -> View:
        """What the last picture showed where; stays valid when the scene moves on."""
        return View(
            wp.clone(self._keys.flatten()),
            wp.clone(self._weights.flatten()),
            wp.clone(self.scene.camera_vertices),
            self.scene.faces,
        )

    def flow(self, source: View, target: View, corners: np.ndarray | None = None) -> np.ndarray:
        """Where the surface points of one view are in another, in pixels of this camera.

        `corners` int32 [F, 3]: the vertices of the target's scene that are the corners of the source's faces; the same
        ones when absent. Returns float32 [H, W, 3]: the displacement in x and y, then 0 nothing there, 1 seen in both,
        2 hidden in the target or outside its image (without displacement where the lens does not look).
        """
        faces = source.faces
        if corners is not None:
            faces = wp.array(np.ascontiguousarray(corners, np.int32), dtype=wp.int32, device=self.scene.device)
        flow = wp.empty(self._shape, dtype=wp.vec3, device=self.scene.device)
        lens = self._lens
        self._launch(
            flow_kernels.find_again,
            self._shape,
            [source.keys, source.weights, target.keys, target.camera_vertices, faces],
            [lens.wide_bounds, lens.intrinsics, lens.distortion, self.camera.width],
            outputs=[flow],
        )
        return flow.numpy()

    def _see(self, world_from_camera: np.ndarray) -> None:
        """Which triangle is nearest in each pixel, and where it is met."""
        scene, lens = self.scene, self._lens
        scene.place_before(world_from_camera)
        pixels = wp.empty(len(scene.camera_vertices), dtype=wp.vec2, device=scene.device)
        self._launch(
            lens_kernels.project_vertices,
            len(pixels),
            [scene.camera_vertices, lens.bounds, lens.intrinsics, lens.distortion, NEAR_MM],
            outputs=[pixels],
        )
        self._eye = eye = raster_kernels.Projection()
        eye.camera_vertices, eye.vertex_pixels = scene.camera_vertices, pixels
        eye.field, eye.intrinsics, eye.distortion = lens.bounds, lens.intrinsics, lens.distortion
        eye.distorted, eye.bend, eye.near = lens.distorted, lens.bend, NEAR_MM
        eye.width, eye.height = self.camera.width, self.camera.height
        groups = scene.visible_groups(world_from_camera, lens.field, NEAR_MM)
        self._groups = wp.array(groups, dtype=wp.int32, device=scene.device)
        self._keys.fill_(-1)
        self._amodal.zero_()
        keys = self._keys.flatten()
        self._launch(
            raster_kernels.rasterize,
            (len(groups), GROUP),
            [self._groups, eye, scene.faces, scene.face_part, scene.part_instance, lens.rays],
            outputs=[keys, self._amodal.flatten()],
        )
        self._launch(
            label_kernels.resolve_weights,
            len(keys),
            [keys, scene.camera_vertices, scene.faces, lens.rays],
            outputs=[self._weights.flatten()],
        )

    def _shade(self) -> None:
        scene, lens, light = self.scene, self._lens, self.light.vector()
        surfaces = scene.surfaces()
        self._launch(
            shading_kernels.shade,
            self._keys.size,
            [self._keys.flatten(), self._weights.flatten(), lens.rays, surfaces, 1 / self.camera.fx, light],
            outputs=[self._radiance.flatten()],
        )
        if self._samples == 1:
            return
        self._launch(
            shading_kernels.flag_contrast,
            self._shape,
            [self._radiance, self._samples],
            outputs=[self._flagged, self._sample_keys],
        )
        self._launch(
            raster_kernels.rasterize_samples,
            (len(self._groups), GROUP),
            [self._groups, self._eye, scene.faces, self._flagged.flatten(), self._samples, lens.sample_rays],
            outputs=[self._sample_keys.flatten()],
        )
        self._launch(
            shading_kernels.shade_samples,
            self._shape,
            [
                self._flagged,
                self._samples,
                self._sample_keys,
                self._sample_rays,
                scene.camera_vertices,
                surfaces,
                1 / self.camera.fx / self._samples,
                light,
            ],
            outputs=[self._radiance],
        )

    def _launch(self, kernel, size, *inputs: list, outputs: list) -> None:
        everything = [value for group in inputs for value in group]
        wp.launch(kernel, dim=size, inputs=everything, outputs=outputs, device=self.scene.device)

    @staticmethod
    def _read(buffer: wp.array) -> np.ndarray:
        return buffer.numpy().copy()

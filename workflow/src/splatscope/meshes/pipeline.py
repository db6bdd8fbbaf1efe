"""The stages of a picture, as launches of the plain kernels, which run on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from splatscope.geometry import Camera
from splatscope.meshes import flow_kernels, label_kernels, lens_kernels, raster_kernels, shading_kernels
from splatscope.meshes.culling import GROUP
from splatscope.meshes.lanes import PADDING
from splatscope.meshes.lens import Lens
from splatscope.meshes.scene import Scene

if TYPE_CHECKING:
    from splatscope.meshes.renderer import View

NEAR_MM = 1.0
TYPES = {
    "keys": wp.int64,
    "weights": wp.vec3,
    "amodal": wp.int32,
    "class_map": wp.uint8,
    "instance_map": wp.uint8,
    "depth_mm": wp.float32,
    "normals": wp.vec3,
    "points": wp.vec4,
    "radiance": wp.vec3,
    "flow": wp.vec3,
}


class Buffers:
    """What the stages say of each pixel: an array of each of TYPES, pixels in rows, with padding behind the last."""

    def __init__(self, height: int, width: int, device: str):
        self.shape, self.count = (height, width), height * width
        for name, dtype in TYPES.items():
            setattr(self, name, wp.zeros(self.count + PADDING, dtype=dtype, device=device))

    def map(self, name: str) -> wp.array:
        """An array as [H, W]."""
        return getattr(self, name)[: self.count].reshape(self.shape)

    def read(self, name: str) -> np.ndarray:
        """A copy of an array: [H, W] or [H, W, C]."""
        return self.map(name).numpy().copy()


class Pipeline:
    """Fills the buffers, a stage after the other."""

    def __init__(self, scene: Scene, lens: Lens, camera: Camera, samples: int, buffers: Buffers):
        """`samples` along each side of a pixel that differs from its neighbours."""
        self._scene, self._lens, self._camera, self._samples, self._buffers = scene, lens, camera, samples, buffers
        self._prepare_samples()

    def see(self, world_from_camera: np.ndarray) -> None:
        """Which triangle is nearest in each pixel, and where it is met; which instances are there, hidden or not."""
        scene, lens, buffers = self._scene, self._lens, self._buffers
        scene.place_before(world_from_camera)
        pixels = wp.empty(len(scene.camera_vertices), dtype=wp.vec2, device=scene.device)
        self._launch(
            lens_kernels.project_vertices,
            len(pixels),
            [scene.camera_vertices, lens.bounds, lens.intrinsics, lens.distortion, NEAR_MM],
            [pixels],
        )
        self._eye = eye = raster_kernels.Projection()
        eye.camera_vertices, eye.vertex_pixels = scene.camera_vertices, pixels
        eye.field, eye.intrinsics, eye.distortion = lens.bounds, lens.intrinsics, lens.distortion
        eye.distorted, eye.bend, eye.near = lens.distorted, lens.bend, NEAR_MM
        eye.width, eye.height = self._camera.width, self._camera.height
        groups = scene.visible_groups(world_from_camera, lens.field, NEAR_MM)
        self._groups = wp.array(groups, dtype=wp.int32, device=scene.device)
        buffers.keys.fill_(-1)
        buffers.amodal.zero_()
        self._rasterize()

    def shade(self, light: wp.vec3) -> None:
        """The radiance of each pixel."""
        scene, lens, buffers = self._scene, self._lens, self._buffers
        surfaces, pixel = scene.surfaces(), 1 / self._camera.fx
        self._launch(
            shading_kernels.shade,
            buffers.count,
            [buffers.keys, buffers.weights, lens.rays, surfaces, pixel, light],
            [buffers.radiance],
        )
        if self._samples == 1:
            return
        radiance = buffers.map("radiance")
        self._launch(
            shading_kernels.flag_contrast,
            buffers.shape,
            [radiance, self._samples],
            [self._flagged, self._sample_keys],
        )
        self._launch(
            raster_kernels.rasterize_samples,
            (len(self._groups), GROUP),
            [self._groups, self._eye, scene.faces, self._flagged.flatten(), self._samples, lens.sample_rays],
            [self._sample_keys.flatten()],
        )
        self._launch(
            shading_kernels.shade_samples,
            buffers.shape,
            [self._flagged, self._samples, self._sample_keys, self._sample_rays],
            [scene.camera_vertices, surfaces, pixel / self._samples, light, radiance],
        )

    def conceal(self, pixels: wp.array) -> None:
        """Nothing is there for the stages that follow."""
        self._launch(label_kernels.conceal, len(pixels), [pixels], [self._buffers.keys, self._buffers.amodal])

    def label(self, blood_class: int) -> None:
        """Class, instance and depth."""
        buffers = self._buffers
        self._launch(label_kernels.resolve_labels, buffers.count, *self._labelling(blood_class))

    def locate(self) -> None:
        """Normals and points."""
        self._launch(label_kernels.resolve_points, self._buffers.count, *self._locating())

    def find_again(self, source: View, target: View, corners: wp.array) -> None:
        """Flow."""
        buffers, lens = self._buffers, self._lens
        self._launch(
            flow_kernels.find_again,
            buffers.shape,
            [source.keys, source.weights, target.keys, target.camera_vertices, corners],
            [lens.wide_bounds, lens.intrinsics, lens.distortion, self._camera.width, buffers.map("flow")],
        )

    def _prepare_samples(self) -> None:
        if self._samples > 1:
            height, width = self._buffers.shape
            fine = height * self._samples, width * self._samples
            self._flagged = wp.empty((height, width), dtype=wp.uint8, device=self._scene.device)
            self._sample_keys = wp.empty(fine, dtype=wp.int64, device=self._scene.device)
            self._sample_rays = self._lens.sample_rays[: fine[0] * fine[1]].reshape(fine)

    def _rasterize(self) -> None:
        scene, lens, buffers = self._scene, self._lens, self._buffers
        self._launch(
            raster_kernels.rasterize,
            (len(self._groups), GROUP),
            [self._groups, self._eye, scene.faces, scene.face_part, scene.part_instance, lens.rays],
            [buffers.keys, buffers.amodal],
        )
        self._launch(label_kernels.resolve_weights, buffers.count, *self._weighing())

    def _weighing(self) -> tuple[list, list]:
        scene, buffers = self._scene, self._buffers
        return [buffers.keys, scene.camera_vertices, scene.faces, self._lens.rays], [buffers.weights]

    def _labelling(self, blood_class: int) -> tuple[list, list]:
        scene, buffers = self._scene, self._buffers
        seen = [buffers.keys, buffers.weights, scene.condition, scene.faces, scene.face_part]
        labels = [scene.part_class, scene.part_instance, blood_class]
        return seen + labels, [buffers.class_map, buffers.instance_map, buffers.depth_mm]

    def _locating(self) -> tuple[list, list]:
        scene, buffers = self._scene, self._buffers
        seen = [buffers.keys, buffers.weights, scene.records, scene.points, scene.faces]
        return seen, [buffers.normals, buffers.points]

    def _launch(self, kernel: wp.Kernel, size: int | tuple[int, ...], *arguments: list) -> None:
        everything = [value for group in arguments for value in group]
        wp.launch(kernel, dim=size, inputs=everything, device=self._scene.device)

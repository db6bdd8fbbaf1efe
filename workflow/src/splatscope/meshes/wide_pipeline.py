"""The stages of a picture on the CPU, a group of pixels at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from splatscope.meshes import wide_labels, wide_raster, wide_shading
from splatscope.meshes.lanes import LANES, PADDING
from splatscope.meshes.pipeline import NEAR_MM, Pipeline
from splatscope.meshes.wide_radiance import FINISH

if TYPE_CHECKING:
    from splatscope.meshes.renderer import View

BLEEDING = 0.499  # blood on a vertex below which no pixel takes the class of blood


class WidePipeline(Pipeline):
    """See Pipeline; launches on the CPU run in order, so that kernels may make lists."""

    def shade(self, light: wp.vec3) -> None:
        scene, buffers = self._scene, self._buffers
        surfaces, pixel = scene.surfaces(), 1 / self._camera.fx
        finish = wp.array(self._finish(), dtype=wp.float32, device="cpu")
        self._launch(
            wide_shading.shade,
            self._groups_of(buffers.count),
            [buffers.keys, buffers.weights, self._lens.rays, surfaces, finish, pixel, light],
            [buffers.radiance],
        )
        if self._samples == 1:
            return
        height, width = buffers.shape
        self._count.zero_()
        self._launch(
            wide_shading.flag_contrast,
            height,
            [buffers.radiance, width, height, self._slots, self._flagged, self._count],
        )
        flagged, samples = int(self._count.numpy()[0]), self._samples**2
        if flagged == 0:
            return
        keys = self._sample_keys[: flagged * samples + PADDING]
        keys.fill_(-1)
        self._launch(
            wide_raster.rasterize_samples,
            self._facing_count,
            [self._facing, width, height, NEAR_MM, self._slots, samples, self._sample_rays, keys],
        )
        self._launch(
            wide_shading.shade_samples,
            self._groups_of(flagged * samples),
            [self._flagged, flagged, self._samples, keys, self._sample_rays, scene.camera_vertices],
            [surfaces, finish, pixel / self._samples, light, buffers.radiance],
        )

    def label(self, blood_class: int) -> None:
        if self._scene.condition.numpy()[:, 1].max(initial=0) < BLEEDING:
            blood_class = 0
        self._launch(wide_labels.resolve_labels, self._groups_of(self._buffers.count), *self._labelling(blood_class))

    def locate(self) -> None:
        self._launch(wide_labels.resolve_points, self._groups_of(self._buffers.count), *self._locating())

    def find_again(self, source: View, target: View, corners: wp.array) -> None:
        lens, buffers = self._lens, self._buffers
        height, width = buffers.shape
        self._launch(
            wide_labels.find_again,
            (height, self._groups_of(width)),
            [source.keys, source.weights, target.keys, target.camera_vertices, corners],
            [lens.wide_bounds, lens.intrinsics, lens.distortion, width, height, buffers.flow],
        )

    def _prepare_samples(self) -> None:
        self._facing = wp.empty(0, dtype=wide_raster.Facing, device="cpu")
        self._count = wp.zeros(1, dtype=wp.int32, device="cpu")
        if self._samples > 1:
            (height, width), across, count = self._buffers.shape, self._samples, self._buffers.count
            rays = self._lens.sample_rays.numpy()[: count * across**2]
            rays = rays.reshape(height, across, width, across, 2).swapaxes(1, 2).reshape(-1, 2)
            self._sample_rays = wp.array(np.pad(rays, ((0, PADDING), (0, 0))), dtype=wp.vec2, device="cpu")
            self._slots, self._flagged = (wp.empty(count + PADDING, dtype=wp.int32, device="cpu") for _ in range(2))
            self._sample_keys = wp.empty(count * across**2 + PADDING, dtype=wp.int64, device="cpu")

    def _rasterize(self) -> None:
        scene, buffers = self._scene, self._buffers
        height, width = buffers.shape
        if len(self._facing) < len(scene.faces):
            self._facing = wp.empty(len(scene.faces), dtype=wide_raster.Facing, device="cpu")
        self._count.zero_()
        self._launch(
            wide_raster.collect,
            len(self._groups),
            [self._groups, self._eye, scene.faces, scene.face_part, scene.part_instance, self._facing, self._count],
        )
        self._facing_count = int(self._count.numpy()[0])
        self._launch(
            wide_raster.rasterize,
            self._facing_count,
            [self._facing, width, height, NEAR_MM, self._lens.rays, buffers.keys, buffers.amodal],
        )
        self._launch(wide_raster.resolve_weights, self._groups_of(buffers.count), *self._weighing())

    def _finish(self) -> np.ndarray:
        """float32 [parts, FINISH]: the SurfaceStyle of each part, then its rotation before the camera row by row."""
        scene = self._scene
        styles = scene.styles.numpy()
        numbers = styles.view(np.float32).reshape(len(styles), -1)[scene.part_style.numpy()]
        rotations = scene.object_poses[scene.part_object.numpy(), :3, :3].reshape(len(numbers), 9)
        finish = np.hstack([numbers, rotations])
        return np.pad(finish, ((0, 0), (0, FINISH - finish.shape[1])))

    @staticmethod
    def _groups_of(pixels: int) -> int:
        return -(-pixels // LANES)

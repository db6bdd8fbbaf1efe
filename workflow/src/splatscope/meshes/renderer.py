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
from splatscope.meshes.lens import Lens
from splatscope.meshes.pipeline import Buffers, Pipeline
from splatscope.meshes.scene import Scene
from splatscope.meshes.wide_pipeline import WidePipeline


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
        self._lens = Lens(camera, samples, scene.device)
        self._buffers = Buffers(camera.height, camera.width, scene.device)
        pipeline = WidePipeline if scene.device == "cpu" else Pipeline
        self._pipeline = pipeline(scene, self._lens, camera, samples, self._buffers)
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
        picture, buffers, pipeline = Picture(), self._buffers, self._pipeline
        pipeline.see(world_from_camera)
        if colour:
            pipeline.shade(self.light.vector())
            picture.radiance = buffers.read("radiance")
        if self._unlabelled is not None:
            pipeline.conceal(self._unlabelled)
        if labels:
            pipeline.label(self._blood_class)
            picture.class_map, picture.instance_map = buffers.read("class_map"), buffers.read("instance_map")
            picture.amodal_bits = buffers.read("amodal").astype(np.uint16)
            picture.depth_mm = buffers.read("depth_mm")
        if normals or points:
            pipeline.locate()
            picture.normals = buffers.read("normals") if normals else None
            picture.points = buffers.read("points") if points else None
        return picture

    def view(self) -> View:
        """What the last picture showed where; stays valid when the scene moves on."""
        buffers = self._buffers
        return View(
            wp.clone(buffers.keys), wp.clone(buffers.weights), wp.clone(self.scene.camera_vertices), self.scene.faces
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
        self._pipeline.find_again(source, target, faces)
        return self._buffers.read("flow")

"""What stands before the camera in each recording, and how everything moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from splatscope.config.phantom import PhantomConfig
from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.anatomy import Anatomy
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.instruments import NeedleDriver
from splatscope.meshes.materials import MaterialLibrary, bench_materials, instrument_materials, tissue_materials
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.scene import Part, Scene
from splatscope.phantom.motion import Operation, Orbit, SiteSweep
from splatscope.phantom.rig import TOOL, Rig

SUPPORT_BELOW_MM = 52.0  # the drape under the tool


@dataclass
class Stage:
    """A scene and its motion; poses as functions of video time. The scene's frame is the site's or the bench's."""

    scene: Scene
    world_from_scene: np.ndarray
    scene_from_camera: Callable[[float], np.ndarray]
    scene_from_tool: Callable[[float], np.ndarray] | None  # None: no tool, its sensor is out of the field

    def world_from_camera(self, times_s: np.ndarray) -> np.ndarray:
        """[N, 4, 4] at times [N]."""
        return self.world_from_scene @ np.stack([self.scene_from_camera(time) for time in times_s])

    def world_from_tool(self, times_s: np.ndarray) -> np.ndarray:
        """[N, 4, 4] at times [N]; NaN without a tool."""
        if self.scene_from_tool is None:
            return np.full((len(times_s), 4, 4), np.nan)
        return self.world_from_scene @ np.stack([self.scene_from_tool(time) for time in times_s])


def build_stage(name: str, config: PhantomConfig, rig: Rig, seed: int) -> Stage:
    """The stage of one of RECORDINGS."""
    tool = NeedleDriver()
    metals = instrument_materials(seed, tool.sleeve_length_mm, tool.shaft_radius_mm)
    duration = config.duration_s(name)
    if name == TOOL:
        orbit = Orbit(seed, duration)
        scene = Scene({TOOL: tool.parts(), "bench": bench(seed, tool)}, MaterialLibrary(metals | bench_materials(seed)))
        scene.set_pose(TOOL, Orbit.BENCH_FROM_TOOL)
        return Stage(scene, rig.world_from_bench, orbit.bench_from_camera, lambda time: Orbit.BENCH_FROM_TOOL)
    anatomy = Anatomy(seed)
    if name == "background":
        scene = Scene({"site": anatomy.parts}, MaterialLibrary(tissue_materials(seed)))
        return Stage(scene, rig.world_from_site, SiteSweep(seed, duration).site_from_camera, None)
    if name == "scene":
        operation = Operation(seed, 0, anatomy, tool.tip)
    else:
        operation = Operation(seed, 1, anatomy, tool.tip, config.test_port_deg, config.test_roll_deg)
    materials = MaterialLibrary(tissue_materials(seed) | metals)
    scene = Scene({"site": anatomy.parts, TOOL: tool.parts()}, materials)
    return Stage(scene, rig.world_from_site, operation.site_from_camera, operation.site_from_tool)


def bench(seed: int, tool: NeedleDriver) -> list[Part]:
    """A room of printed drape, creased a little, and a thin clamp that holds the shaft's proximal end."""
    noise = VolumeNoise(seed + 1)

    def room(points):
        hollow = sdf.box(points, (0, 0, 75 - SUPPORT_BELOW_MM + 25), (210, 210, 100), 70)
        return hollow + 1.8 * noise(points, 55) + 0.6 * noise(points, 21)

    drape = SampledField.sample(room, (-225, -225, -80), (225, 225, 170), 5.0).surface().flipped()
    shade = 1 + 0.13 * noise(drape.vertices, 70)[:, None] * np.array([[1, -0.4, -0.8]])
    shade = shade * (1 + 0.14 * noise(drape.vertices + 50, 35)[:, None])
    drape.tint[:, :3] = np.clip(shade, 0.4, 1.7)

    def clamp(points):
        x = tool.shaft_start_mm + 7
        ring = np.maximum(sdf.cylinder(points, 0, (x, 0, 0), 7.5, 5), 3.9 - np.linalg.norm(points[..., 1:], axis=-1))
        arm = sdf.cone(points, (x - 3, 0, -7), (x - 12, 0, -SUPPORT_BELOW_MM), 3.0, 3.6)
        return sdf.smooth_union(ring, arm, 2.0)

    low = (tool.shaft_start_mm - 14, -9, -SUPPORT_BELOW_MM - 4)
    holder = SampledField.sample(clamp, low, (tool.shaft_start_mm + 14, 9, 9), 0.9).surface()
    return [Part(drape, "mat"), Part(holder, "clamp")]

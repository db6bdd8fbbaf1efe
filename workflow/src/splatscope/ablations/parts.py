"""The method with single parts swapped for those of Zeng et al. (MICCAI 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from splatscope.ablations.cases import Parts
from splatscope.compose.scene_list import Scene, SceneHeader
from splatscope.compositing import Composite, composite
from splatscope.config.render import RenderConfig
from splatscope.geometry import Camera, invert
from splatscope.render import Labels, blended_labels, contrast_labels, labelled_frame
from splatscope.shards import Frame
from splatscope.splats.gaussians import Gaussians


@dataclass(frozen=True)
class RecordedTool:
    """A tool where it stood in its own recording."""

    gaussians: Gaussians  # world mm
    world_from_sensor: np.ndarray  # [4, 4]


def moved_tool(tool: RecordedTool, world_from_sensor: np.ndarray, parts: Parts) -> Gaussians:
    """The tool's Gaussians (world mm) when its sensor is at `world_from_sensor` [4, 4].

    Without `means_rotated` the means only follow the sensor's translation; without `sh_rotated` colours keep the
    directions that they had in the recording. Covariances always turn.
    """
    moved = tool.gaussians.transformed(world_from_sensor @ invert(tool.world_from_sensor))
    if not parts.means_rotated:
        shift = world_from_sensor[:3, 3] - tool.world_from_sensor[:3, 3]
        means = tool.gaussians.means.double() + tool.gaussians.means.new_tensor(shift).double()
        moved = replace(moved, means=means.to(moved.means.dtype))
    return moved if parts.sh_rotated else replace(moved, sh=tool.gaussians.sh)


def render_case(
    scene: Scene,
    header: SceneHeader,
    site: Gaussians,
    tools: Mapping[str, RecordedTool],
    parts: Parts,
    config: RenderConfig,
) -> Frame:
    """One annotated frame of a scene with the parts chosen."""
    camera = header.cameras[scene.recording]
    moved = [
        moved_tool(tools[placement.tool], placement.world_from_tool_sensor, parts) for placement in scene.placements
    ]
    image = composite(site, moved, camera, scene.world_from_camera)
    return labelled_frame(scene, header, image, _labels(scene, camera, image, moved, parts, config), config)


def _labels(
    scene: Scene, camera: Camera, image: Composite, moved: list[Gaussians], parts: Parts, config: RenderConfig
) -> Labels:
    if parts.labels == "contrast":
        return contrast_labels(scene, camera, moved, config)
    labels = blended_labels(scene, camera, image, moved, config)
    if parts.labels == "blended":
        return labels
    instances = np.zeros_like(labels.instances)
    for instance, mask in labels.amodal.items():
        instances[mask] = instance
    return Labels(instances, labels.amodal)

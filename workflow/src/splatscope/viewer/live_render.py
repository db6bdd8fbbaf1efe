"""The picture that the chosen camera takes, with the labels that `render` would write."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np

from splatscope.annotate.card import draw_box, draw_mask
from splatscope.compose.sampling import Material
from splatscope.compose.scene_list import Placement, Scene, SceneHeader
from splatscope.config.render import RenderConfig
from splatscope.geometry import Camera
from splatscope.images import to_uint8
from splatscope.render import render_frame
from splatscope.shards import Frame


@dataclass(frozen=True)
class View:
    """A camera and the tools before it."""

    recording: str  # whose camera it is
    camera: Camera
    world_from_camera: np.ndarray  # [4, 4] mm
    placed: tuple[tuple[str, np.ndarray], ...]  # tool and world_from_tool_sensor [4, 4] mm


@dataclass(frozen=True)
class Layers:
    """What of a frame is shown."""

    depth: bool = False  # instead of the colours
    masks: bool = True
    boxes: bool = True


def render_view(view: View, material: Material, classes: dict[str, str], config: RenderConfig, scale: float) -> Frame:
    """The frame of a view as the stage `render` makes it, its sides multiplied by `scale`."""
    camera = view.camera.scaled(round(view.camera.width * scale), round(view.camera.height * scale))
    tools = {tool.name: tool for tool in material.tools}
    placements = tuple(
        Placement(name, number, tools[name].class_id, pose) for number, (name, pose) in enumerate(view.placed, start=1)
    )
    header = SceneHeader("view", "exact", {view.recording: camera}, classes)
    scene = Scene(0, 0, 0, view.world_from_camera, placements, view.recording)
    splats = {name: tool.gaussians for name, tool in tools.items()}
    return render_frame(scene, header, material.site, splats, config)


def draw_layers(frame: Frame, layers: Layers) -> np.ndarray:
    """uint8 [H, W, 3]: the frame's colours or depth, masks tinted, boxes drawn."""
    picture = depth_picture(frame.depth_mm) if layers.depth else frame.rgb.copy()
    masks = [frame.visible_mask(entry["instance"]) for entry in frame.meta["instances"]]
    if layers.masks:
        for index, mask in enumerate(masks):
            draw_mask(picture, mask, index)
    if layers.boxes:
        for mask in masks:
            if mask.any():
                draw_box(picture, cv2.boundingRect(mask.astype(np.uint8)))
    return picture


def depth_picture(depth_mm: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of a depth map [H, W] in mm: the nearer, the brighter; black where there is no depth."""
    known = depth_mm > 0
    near, far = (depth_mm[known].min(), depth_mm[known].max()) if known.any() else (0.0, 1.0)
    share = 1 - (depth_mm - near) / max(far - near, 1e-6)
    return to_uint8(matplotlib.colormaps["viridis"](share.clip(0, 1))[..., :3]) * known[..., None]


def caption(frame: Frame, milliseconds: float) -> str:
    """What is said below the picture, in Markdown."""
    height, width = frame.depth_mm.shape
    known = frame.depth_mm[frame.depth_mm > 0]
    parts = [f"{width} x {height}, {milliseconds:.0f} ms"]
    if known.size:
        parts.append(f"depth {known.min():.0f} to {known.max():.0f} mm")
    for entry in frame.meta["instances"]:
        parts.append(f"{entry['class_name']}: {entry['visible_px']} px, {100 * entry['visibility']:.0f} % visible")
    return "; ".join(parts)

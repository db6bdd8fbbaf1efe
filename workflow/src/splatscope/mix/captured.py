"""Captured instruments as layers: splats drawn without distortion, then resampled through the frame's own lens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from splatscope.compose.recipe import ToolShape, check_tool_pose, draw_tool_pose
from splatscope.compose.sampling import tool_shape
from splatscope.compositing import composite, read_splat
from splatscope.config.compose import RecipeConfig
from splatscope.config.mix import MixConfig
from splatscope.files import read_json
from splatscope.geometry import Camera, apply, invert, look_at
from splatscope.mix.candidate import Candidate
from splatscope.mix.layer import Layer
from splatscope.mix.light import REFERENCE_MM, TISSUE_RED, Filming, reference_brightness, to_linear
from splatscope.mix.placing import View, check_shaft, covering_pinhole, draw_tip, fine_rays
from splatscope.splats.gaussians import Gaussians

LOOKS = 12  # directions from which an instrument's brightness is measured
SHARPER = 2.0  # pixels of the undistorted picture for each of the frame, along each side: resampling blurs
SOLID = 0.05  # accumulated opacity below this is haze about the splat, not instrument


@dataclass(frozen=True)
class _Tool:
    name: str
    class_id: int
    gaussians: Gaussians  # sensor frame
    shape: ToolShape
    brightness: float  # median red radiance at REFERENCE_MM


class CapturedInstruments:
    """The tools that extract made; a proposal shows one of them, from a side that its recording has."""

    kind = "captured"

    def __init__(
        self,
        tool_plys: Mapping[str, str | Path],
        extract_reports: Mapping[str, str | Path],
        class_ids: Mapping[str, int],
        device: str = "cpu",
    ):
        """Files and class ids by tool. Raises InputError for a splat that is missing or empty."""
        self._tools = []
        for name, path in tool_plys.items():
            gaussians = read_splat(path).to(device)
            shape = tool_shape(gaussians, read_json(extract_reports[name]))
            self._tools.append(_Tool(name, class_ids[name], gaussians, shape, _brightness(gaussians, shape)))

    def propose(self, rng: np.random.Generator, view: View, filming: Filming | None, config: MixConfig) -> Candidate:
        tool = self._tools[int(rng.integers(len(self._tools)))]
        tip, normal = draw_tip(rng, view, config)
        camera = covering_pinhole(view.camera, SHARPER)
        limits = RecipeConfig(
            entry_angles_deg=config.entry_angles_deg,
            coverage_deg=config.coverage_deg,
            min_depth_mm=config.min_depth_mm,
            max_depth_mm=np.inf,
        )
        pose = draw_tool_pose(rng, tool.shape, tip, camera, limits)
        check_shaft(tip, pose[:3, :3] @ tool.shape.direction, normal)
        check_tool_pose(pose, tool.shape, camera, limits)
        gain = 1.0
        if filming is not None:
            gain = filming.exposure * TISSUE_RED * config.captured_brightness / tool.brightness
        layer, colour = _draw(tool.gaussians, pose, view.camera, camera)

        def finish() -> Layer:
            radiance = to_linear(np.clip(colour, 0, 1) * 255) * (layer.alpha * np.float32(gain))[..., None]
            return replace(layer, colour=radiance, points=_points(layer, pose, view.camera) if view.points else None)

        return Candidate(layer, finish, tool.name, tool.class_id, pose, "tool_sensor", tip)


def _draw(gaussians: Gaussians, pose: np.ndarray, lens: Camera, pinhole: Camera) -> tuple[Layer, np.ndarray]:
    """The layer without colour, and its colour as sRGB 0..1, not times alpha."""
    image = composite(gaussians, [], pinhole, invert(pose))
    blended = np.dstack([image.color, image.alpha, image.depth * image.alpha]).astype(np.float32)
    blended = cv2.remap(blended, *_resampling(lens, pinhole), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = np.where(blended[..., 3] > SOLID, blended[..., 3], 0)
    scale = np.where(alpha > 0, 1 / np.maximum(alpha, SOLID), 0)
    return Layer(alpha, blended[..., 4] * scale), blended[..., :3] * scale[..., None]


def _points(layer: Layer, pose: np.ndarray, lens: Camera) -> np.ndarray:
    """float32 [.., 4]: object 1, and the sensor's frame as the frame at rest."""
    points = np.zeros((*layer.alpha.shape, 4), np.float32)
    where = layer.alpha > 0
    rays = np.column_stack([fine_rays(lens)[where], np.ones(where.sum(), np.float32)])
    points[where] = np.column_stack([rays[:, 2], apply(invert(pose), rays * layer.depth_mm[where][:, None])])
    return points


@lru_cache(maxsize=4)
def _resampling(lens: Camera, pinhole: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where in the pinhole's picture the lens's samples lie, for cv2.remap."""
    x, y = np.moveaxis(fine_rays(lens), -1, 0)
    return x * np.float32(pinhole.fx) + np.float32(pinhole.cx - 0.5), y * np.float32(pinhole.fy) + np.float32(
        pinhole.cy - 0.5
    )


def _brightness(gaussians: Gaussians, shape: ToolShape) -> float:
    """Median red radiance of an instrument, seen from directions of its recording; brought to REFERENCE_MM."""
    camera = Camera(160, 128, 150.0, 150.0, 80.0, 64.0)
    values = []
    for number in np.linspace(0, len(shape.view_directions) - 1, LOOKS).round().astype(int):
        eye = shape.tip + REFERENCE_MM * shape.view_directions[number]
        image = composite(gaussians, [], camera, look_at(eye, shape.tip, shape.direction))
        solid = image.alpha > 0.9
        if solid.any():
            radiance = to_linear(np.clip(image.color, 0, 1) * 255)
            values.append(reference_brightness(radiance, image.depth, camera.pixel_rays(), solid))
    return max(float(np.median(values)), 1e-3) if values else TISSUE_RED

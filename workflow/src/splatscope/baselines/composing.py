"""A site's and tools' radiance fields in one image: both media along each ray, the tool's where its sensor says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from splatscope.baselines.field_files import read_field
from splatscope.baselines.rays import Rays, box_interval, camera_rays
from splatscope.baselines.training import RAYS_AT_ONCE, Field
from splatscope.baselines.volume import Samples, merge, render_samples
from splatscope.compose.scene_list import Placement, Scene
from splatscope.compositing import Composite, read_splat
from splatscope.files import read_json
from splatscope.geometry import Camera, apply, invert, make_transform

BOX_MARGIN_MM = 2.0  # Gaussians reach beyond their means


@dataclass(frozen=True)
class ToolRegion:
    """What of a tool recording's field is the tool: a box round the Gaussians that our extraction keeps, above the
    support that it found. A field has no parts to choose among; this is the nearest it comes to an extraction."""

    box_from_world: np.ndarray  # [4, 4] of the recording's world, mm
    lowest: np.ndarray  # [3] corners in the box's axes, mm
    highest: np.ndarray
    plane: tuple[np.ndarray, float] | None  # normal [3] in the recording's world, least height in mm

    def interval(self, rays: Rays) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances [R] between which rays in the recording's world are inside the box."""
        inside = rays.moved(self.box_from_world)
        return box_interval(inside.origins, inside.directions, *self._corners(rays.origins))

    def holds(self, points: torch.Tensor) -> torch.Tensor:
        """bool [...]: which points [..., 3] of the recording's world are in it."""
        transform = torch.from_numpy(self.box_from_world).to(points)
        in_box = points @ transform[:3, :3].T + transform[:3, 3]
        lowest, highest = self._corners(points)
        inside = ((in_box >= lowest) & (in_box <= highest)).all(-1)
        if self.plane is not None:
            normal, height = self.plane
            inside &= points @ torch.from_numpy(normal).to(points) > height
        return inside

    def _corners(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.lowest).to(like), torch.from_numpy(self.highest).to(like)


@dataclass(frozen=True)
class ToolField:
    """A tool recording's field, and where the tool is in it."""

    field: Field
    region: ToolRegion
    world_from_sensor: np.ndarray  # [4, 4] in that recording


def read_tool_field(
    model: str | Path, tool_ply: str | Path, extract_json: str | Path, plane_tolerance_mm: float, device: torch.device
) -> ToolField:
    """A tool's field with the region that extract's tool.ply and extract.json tell."""
    report = read_json(extract_json)
    world_from_sensor = np.array(report["world_from_sensor"])
    means = apply(world_from_sensor, read_splat(tool_ply).means.double().numpy())
    return ToolField(
        read_field(model, device), tool_region(means, report["plane"], plane_tolerance_mm), world_from_sensor
    )


def tool_region(means: np.ndarray, plane: Mapping | None, plane_tolerance_mm: float) -> ToolRegion:
    """The box along the principal axes of the tool's Gaussians' means [N, 3] in its recording's world (mm), above
    extract.json's `plane` (normal, offset_mm) by more than the tolerance."""
    middle = means.mean(0)
    axes = np.linalg.svd(means - middle, full_matrices=False)[2]
    axes[2] = np.cross(axes[0], axes[1])
    box_from_world = make_transform(axes, -axes @ middle)
    inside = apply(box_from_world, means)
    if plane is not None:
        plane = np.array(plane["normal"]), plane["offset_mm"] + plane_tolerance_mm
    return ToolRegion(box_from_world, inside.min(0) - BOX_MARGIN_MM, inside.max(0) + BOX_MARGIN_MM, plane)


@torch.no_grad()
def compose_fields(
    scene: Scene, camera: Camera, site: Field, tools: Mapping[str, ToolField]
) -> tuple[Composite, list[np.ndarray]]:
    """A scene's image with the share of each placed tool, and the accumulated opacity [H, W] of each tool alone."""
    device = next(site.parameters()).device
    rays = camera_rays(camera, scene.world_from_camera, device)
    count = len(scene.placements)
    parts = []
    for start in range(0, len(rays), RAYS_AT_ONCE):
        some = rays.at(slice(start, start + RAYS_AT_ONCE))
        media = [tool_samples(some, placement, tools[placement.tool]) for placement in scene.placements]
        joined, owner = merge([site.samples(some), *media])
        drawn = render_samples(joined)
        shares = [torch.where(owner == number, drawn.weights, 0).sum(-1) for number in range(1, count + 1)]
        alone = [render_samples(medium).alpha for medium in media]
        columns = [drawn.colour, drawn.alpha[:, None], (drawn.distance * some.ahead)[:, None]]
        parts.append(torch.cat(columns + [column[:, None] for column in shares + alone], 1))
    image = torch.cat(parts).cpu().numpy().reshape(camera.height, camera.width, -1)
    shares, alone = image[..., 5 : 5 + count], image[..., 5 + count :]
    return Composite(image[..., :3], image[..., 3], image[..., 4], shares), list(np.moveaxis(alone, -1, 0))


def tool_samples(rays: Rays, placement: Placement, tool: ToolField) -> Samples:
    """What rays meet of a tool that has moved since its recording; distances are those along the given rays."""
    there = rays.moved(tool.world_from_sensor @ invert(placement.world_from_tool_sensor))
    enter, leave = tool.region.interval(there)
    hit = torch.nonzero((leave > enter) & (leave > 0))[:, 0]
    if not len(hit):
        nothing = rays.ahead.new_zeros(len(rays), 1)
        return Samples(nothing, nothing, nothing, nothing[..., None].expand(-1, -1, 3))
    some = there.at(hit)
    found = tool.field.samples(some, (enter[hit], leave[hit]))
    density = torch.where(tool.region.holds(some.points(found.middles)), found.density, 0)

    def spread(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(len(rays), *values.shape[1:]).index_copy(0, hit, values)

    return Samples(spread(found.starts), spread(found.ends), spread(density), spread(found.colour))

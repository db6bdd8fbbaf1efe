"""Which limits of the recipe the view breaks: why `compose` would refuse it, or never draw it freely."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from splatscope.compose import recipe as draw
from splatscope.compose.recipe import Rejected
from splatscope.compose.sampling import LOOSEN, Material
from splatscope.compositing import Composite, composite
from splatscope.config.compose import ComposeConfig
from splatscope.geometry import Camera, apply, invert, pose_difference
from splatscope.shards import Frame
from splatscope.viewer.live_render import View

CONTACT_MM = 0.1  # a tip drawn to touch the tissue does so within rounding


def broken_limits(view: View, frame: Frame, material: Material, config: ComposeConfig) -> list[str]:
    """Reasons for which `compose` rejects this scene however it came about; `frame` is the view rendered."""
    recipe = config.recipe
    camera = view.camera.scaled(config.width, config.height)
    shapes = {tool.name: tool.shape for tool in material.tools}
    site = composite(material.site, [], camera, view.world_from_camera)
    broken = []
    if (site.alpha > 0.5).mean() < recipe.min_site_coverage:
        broken.append("site_not_covering_image")
    poses = [(shapes[name], invert(view.world_from_camera) @ pose) for name, pose in view.placed]
    for shape, pose in poses:
        try:
            draw.check_tool_pose(pose, shape, camera, recipe)
        except Rejected as reason:
            broken.append(str(reason))
    for (shape, pose), (other_shape, other_pose) in combinations(poses, 2):
        gap = draw.segment_distance(draw.axis_segment(pose, shape), draw.axis_segment(other_pose, other_shape))
        if gap < recipe.min_tool_gap_mm:
            broken.append("tools_collide")
    share = config.width * config.height / frame.instance_map.size
    for entry in frame.meta["instances"]:
        if entry["visible_px"] * share < recipe.min_area_px:
            broken.append("too_few_visible_pixels")
        if entry["visibility"] < recipe.min_visibility:
            broken.append("hidden")
    return list(dict.fromkeys(broken))


def outside_free_draws(view: View, site: Composite, material: Material, config: ComposeConfig) -> list[str]:
    """Settings that keep freely drawn scenes from this one, which may still come from a recorded frame shaken.

    `site` is the site alone in the view's camera at its size.
    """
    recipe = config.recipe
    known = np.concatenate(list(material.known_poses.values()))
    distances, angles = pose_difference(known, view.world_from_camera[None])
    settings = []
    if not ((distances < recipe.camera_limit_mm) & (angles < recipe.camera_limit_deg)).any():
        settings.append("camera_limit_mm, camera_limit_deg")
    shapes = {tool.name: tool.shape for tool in material.tools}
    for name, pose in view.placed:
        camera_from_tool = invert(view.world_from_camera) @ pose
        settings += _tip_settings(apply(camera_from_tool, shapes[name].tip[None])[0], view.camera, site, recipe)
        if draw.coverage_angle_deg(camera_from_tool, shapes[name]) > recipe.coverage_deg:
            settings.append("coverage_deg")
    return list(dict.fromkeys(settings))


def verdict(broken: Sequence[str], outside: Sequence[str]) -> str:
    """What the page says of a scene, in Markdown."""
    if broken:
        reasons = "\n".join(f"- {reason.replace('_', ' ')}: `{LOOSEN[reason]}`" for reason in broken)
        return f"**Compose would reject this scene:**\n{reasons}"
    if outside:
        return "**Allowed about a recorded frame**; never drawn freely, by " + "; ".join(f"`{one}`" for one in outside)
    return "**Within the recipe**"


def _tip_settings(tip: np.ndarray, camera: Camera, site: Composite, recipe) -> list[str]:
    if not recipe.min_depth_mm <= tip[2] <= recipe.max_depth_mm:
        return ["min_depth_mm, max_depth_mm"]
    pixel = camera.project(tip[None])[0]
    across = pixel / [camera.width, camera.height]
    if ((across < recipe.tip_margin) | (across > 1 - recipe.tip_margin)).any():
        return ["tip_margin"]
    column, row = pixel.astype(int)
    if site.alpha[row, column] < draw.OPAQUE_TISSUE:
        return ["tip_margin"]
    # along the line of sight, as the recipe measures it
    standoff = np.linalg.norm(tip) * (site.depth[row, column] / tip[2] - 1)
    return [] if -CONTACT_MM <= standoff <= recipe.max_standoff_mm + CONTACT_MM else ["max_standoff_mm"]

"""Drawing cameras and tool poses. Camera axes and mm throughout; every function takes the generator it draws from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from splatscope.config.compose import RecipeConfig
from splatscope.geometry import Camera, apply, interpolate_poses, make_transform, pose_difference

END_ON = np.sin(np.radians(10))  # seen more nearly from its end than this, a shaft has no direction in the image
OPAQUE_TISSUE = 0.9  # accumulated opacity of a pixel that a tip may stand before
NEAR_POSES = 8  # a drawn camera lies between a background camera and one of this many nearest ones


class Rejected(Exception):
    """A draw breaks a limit of the recipe; the argument names the reason."""


@dataclass(frozen=True)
class ToolShape:
    """What placing a tool needs to know, in the frame of its sensor."""

    tip: np.ndarray  # [3] mm
    direction: np.ndarray  # [3] unit, from the tip along the shaft
    length_mm: float
    view_directions: np.ndarray  # [M, 3] unit, from the tip to where its recording's cameras were
    points: np.ndarray  # [P, 3] mm, a sample of its Gaussians
    far_points: np.ndarray  # [F, 3] mm, those at the shaft's far end


def draw_camera(rng: np.random.Generator, known: np.ndarray, recipe: RecipeConfig) -> np.ndarray:
    """world_from_camera [4, 4] between two neighbouring known cameras [C, 4, 4], shaken. Rejected beyond the limits."""
    first = int(rng.integers(len(known)))
    near = np.argsort(np.linalg.norm(known[:, :3, 3] - known[first, :3, 3], axis=1), kind="stable")[1 : NEAR_POSES + 1]
    second = int(rng.choice(near)) if len(near) else first
    between = interpolate_poses(np.array([0.0, 1.0]), known[[first, second]], rng.uniform(size=1))[0]
    camera = shake_camera(rng, between, recipe)
    distances, angles = pose_difference(known, camera[None])
    if not ((distances < recipe.camera_limit_mm) & (angles < recipe.camera_limit_deg)).any():
        raise Rejected("camera_far_from_recording")
    return camera


def shake_camera(rng: np.random.Generator, world_from_camera: np.ndarray, recipe: RecipeConfig) -> np.ndarray:
    """A camera [4, 4] near a given one."""
    rotation, shift = _shake(rng, recipe.camera_jitter_deg, recipe.camera_jitter_mm)
    return world_from_camera @ make_transform(rotation, shift)


def shake_tool(
    rng: np.random.Generator, world_from_tool: np.ndarray, tool: ToolShape, recipe: RecipeConfig
) -> np.ndarray:
    """A tool's pose [4, 4] near a given one: turned about the tip, which moves a little."""
    rotation, shift = _shake(rng, recipe.recorded_jitter_deg, recipe.recorded_jitter_mm)
    tip = apply(world_from_tool, tool.tip[None])[0] + shift
    turned = rotation @ world_from_tool[:3, :3]
    return make_transform(turned, tip - turned @ tool.tip)


def draw_tip(
    rng: np.random.Generator, camera: Camera, depth: np.ndarray, alpha: np.ndarray, recipe: RecipeConfig
) -> np.ndarray:
    """Tip [3]: on or before the tissue at a random pixel, from the site's depth and opacity [H, W]."""
    margin = recipe.tip_margin
    u, v = rng.uniform(margin, 1 - margin, 2) * [camera.width, camera.height]
    standoff = 0.0 if rng.uniform() < recipe.contact_probability else rng.uniform(0, recipe.max_standoff_mm)
    row, column = int(v), int(u)
    if alpha[row, column] < OPAQUE_TISSUE:
        raise Rejected("no_tissue_under_tip")
    tissue = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0]) * float(depth[row, column])
    tip = tissue * (1 - standoff / np.linalg.norm(tissue))
    if not recipe.min_depth_mm <= tip[2] <= recipe.max_depth_mm:
        raise Rejected("tip_depth_out_of_range")
    return tip


def draw_tool_pose(
    rng: np.random.Generator, tool: ToolShape, tip: np.ndarray, camera: Camera, recipe: RecipeConfig
) -> np.ndarray:
    """camera_from_tool_sensor [4, 4] with the tool's tip at `tip` [3].

    The direction from the tip to the camera, in the tool's frame, is one that the tool's recording has, turned by less
    than `coverage_deg`; what freedom is left, the turn about the line of sight, is set by the direction in the image
    in which the shaft leaves the tip.
    """
    towards_camera = _near_direction(rng, tool.view_directions, recipe.coverage_deg)
    entry = np.radians(rng.uniform(*recipe.entry_angles_deg))
    in_tool = _frame(towards_camera, tool.direction)
    if in_tool is None:
        raise Rejected("shaft_seen_end_on")
    in_image = np.array([np.cos(entry) / camera.fx, np.sin(entry) / camera.fy, 0.0])
    in_camera = _frame(-tip / np.linalg.norm(tip), in_image)
    rotation = in_camera @ in_tool.T
    return make_transform(rotation, tip - rotation @ tool.tip)


def check_tool_pose(camera_from_tool: np.ndarray, tool: ToolShape, camera: Camera, recipe: RecipeConfig) -> None:
    """Rejected when the tool comes too near to the camera, or its far end is in the image."""
    points = apply(camera_from_tool, tool.points)
    if (_in_image(points, camera) & (points[:, 2] < recipe.min_depth_mm)).any():
        raise Rejected("tool_too_near")
    if recipe.shaft_leaves_image and _in_image(apply(camera_from_tool, tool.far_points), camera).any():
        raise Rejected("shaft_end_in_image")


def axis_segment(transform: np.ndarray, tool: ToolShape) -> np.ndarray:
    """Tip and far end [2, 3] of a tool in the target frame of `transform`."""
    return apply(transform, np.array([tool.tip, tool.tip + tool.length_mm * tool.direction]))


def segment_distance(first: np.ndarray, second: np.ndarray, samples: int = 200) -> float:
    """Least distance (mm) between two segments [2, 3], to within their length over `samples`."""
    steps = np.linspace(0, 1, samples)[:, None]
    along_first = first[0] + steps * (first[1] - first[0])
    along_second = second[0] + steps * (second[1] - second[0])
    return float(cKDTree(along_first).query(along_second)[0].min())


def coverage_angle_deg(camera_from_tool: np.ndarray, tool: ToolShape) -> float:
    """Angle between the direction from the tip to the camera and the nearest one of the tool's recording."""
    tip = apply(camera_from_tool, tool.tip[None])[0]
    towards_camera = camera_from_tool[:3, :3].T @ (-tip / np.linalg.norm(tip))
    return float(np.degrees(np.arccos(np.clip(tool.view_directions @ towards_camera, -1, 1)).min()))


def _shake(rng: np.random.Generator, degrees: float, millimetres: float) -> tuple[np.ndarray, np.ndarray]:
    rotation = Rotation.from_rotvec(np.radians(rng.normal(0, degrees, 3))).as_matrix()
    return rotation, rng.normal(0, millimetres, 3)


def _near_direction(rng: np.random.Generator, directions: np.ndarray, limit_deg: float) -> np.ndarray:
    """A unit vector [3] uniform in the cap of `limit_deg` round one of `directions` [M, 3]."""
    centre = directions[int(rng.integers(len(directions)))]
    angle = np.radians(limit_deg) * np.sqrt(rng.uniform())
    azimuth = rng.uniform(0, 2 * np.pi)
    helper = np.eye(3)[np.argmin(np.abs(centre))]
    across = np.cross(centre, helper)
    across = across / np.linalg.norm(across)
    sideways = np.cos(azimuth) * across + np.sin(azimuth) * np.cross(centre, across)
    return np.cos(angle) * centre + np.sin(angle) * sideways


def _frame(third: np.ndarray, towards: np.ndarray) -> np.ndarray | None:
    """Rotation [3, 3] whose third column is `third` (unit) and whose first points along `towards` as far as it can."""
    towards = towards / np.linalg.norm(towards)
    first = towards - (towards @ third) * third
    length = np.linalg.norm(first)
    if length < END_ON:
        return None
    first = first / length
    return np.stack([first, np.cross(third, first), third], axis=1)


def _in_image(points: np.ndarray, camera: Camera) -> np.ndarray:
    """bool [N]: which points [N, 3] in camera axes project into the image."""
    before = points[:, 2] > 1e-3
    pixels = camera.project(np.where(before[:, None], points, [0.0, 0.0, 1.0]))
    return before & ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(1)

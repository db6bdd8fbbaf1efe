"""Sampling: scenes drawn from a recipe, each checked by rendering it before it is accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.classes import read_class_table
from splatscope.compose import recipe as draw
from splatscope.compose.recipe import Rejected, ToolShape
from splatscope.compose.recorded import RecordedFrame, recorded_frames
from splatscope.compose.replay import read_camera
from splatscope.compose.scene_list import (
    Placement,
    Scene,
    SceneHeader,
    frame_seed,
    seed_number,
    tool_class_names,
    write_scene_list,
)
from splatscope.compositing import composite, instance_map, read_splat, silhouette
from splatscope.config.compose import ComposeConfig, RecipeConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera, invert, poses_from_columns
from splatscope.splats.device import choose_device
from splatscope.splats.gaussians import Gaussians

DATASET = "sampled"
PLACEMENT_TRIES = 30  # per tool, before a new camera is drawn
MASK_THRESHOLD = 0.5  # of the visibility limits

# which setting to loosen when a reason for rejection prevails
LOOSEN = {
    "camera_far_from_recording": "camera_limit_mm, camera_limit_deg (or lower camera_jitter_*)",
    "site_not_covering_image": "min_site_coverage",
    "no_tissue_under_tip": "tip_margin",
    "tip_depth_out_of_range": "min_depth_mm, max_depth_mm",
    "shaft_seen_end_on": "coverage_deg",
    "tool_too_near": "min_depth_mm",
    "shaft_end_in_image": "shaft_leaves_image",
    "tools_collide": "min_tool_gap_mm",
    "too_few_visible_pixels": "min_area_px",
    "hidden": "min_visibility",
}


@dataclass(frozen=True)
class Tool:
    """A tool as the sampler knows it."""

    name: str
    class_id: int
    gaussians: Gaussians  # in the sensor's frame
    shape: ToolShape


@dataclass(frozen=True)
class Material:
    """Everything scenes are made of."""

    site: Gaussians
    tools: list[Tool]
    cameras: dict[str, Camera]  # by background and scene recording, at the size to render
    known_poses: dict[str, np.ndarray]  # world_from_camera [C, 4, 4] by background recording
    recorded: list[RecordedFrame] = field(default_factory=list)  # of scene recordings, to pose frames about


def sample_scenes(
    site_ply: str | Path,
    tool_plys: Mapping[str, str | Path],
    extract_reports: Mapping[str, str | Path],
    pose_tables: Mapping[str, str | Path],
    scene_tables: Mapping[str, str | Path],
    cameras: Mapping[str, str | Path],
    class_table: str | Path,
    config: ComposeConfig,
    seed: int,
    *,
    scenes_parquet: str | Path,
    scenes_json: str | Path,
    device: str = "cpu",
) -> None:
    """Write the scene list of `config.recipe.frames` scenes.

    `tool_plys`, `extract_reports` by tool; `pose_tables` by background, `scene_tables` by scene recording, `cameras` by
    either. A frame depends on its index and `seed` alone, so it comes out the same whichever others are drawn. `device`
    as in splats.device.choose_device. Raises InputError when the recipe cannot be met, naming the limit that most draws
    broke.
    """
    classes, material = load_material(
        site_ply, tool_plys, extract_reports, pose_tables, scene_tables, cameras, class_table, config, device
    )
    rejected: Counter[str] = Counter()
    scenes = []
    for index in range(config.recipe.frames):
        scenes.append(sample_scene(index, material, config, seed, rejected))
        if (index + 1) % 32 == 0:
            print(f"{index + 1} of {config.recipe.frames} scenes drawn, {rejected.total()} draws rejected", flush=True)
    header = SceneHeader(DATASET, "exact", material.cameras, classes, rejected=dict(sorted(rejected.items())))
    write_scene_list(scenes_parquet, scenes_json, header, scenes)


def load_material(
    site_ply: str | Path,
    tool_plys: Mapping[str, str | Path],
    extract_reports: Mapping[str, str | Path],
    pose_tables: Mapping[str, str | Path],
    scene_tables: Mapping[str, str | Path],
    cameras: Mapping[str, str | Path],
    class_table: str | Path,
    config: ComposeConfig,
    device: str = "cpu",
) -> tuple[dict[str, str], Material]:
    """Class name by tool, and what scenes are made of; the files as `sample_scenes` takes them."""
    table, place = read_class_table(class_table), choose_device(device)
    classes = tool_class_names(list(tool_plys), config.tool_classes, table, class_table)
    splats = {name: read_splat(path).to(place) for name, path in tool_plys.items()}
    material = Material(
        read_splat(site_ply).to(place),
        [
            Tool(name, table[classes[name]], gaussians, tool_shape(gaussians, read_json(extract_reports[name])))
            for name, gaussians in splats.items()
        ],
        {name: read_camera(path, config) for name, path in cameras.items()},
        {name: _camera_poses(path) for name, path in pose_tables.items()},
        recorded_frames(scene_tables, list(tool_plys), Counter()) if scene_tables else [],
    )
    return classes, material


def sample_scene(index: int, material: Material, config: ComposeConfig, seed: int, rejected: Counter[str]) -> Scene:
    """One scene, by rejection sampling; reasons for rejection are counted in `rejected`."""
    recipe = config.recipe
    sequence = frame_seed(seed, DATASET, index)
    rng = np.random.default_rng(sequence)
    # how many tools is drawn once: a redraw after a rejection would favour scenes with few
    counts = sorted(recipe.tools_per_frame)
    number = int(rng.choice(counts, p=_normalised([recipe.tools_per_frame[count] for count in counts])))
    number = number if material.tools else 0
    about_recorded = bool(material.recorded) and rng.uniform() < recipe.recorded_share
    here: Counter[str] = Counter()
    for _ in range(recipe.max_attempts):
        source = material.recorded[int(rng.integers(len(material.recorded)))] if about_recorded else None
        try:
            recording, camera_pose, placements = _draw_scene(rng, number, source, material, recipe, here)
        except Rejected as reason:
            here[str(reason)] += 1
            continue
        rejected.update(here)
        shard, frame = index // config.frames_per_shard("sampled"), source.frame if source else -1
        return Scene(index, shard, seed_number(sequence), camera_pose, placements, recording, frame)
    reason, count = here.most_common(1)[0]
    raise InputError(
        "compose.recipe",
        f"frame {index}",
        found=f"no scene in {recipe.max_attempts} draws; most broke the limit {reason!r} ({count} times)",
        expected="a recipe whose limits can be met together",
        remedy=f"loosen compose.recipe.{LOOSEN[reason]}, or raise max_attempts",
    )


def tool_shape(gaussians: Gaussians, report: dict) -> ToolShape:
    """From the extracted Gaussians and extract.json, in the sensor's frame."""
    points = gaussians.means.double().cpu().numpy()
    tip, length = np.array(report["tip_mm"]), float(report["shaft_length_mm"])
    direction = _unit(np.array(report["shaft_direction"]))
    along = (points - tip) @ direction
    return ToolShape(
        tip,
        direction,
        length,
        _unit(np.array(report["view_directions"])),
        _thinned(points, 2000),
        _thinned(points[along >= 0.95 * min(length, along.max())], 200),
    )


def _draw_scene(
    rng: np.random.Generator,
    number: int,
    source: RecordedFrame | None,
    material: Material,
    recipe: RecipeConfig,
    rejected: Counter[str],
) -> tuple[str, np.ndarray, tuple[Placement, ...]]:
    """Whose camera it is, where it stands, and `number` tools; posed about `source` where there is one."""
    if source is None:
        names = list(material.known_poses)
        sizes = [len(material.known_poses[name]) for name in names]
        recording = names[int(rng.choice(len(names), p=_normalised(sizes)))]
        world_from_camera = draw.draw_camera(rng, material.known_poses[recording], recipe)
    else:
        recording, world_from_camera = source.recording, draw.shake_camera(rng, source.world_from_camera, recipe)
    camera = material.cameras[recording]
    empty = composite(material.site, [], camera, world_from_camera)
    if (empty.alpha > 0.5).mean() < recipe.min_site_coverage:
        raise Rejected("site_not_covering_image")

    placed: list[tuple[Tool, np.ndarray]] = []
    if source is None:
        for _ in range(number):
            tool = material.tools[int(rng.integers(len(material.tools)))]
            placed.append((tool, _draw_placement(rng, tool, placed, camera, empty, recipe, rejected)))
    elif number:
        for tool in (tool for tool in material.tools if tool.name in source.tools):
            shaken = draw.shake_tool(rng, source.tools[tool.name], tool.shape, recipe)
            pose = invert(world_from_camera) @ shaken
            _check_placement(pose, tool, placed, camera, recipe)
            placed.append((tool, pose))
    poses = [world_from_camera @ camera_from_tool for _, camera_from_tool in placed]
    if placed:
        moved = [tool.gaussians.transformed(pose) for (tool, _), pose in zip(placed, poses)]
        full = composite(material.site, moved, camera, world_from_camera)
        instances = instance_map(full.weights, MASK_THRESHOLD)
        for instance, gaussians in enumerate(moved, start=1):
            visible = int((instances == instance).sum())
            if visible < recipe.min_area_px:
                raise Rejected("too_few_visible_pixels")
            amodal = silhouette(gaussians, camera, world_from_camera) > MASK_THRESHOLD
            if visible < recipe.min_visibility * (amodal | (instances == instance)).sum():
                raise Rejected("hidden")
    placements = tuple(
        Placement(tool.name, instance, tool.class_id, pose)
        for instance, ((tool, _), pose) in enumerate(zip(placed, poses), start=1)
    )
    return recording, world_from_camera, placements


def _draw_placement(rng, tool, placed, camera, empty, recipe, rejected) -> np.ndarray:
    """camera_from_tool_sensor of one more tool that meets the geometric limits; the last reason when none does."""
    reason = None
    for _ in range(PLACEMENT_TRIES):
        try:
            tip = draw.draw_tip(rng, camera, empty.depth, empty.alpha, recipe)
            pose = draw.draw_tool_pose(rng, tool.shape, tip, camera, recipe)
            _check_placement(pose, tool, placed, camera, recipe)
        except Rejected as broken:
            if reason is not None:
                rejected[str(reason)] += 1
            reason = broken
        else:
            if reason is not None:
                rejected[str(reason)] += 1
            return pose
    raise reason


def _check_placement(camera_from_tool, tool, placed, camera, recipe) -> None:
    """Rejected where the tool breaks a geometric limit, or meets one of those already `placed`."""
    draw.check_tool_pose(camera_from_tool, tool.shape, camera, recipe)
    axis = draw.axis_segment(camera_from_tool, tool.shape)
    for other, pose in placed:
        if draw.segment_distance(axis, draw.axis_segment(pose, other.shape)) < recipe.min_tool_gap_mm:
            raise Rejected("tools_collide")


def _camera_poses(path: str | Path) -> np.ndarray:
    table = pd.read_parquet(path)
    poses = poses_from_columns(table, "world_from_camera")
    poses = poses[table["valid"].to_numpy(bool) & np.isfinite(poses).all((1, 2))]
    if not len(poses):
        raise InputError(
            path,
            found="no valid camera pose",
            expected="the camera poses of a background recording",
            remedy="see the stage poses: its table says why frames are not valid",
        )
    return poses


def _thinned(points: np.ndarray, limit: int) -> np.ndarray:
    return points[np.unique(np.linspace(0, len(points) - 1, min(limit, len(points))).round().astype(int))]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] of length 1; the report rounds them."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _normalised(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values / values.sum()

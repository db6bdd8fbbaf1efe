"""Replay: the scenes that scene recordings show, posed as the recordings say (the paper's ground-truth protocol)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.classes import read_class_table
from splatscope.compose.scene_list import (
    Placement,
    Scene,
    SceneHeader,
    frame_seed,
    seed_number,
    tool_class_names,
    write_scene_list,
)
from splatscope.config.compose import ComposeConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera, poses_from_columns


def compose_replay(
    dataset: str,
    pose_tables: Mapping[str, str | Path],
    cameras: Mapping[str, str | Path],
    extract_reports: Mapping[str, str | Path],
    class_table: str | Path,
    config: ComposeConfig,
    seed: int,
    *,
    scenes_parquet: str | Path,
    scenes_json: str | Path,
) -> None:
    """Write the scene list of `config.replay_frames` valid frames, spread evenly over the recordings.

    `pose_tables` and `cameras` (poses/<recording>.parquet, .camera.json) by scene recording, `extract_reports`
    (extract.json) by tool. The dataset `replay_paper` moves tools as the paper's Eq. 2 does, every other exactly.
    Raises InputError when a tool is tracked in no recording, or no frame has all poses.
    """
    table_of_classes = read_class_table(class_table)
    classes = tool_class_names(list(extract_reports), config.tool_classes, table_of_classes, class_table)
    rejected: Counter[str] = Counter()
    candidates = []
    tracked: set[str] = set()
    for recording, path in pose_tables.items():
        table = pd.read_parquet(path)
        here = [tool for tool in classes if f"world_from_{tool}_sensor_qw" in table]
        tracked |= set(here)
        candidates += _valid_rows(recording, table, here, rejected)
    for tool in classes:
        if tool not in tracked:
            raise InputError(
                ", ".join(str(path) for path in pose_tables.values()),
                f"columns world_from_{tool}_sensor_*",
                found="no such columns",
                expected=f"the tracked pose of the tool {tool}, which has a recording of its own",
                remedy=f"bring a scene recording that tracks {tool} under this name, or drop its tool recording",
            )
    if not candidates:
        raise InputError(
            ", ".join(str(path) for path in pose_tables.values()),
            found=f"no frame with all poses ({dict(rejected)} were left out)",
            expected="frames with a valid camera and tool pose",
            remedy="see the stage poses: its tables say why frames are not valid",
        )
    count = min(config.replay_frames, len(candidates))
    chosen = np.linspace(0, len(candidates) - 1, count).round().astype(int)
    rejected["not_needed"] = len(candidates) - count
    scenes = []
    for index, candidate in enumerate(chosen):
        recording, frame, world_from_camera, tools = candidates[candidate]
        placements = tuple(
            Placement(tool, instance, table_of_classes[classes[tool]], pose)
            for instance, (tool, pose) in enumerate(tools.items(), start=1)
        )
        number = seed_number(frame_seed(seed, dataset, index))
        scenes.append(Scene(index, index // config.shard_size, number, world_from_camera, placements, recording, frame))
    paper = dataset == "replay_paper"
    header = SceneHeader(
        dataset,
        "paper" if paper else "exact",
        {name: read_camera(path, config) for name, path in cameras.items()},
        classes,
        {tool: np.array(read_json(path)["world_from_sensor"]) for tool, path in extract_reports.items()}
        if paper
        else {},
        dict(sorted(rejected.items())),
    )
    write_scene_list(scenes_parquet, scenes_json, header, scenes)


def read_camera(path: str | Path, config: ComposeConfig) -> Camera:
    """The undistorted camera of a recording at the size to render."""
    return Camera.from_dict(read_json(path)["camera"]).undistorted().scaled(config.width, config.height)


def _valid_rows(
    recording: str, table: pd.DataFrame, tools: list[str], rejected: Counter[str]
) -> list[tuple[str, int, np.ndarray, dict[str, np.ndarray]]]:
    cameras = poses_from_columns(table, "world_from_camera")
    camera_valid = table["valid"].to_numpy(bool) & np.isfinite(cameras).all((1, 2))
    poses = {tool: poses_from_columns(table, f"world_from_{tool}_sensor") for tool in tools}
    tools_valid = np.ones(len(table), bool)
    for transforms in poses.values():
        tools_valid &= np.isfinite(transforms).all((1, 2))
    rejected["camera_pose_invalid"] += int((~camera_valid).sum())
    rejected["tool_pose_invalid"] += int((camera_valid & ~tools_valid).sum())
    return [
        (recording, int(table["frame"].iloc[row]), cameras[row], {tool: poses[tool][row] for tool in tools})
        for row in np.flatnonzero(camera_valid & tools_valid)
    ]

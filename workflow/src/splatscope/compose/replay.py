"""Replay: the scenes that scene recordings show, posed as the recordings say (the paper's ground-truth protocol)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from splatscope.classes import read_class_table
from splatscope.compose.recorded import recorded_frames
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
from splatscope.files import read_json
from splatscope.geometry import Camera


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
    candidates = recorded_frames(pose_tables, list(classes), rejected)
    count = min(config.replay_frames, len(candidates))
    chosen = np.linspace(0, len(candidates) - 1, count).round().astype(int)
    rejected["not_needed"] = len(candidates) - count
    scenes = []
    for index, candidate in enumerate(chosen):
        source = candidates[candidate]
        placements = tuple(
            Placement(tool, instance, table_of_classes[classes[tool]], pose)
            for instance, (tool, pose) in enumerate(source.tools.items(), start=1)
        )
        number = seed_number(frame_seed(seed, dataset, index))
        shard = index // config.frames_per_shard(dataset)
        scenes.append(Scene(index, shard, number, source.world_from_camera, placements, source.recording, source.frame))
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

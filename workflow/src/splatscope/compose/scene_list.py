"""The scene list: one row per frame to be made (.parquet), and what all of them share (.json)."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.classes import BACKGROUND_ID, IGNORE_ID
from splatscope.errors import InputError
from splatscope.files import read_json, write_json, write_table
from splatscope.geometry import Camera, matrix_to_quaternion, pose_columns, pose_from_quaternion, poses_from_columns

SITE = "site"  # the role of the background splat


@dataclass(frozen=True)
class Placement:
    """A tool in a scene."""

    tool: str
    instance: int  # 1..
    class_id: int
    world_from_tool_sensor: np.ndarray  # [4, 4] mm


@dataclass(frozen=True)
class Scene:
    """One frame to be made."""

    index: int  # in its dataset
    shard: int
    seed: int
    world_from_camera: np.ndarray  # [4, 4] mm
    placements: tuple[Placement, ...]
    recording: str  # whose camera it is, and whose frame is replayed or posed about
    source_frame: int = -1  # video frame that is replayed or posed about, -1 where none

    @property
    def key(self) -> str:
        return f"{self.index:06d}"


@dataclass(frozen=True)
class SceneHeader:
    """What the frames of a scene list share."""

    dataset: str
    mode: str  # "exact" or "paper": how the tools' Gaussians are moved
    cameras: dict[str, Camera]  # by recording, at the size to render
    tool_classes: dict[str, str]  # class name by tool
    recorded_poses: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # paper mode: world_from_tool_sensor when recorded
    rejected: dict[str, int] = field(default_factory=dict)  # draws or frames left out, by reason

    @property
    def roles(self) -> list[str]:
        """Splats that rendering needs."""
        return [SITE, *self.tool_classes]


def frame_seed(seed: int, dataset: str, index: int) -> np.random.SeedSequence:
    """The one source of chance of a frame: depends on nothing but the config's seed and the frame's name."""
    return np.random.SeedSequence([seed, zlib.crc32(dataset.encode()), index])


def seed_number(sequence: np.random.SeedSequence) -> int:
    """The seed as a whole number that fits a table's signed 64 bits."""
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def tool_class_names(tools: list[str], configured: dict[str, str], table: dict[str, int], path: Path | str) -> dict:
    """Class name by tool. Raises InputError when a class is not in the table, or is background or ignore."""
    names = {}
    for tool in tools:
        name = configured.get(tool, tool.replace("_", " "))
        if table.get(name, BACKGROUND_ID) in (BACKGROUND_ID, IGNORE_ID):
            raise InputError(
                path,
                f"class of the tool {tool}",
                found=f"{name!r}, which is not a tool's class in this table",
                expected=f"one of {', '.join(n for n, i in table.items() if i not in (BACKGROUND_ID, IGNORE_ID))}",
                remedy=f"set compose.tool_classes: {{{tool}: <class name>}}, or add the class to the table",
            )
        names[tool] = name
    return names


def write_scene_list(parquet: str | Path, summary: str | Path, header: SceneHeader, scenes: list[Scene]) -> None:
    cameras = np.array([scene.world_from_camera for scene in scenes]).reshape(-1, 4, 4)
    table = pd.DataFrame(
        {
            "key": pd.Series([scene.key for scene in scenes], dtype="str"),
            "shard": np.array([scene.shard for scene in scenes], np.int64),
            "index": np.array([scene.index for scene in scenes], np.int64),
            "seed": np.array([scene.seed for scene in scenes], np.int64),
            "recording": pd.Series([scene.recording for scene in scenes], dtype="str"),
            "source_frame": np.array([scene.source_frame for scene in scenes], np.int64),
            **pose_columns("world_from_camera", cameras),
            "tools": pd.Series([_tools_json(scene.placements) for scene in scenes], dtype="str"),
        }
    )
    write_table(parquet, table)
    write_json(
        summary,
        {
            "dataset": header.dataset,
            "mode": header.mode,
            "cameras": {name: camera.to_dict() for name, camera in header.cameras.items()},
            "tool_classes": header.tool_classes,
            "recorded_poses": {name: pose.tolist() for name, pose in header.recorded_poses.items()},
            "splats": header.roles,
            "frames": len(scenes),
            "rejected": header.rejected,
        },
    )


def read_scene_list(parquet: str | Path, summary: str | Path) -> tuple[SceneHeader, list[Scene]]:
    content = read_json(summary)
    header = SceneHeader(
        content["dataset"],
        content["mode"],
        {name: Camera.from_dict(camera) for name, camera in content["cameras"].items()},
        content["tool_classes"],
        {name: np.array(pose) for name, pose in content["recorded_poses"].items()},
        content["rejected"],
    )
    table = pd.read_parquet(parquet)
    poses = poses_from_columns(table, "world_from_camera")
    scenes = [
        Scene(
            int(row.index_),
            int(row.shard),
            int(row.seed),
            pose,
            _placements(row.tools),
            row.recording,
            int(row.source_frame),
        )
        for row, pose in zip(table.rename(columns={"index": "index_"}).itertuples(), poses)
    ]
    return header, scenes


def _tools_json(placements: tuple[Placement, ...]) -> str:
    return json.dumps(
        [
            {
                "tool": placement.tool,
                "instance": placement.instance,
                "class_id": placement.class_id,
                "quaternion": matrix_to_quaternion(placement.world_from_tool_sensor[:3, :3]).tolist(),
                "translation": placement.world_from_tool_sensor[:3, 3].tolist(),
            }
            for placement in placements
        ]
    )


def _placements(content: str) -> tuple[Placement, ...]:
    return tuple(
        Placement(
            entry["tool"],
            entry["instance"],
            entry["class_id"],
            pose_from_quaternion(np.array(entry["quaternion"]), np.array(entry["translation"])),
        )
        for entry in json.loads(content)
    )

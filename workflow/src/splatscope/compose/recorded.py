"""What scene recordings show: the camera and every tool, frame by frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.errors import InputError
from splatscope.geometry import poses_from_columns


@dataclass(frozen=True)
class RecordedFrame:
    """A frame of a scene recording in which the camera and all tracked tools have a pose."""

    recording: str
    frame: int  # of the video
    world_from_camera: np.ndarray  # [4, 4] mm
    tools: dict[str, np.ndarray]  # world_from_tool_sensor [4, 4] mm by tool


def recorded_frames(
    pose_tables: Mapping[str, str | Path], tools: Iterable[str], rejected: Counter[str]
) -> list[RecordedFrame]:
    """The frames of scene recordings (poses/<recording>.parquet by name) that have all poses, in order.

    Why others have not is counted in `rejected`. Raises InputError when a tool is tracked in no recording, or no frame
    has all poses.
    """
    files = ", ".join(str(path) for path in pose_tables.values())
    frames: list[RecordedFrame] = []
    tracked: set[str] = set()
    for recording, path in pose_tables.items():
        table = pd.read_parquet(path)
        here = [tool for tool in tools if f"world_from_{tool}_sensor_qw" in table]
        tracked |= set(here)
        frames += _whole_frames(recording, table, here, rejected)
    for tool in tools:
        if tool not in tracked:
            raise InputError(
                files,
                f"columns world_from_{tool}_sensor_*",
                found="no such columns",
                expected=f"the tracked pose of the tool {tool}, which has a recording of its own",
                remedy=f"bring a scene recording that tracks {tool} under this name, or drop its tool recording",
            )
    if not frames:
        raise InputError(
            files,
            found=f"no frame with all poses ({dict(rejected)} were left out)",
            expected="frames with a valid camera and tool pose",
            remedy="see the stage poses: its tables say why frames are not valid",
        )
    return frames


def _whole_frames(recording: str, table: pd.DataFrame, tools: list[str], rejected: Counter[str]) -> list[RecordedFrame]:
    cameras = poses_from_columns(table, "world_from_camera")
    camera_valid = table["valid"].to_numpy(bool) & np.isfinite(cameras).all((1, 2))
    poses = {tool: poses_from_columns(table, f"world_from_{tool}_sensor") for tool in tools}
    tools_valid = np.ones(len(table), bool)
    for transforms in poses.values():
        tools_valid &= np.isfinite(transforms).all((1, 2))
    rejected["camera_pose_invalid"] += int((~camera_valid).sum())
    rejected["tool_pose_invalid"] += int((camera_valid & ~tools_valid).sum())
    return [
        RecordedFrame(
            recording, int(table["frame"].iloc[row]), cameras[row], {tool: poses[tool][row] for tool in tools}
        )
        for row in np.flatnonzero(camera_valid & tools_valid)
    ]

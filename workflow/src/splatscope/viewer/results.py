"""What the viewer shows: the splats, the tools and the recordings in a folder of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.compose.sampling import Material, load_material
from splatscope.config.compose import ComposeConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera, poses_from_columns
from splatscope.recorded_frames import read_camera, read_recorded
from splatscope.recordings import Role


@dataclass(frozen=True)
class Recording:
    """The frames of a recording whose camera pose is known, in order."""

    name: str
    role: Role
    camera: Camera  # undistorted, at the recording's size
    lens: Camera  # the same with what distortion the stored frames still have
    frames: np.ndarray  # [C] number in the video
    world_from_camera: np.ndarray  # [C, 4, 4] mm
    world_from_sensor: dict[str, np.ndarray]  # by tool, [C, 4, 4] mm, NaN where it was not tracked
    frames_tar: Path

    def picture(self, row: int) -> np.ndarray | None:
        """The recorded frame, undistorted, uint8 [H, W, 3]; None where the file of frames is not there."""
        if not self.frames_tar.is_file():
            return None
        key = f"{self.frames[row]:06d}"
        return next((frame.rgb for frame in read_recorded(self.frames_tar, self.lens, {key})), None)

    def nearest(self, world_from_camera: np.ndarray) -> int:
        """The row whose camera stands nearest to a pose [4, 4]."""
        return int(np.linalg.norm(self.world_from_camera[:, :3, 3] - world_from_camera[:3, 3], axis=1).argmin())


@dataclass(frozen=True)
class Results:
    """A folder of results, read."""

    folder: Path
    material: Material
    classes: dict[str, str]  # class name by tool
    recordings: list[Recording]  # of the site: background, scene and test


def load_results(folder: str | Path, class_table: str | Path, config: ComposeConfig, device: str = "cpu") -> Results:
    """Read the splats and poses of a run. `device` as in splats.device.choose_device.

    Raises InputError when there is no splat of the site or no camera pose in the folder, and for damaged files.
    """
    folder = Path(folder)
    site = folder / "splat" / "site" / "model.ply"
    if not site.is_file():
        raise InputError(
            folder,
            found="no splat/site/model.ply",
            expected="the results of a run that has trained the site's splat",
            remedy="name the folder of results, or make the splat: snakemake --cores all results/splat/site/model.ply",
        )
    tools = sorted(path.parent.name for path in folder.glob("extract/*/tool.ply"))
    recordings = [_read_recording(folder, path, tools) for path in sorted(folder.glob("poses/*.parquet"))]
    recordings = [one for one in recordings if one.role is not Role.TOOL and len(one.frames)]
    names = {role: [one.name for one in recordings if one.role is role] for role in Role}
    if not names[Role.BACKGROUND]:
        raise InputError(
            folder / "poses",
            found="no camera pose of a background recording",
            expected="poses/<recording>.parquet of the recordings that the splat was trained on",
            remedy="run the stage poses: snakemake --cores all results/splat/site/model.ply",
        )
    classes, material = load_material(
        site,
        {tool: folder / "extract" / tool / "tool.ply" for tool in tools},
        {tool: folder / "extract" / tool / "extract.json" for tool in tools},
        _pose_tables(folder, names[Role.BACKGROUND]),
        _pose_tables(folder, names[Role.SCENE]),
        {one.name: folder / "poses" / f"{one.name}.camera.json" for one in recordings},
        class_table,
        config,
        device,
    )
    return Results(folder, material, classes, recordings)


def _pose_tables(folder: Path, names: list[str]) -> dict[str, Path]:
    return {name: folder / "poses" / f"{name}.parquet" for name in names}


def _read_recording(folder: Path, path: Path, tools: list[str]) -> Recording:
    name = path.stem
    lens = read_camera(path.with_name(f"{name}.camera.json"))
    table = pd.read_parquet(path)
    poses = poses_from_columns(table, "world_from_camera")
    rows = table["valid"].to_numpy(bool) & np.isfinite(poses).all((1, 2))
    sensors = {
        tool: poses_from_columns(table, f"world_from_{tool}_sensor")[rows]
        for tool in tools
        if f"world_from_{tool}_sensor_qw" in table
    }
    ingested = folder / "ingest" / name
    role = _read_role(ingested / "ingest.json")
    frames = table["frame"].to_numpy(np.int64)[rows]
    return Recording(name, role, lens.undistorted(), lens, frames, poses[rows], sensors, ingested / "frames.tar")


def _read_role(path: Path) -> Role:
    content = read_json(path)
    role = content.get("role") if isinstance(content, dict) else None
    if role not in list(Role):
        raise InputError(
            path,
            "key role",
            found=repr(role),
            expected=" | ".join(Role),
            remedy="ingest the recording again: delete this file and run snakemake",
        )
    return Role(role)

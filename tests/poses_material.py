"""Ingested recordings made on the spot, for the tests of the poses stage."""

import struct
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.files import write_json, write_table
from splatscope.geometry import Camera, matrix_to_quaternion, pose_columns
from splatscope.images import encode_png
from splatscope.poses.recording_files import IngestedRecording
from splatscope.recordings import Role
from splatscope.shards import Frame, write_shard


def make_ingested(
    folder: Path,
    name: str,
    images: list[np.ndarray],
    *,
    role: Role = Role.BACKGROUND,
    camera: Camera | None = None,
    files: list[str] | None = None,
    readings: dict[str, np.ndarray] | None = None,
    given_poses: Path | None = None,
    interval_s: float = 0.1,
    clock_sigma_s: float | None = None,
) -> IngestedRecording:
    """Write what ingest would have made of `images` (uint8 RGB), all kept; `readings`: pose tables by sensor."""
    folder = folder / name
    time_s = np.arange(len(images)) * interval_s
    table = {
        "frame": np.arange(len(images)),
        "time_s": time_s,
        "kept": np.ones(len(images), bool),
        "reason": [""] * len(images),
        "sharpness": np.ones(len(images)),
        "file": files or [""] * len(images),
    }
    for sensor, poses in (readings or {}).items():
        table |= pose_columns(f"tracker_from_{sensor}_sensor", poses)
    write_table(folder / "frames.parquet", pd.DataFrame(table))
    frames = [
        Frame(f"{index:06d}", image, {"frame": index, "time_s": time_s[index]}) for index, image in enumerate(images)
    ]
    write_shard(folder / "frames.tar", frames)
    write_json(folder / "camera.json", {"camera": camera.to_dict() if camera else None})
    (folder / "valid.png").write_bytes(encode_png(np.full(images[0].shape[:2], 255, np.uint8)))
    hand_eye = {"checkerboard": None, "epipolar": None}
    write_json(folder / "ingest.json", {"clock_offset_uncertainty_s": clock_sigma_s, "hand_eye": hand_eye})
    return IngestedRecording(
        name,
        role,
        frames=folder / "frames.tar",
        table=folder / "frames.parquet",
        camera=folder / "camera.json",
        valid_mask=folder / "valid.png",
        summary=folder / "ingest.json",
        given_poses=given_poses,
    )


def write_sparse_model(
    folder: Path,
    names: list[str],
    camera_from_world: np.ndarray,
    camera: Camera,
    points: np.ndarray,
    colors: np.ndarray,
    *,
    source: str = "colmap",
    usable: bool = True,
    frames: int | None = None,
) -> Path:
    """Write what reconstruct_group would have made: a binary COLMAP model with pinhole camera, and sfm.json."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = struct.pack("<QIiQQ4d", 1, 1, 1, camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    (folder / "cameras.bin").write_bytes(cameras)
    images = struct.pack("<Q", len(names))
    for index, (name, pose) in enumerate(zip(names, camera_from_world)):
        images += struct.pack("<I7dI", index + 1, *matrix_to_quaternion(pose[:3, :3]), *pose[:3, 3], 1)
        images += name.encode() + b"\0" + struct.pack("<Q", 0)
    (folder / "images.bin").write_bytes(images)
    content = struct.pack("<Q", len(points))
    for index, (point, color) in enumerate(zip(points, colors)):
        content += struct.pack("<Q3d3BdQ", index, *point, *(int(value) for value in color), 0.5, 0)
    (folder / "points3D.bin").write_bytes(content)
    summary = {"source": source, "usable": usable, "registered": len(names), "frames": frames or len(names)}
    write_json(folder / "sfm.json", summary)
    return folder

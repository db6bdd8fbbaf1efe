"""The splat stage: from frames and pose tables to a trained model with its curve and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plyfile
import torch

from splatscope.config.splat import SplatConfig
from splatscope.errors import InputError
from splatscope.files import write_bytes, write_json, write_table
from splatscope.geometry import pose_difference, poses_from_columns
from splatscope.images import encode_png, resize_area, to_uint8
from splatscope.recorded_frames import read_camera, read_recorded, read_usable
from splatscope.splats.device import choose_device
from splatscope.splats.gaussians import Gaussians, write_ply
from splatscope.splats.initialise import PointCloud, TrainingView
from splatscope.splats.rasterizer import render
from splatscope.splats.trainer import TrainingResult, train_gaussians
from splatscope.splats.turntable import write_turntable

MIN_VIEWS = 8
STRIP_VIEWS, STRIP_WIDTH = 6, 240  # pictures in heldout.png, and the width of each in px


def train_splat(
    frame_shards: Sequence[Path],
    pose_tables: Sequence[Path],
    camera_files: Sequence[Path],
    valid_masks: Sequence[Path],
    points_ply: Path | None,
    config: SplatConfig,
    seed: int,
    *,
    model_path: Path,
    curve_path: Path,
    summary_path: Path,
    heldout_path: Path,
    turntable_path: Path,
    checkpoint_path: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> None:
    """Train one model on the frames of one or several recordings that share a world.

    Args:
        frame_shards, pose_tables, camera_files, valid_masks: of each recording, in equal order: ingest's frames.tar,
            poses' <recording>.parquet and <recording>.camera.json, ingest's valid.png.
        points_ply: coloured points in the same world, or None.
        model_path: gets the 3DGS .ply.
        curve_path: gets the training curve as csv (iteration, psnr_heldout, count, seconds).
        summary_path: gets figures as json. It holds seconds, so it differs from run to run; the model does not.
        heldout_path: gets a strip of held-out photographs above what the model shows there.
        turntable_path: gets a film (mp4) around the model, from where its cameras stood.
        checkpoint_path: where an interrupted training leaves its state; removed at the end.
        device: "auto", "cpu" or "cuda"; see device.choose_device.

    Raises InputError for fewer than 8 frames with poses, a broken point cloud, or files that do not fit each other.
    """
    place = choose_device(device)
    views, names = [], []
    for files in zip(frame_shards, pose_tables, camera_files, valid_masks, strict=True):
        for name, view in read_views(*files, config.max_width):
            names.append(name)
            views.append(view)
    if len(views) < MIN_VIEWS:
        raise InputError(
            ", ".join(str(path) for path in pose_tables),
            found=f"{len(views)} frames with a valid pose",
            expected=f"at least {MIN_VIEWS}",
            remedy="see poses.json for why frames were refused; record more slowly, with more texture and light",
        )
    points = read_points(points_ply) if points_ply is not None else None
    sources = ", ".join(str(path) for path in frame_shards)
    print(f"training on {len(views)} views from {sources} ({place.type})", flush=True)
    result = train_gaussians(
        views,
        points,
        config,
        seed,
        device=place,
        checkpoint=checkpoint_path,
        threads=threads,
        report=lambda line: print(line, flush=True),
    )
    write_ply(model_path, result.gaussians)
    write_table(curve_path, pd.DataFrame(result.curve))
    write_bytes(heldout_path, encode_png(_heldout_strip(views, result, threads)))
    write_turntable(turntable_path, result.gaussians, views, result.extent, threads)
    write_json(summary_path, _summary(views, names, result, config))
    if checkpoint_path is not None:
        Path(checkpoint_path).unlink(missing_ok=True)


def _summary(views, names, result: TrainingResult, config: SplatConfig) -> dict:
    psnr = result.heldout_psnr
    return {
        "iterations": result.curve[-1]["iteration"],
        "gaussians": len(result.gaussians),
        "training_views": len(views) - len(result.heldout),
        "heldout_views": {names[index]: round(value, 3) for index, value in zip(result.heldout, psnr)},
        "heldout_psnr_mean": float(np.mean(psnr)),
        "heldout_psnr_std": float(np.std(psnr)),
        "image_size": [views[0].camera.width, views[0].camera.height],
        "scene_extent": result.extent,
        "light": None if result.light is None else dict(zip(("falloff", "cone"), result.light)),
        "cameras_moved": _cameras_moved(views, result) if config.pose_refinement else None,
        "seconds": round(result.seconds, 1),
    }


def _cameras_moved(views, result: TrainingResult) -> dict[str, float]:
    """How far pose refinement moved and turned the training cameras, in world units and degrees."""
    trained = [index for index in range(len(views)) if index not in result.heldout]
    distance, angle = pose_difference(
        np.stack([views[index].world_from_camera for index in trained]),
        np.stack([result.world_from_camera[index] for index in trained]),
    )
    return {
        "distance_mean": float(distance.mean()),
        "distance_max": float(distance.max()),
        "angle_mean_deg": float(angle.mean()),
        "angle_max_deg": float(angle.max()),
    }


def read_views(shard: Path, table_path: Path, camera_path: Path, mask_path: Path, max_width: int):
    """(name, TrainingView) for each frame of a recording that has a valid pose, undistorted and reduced."""
    camera = read_camera(camera_path)
    table = pd.read_parquet(table_path)
    table = table[table["valid"].to_numpy(bool)]
    found = zip(table["frame"].astype(int), poses_from_columns(table, "world_from_camera"))
    poses = {f"{index:06d}": pose for index, pose in found if np.isfinite(pose).all()}

    width = min(max_width, camera.width)
    height = max(round(camera.height * width / camera.width), 1)
    mask = read_usable(mask_path, camera, width, height)
    reduced = camera.undistorted().scaled(width, height)
    for frame in read_recorded(shard, camera, poses.keys()):
        image = resize_area(frame.rgb, width, height)
        yield f"{Path(shard).parent.name}/{frame.key}", TrainingView(image, mask, poses[frame.key], reduced)


def read_points(path: Path) -> PointCloud | None:
    """Coloured points of a .ply; None when it holds too few to start from."""
    try:
        vertices = plyfile.PlyData.read(str(path))["vertex"].data
        positions = np.stack([vertices[name] for name in "xyz"], -1).astype(np.float64)
        colors = np.stack([vertices[name] for name in ("red", "green", "blue")], -1).astype(np.float64) / 255
    except (plyfile.PlyParseError, OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            path,
            found=str(error),
            expected="a .ply of points with x y z red green blue",
            remedy="delete the file and run the same command again: the poses stage will make it",
        ) from error
    finite = np.isfinite(positions).all(1)
    return PointCloud(positions[finite], colors[finite]) if finite.sum() >= 10 else None


def _heldout_strip(views: Sequence[TrainingView], result: TrainingResult, threads: int | None) -> np.ndarray:
    """uint8 [H, W, 3]: held-out photographs above, the model's pictures below."""
    count = min(STRIP_VIEWS, len(result.heldout))
    chosen = [result.heldout[index] for index in np.linspace(0, len(result.heldout) - 1, count).round().astype(int)]
    columns = []
    for index in chosen:
        view = views[index]
        height = max(1, math.floor(view.camera.height * STRIP_WIDTH / view.camera.width))
        drawn = to_uint8(_draw(result.gaussians, view, threads))
        columns.append(np.vstack([resize_area(image, STRIP_WIDTH, height) for image in (view.image, drawn)]))
    tallest = max(column.shape[0] for column in columns)
    return np.hstack([np.pad(column, ((0, tallest - len(column)), (0, 0), (0, 0))) for column in columns])


@torch.no_grad()
def _draw(gaussians: Gaussians, view: TrainingView, threads: int | None) -> np.ndarray:
    camera_from_world = torch.from_numpy(np.linalg.inv(view.world_from_camera)).to(gaussians.means)[None]
    intrinsics = torch.from_numpy(view.camera.matrix).to(gaussians.means)[None]
    size = (view.camera.width, view.camera.height)
    return render(gaussians, camera_from_world, intrinsics, *size, threads=threads).color[0].cpu().numpy()

"""The stage's one job: filter, place and write the Gaussians of one tool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from splatscope.config.extract import ExtractConfig
from splatscope.errors import InputError
from splatscope.extract.filters import (
    Plane,
    central_cluster,
    common_view_point,
    isolation,
    long_axis,
    support_plane,
)
from splatscope.extract.picture import before_and_after
from splatscope.extract.placement import Shaft, find_shaft, robust_mean_pose, view_directions
from splatscope.extract.voting import read_masks, vote, voting_views
from splatscope.files import atomic_path, write_json
from splatscope.geometry import Camera, apply, invert, make_transform, poses_from_columns
from splatscope.images import encode_png
from splatscope.recorded_frames import read_camera
from splatscope.splats.device import choose_device
from splatscope.splats.gaussians import Gaussians, read_ply, write_ply

VOTING_WIDTH = 320  # pixels; finer images cost more and say no more about a Gaussian


@dataclass(frozen=True)
class ToolRecording:
    """The valid frames of a tool recording: C frames, world in mm."""

    keys: list[str]
    world_from_camera: np.ndarray  # [C, 4, 4]
    world_from_sensor: np.ndarray  # [S, 4, 4], the frames whose sensor pose is valid
    camera: Camera  # undistorted
    lens: Camera  # the same with what distortion the stored frames still have


@dataclass(frozen=True)
class Extraction:
    """What the filters found, in world mm."""

    kept: np.ndarray  # bool [N]
    counts: list[tuple[str, int]]  # Gaussians left after each step, in order
    plane: Plane | None


def extract_tool(
    tool: str,
    splat_ply: str | Path,
    pose_table: str | Path,
    camera_json: str | Path,
    config: ExtractConfig,
    seed: int,
    *,
    tool_ply: str | Path,
    paper_ply: str | Path,
    report_json: str | Path,
    picture_png: str | Path,
    frames_tar: str | Path | None = None,
    device: str = "cpu",
) -> None:
    """Write the tool's Gaussians from the splat of its recording (world mm).

    `tool_ply`: filtered, labelled 1, in the frame of the tool's sensor (`config.frame`). `paper_ply`: everything within
    `config.paper_radius_mm` of the point the cameras look at, left where it stood in the world. `report_json`: counts
    per filter step, centre, plane, sensor pose and its spread, the tool's tip and shaft, directions it was seen from.
    `picture_png`: three views before and after, over the recording's own frames where `frames_tar` is given.

    Raises InputError when there are no usable poses, when the tool moved, or when a filter leaves nothing.
    """
    gaussians, place = read_ply(splat_ply), choose_device(device)
    recording = read_recording(tool, pose_table, camera_json)
    centre = common_view_point(recording.world_from_camera)
    if centre is None:
        raise InputError(
            pose_table,
            "world_from_camera",
            found="optical axes that are parallel",
            expected="a camera that circles the tool",
            remedy="record the tool again, moving the camera round it",
        )
    world_from_sensor, distances, angles = _sensor_pose(tool, pose_table, recording, centre, config)
    found = select_tool(tool, gaussians, recording, centre, config, seed, splat_ply, place)
    chosen = gaussians.select(found.kept)
    chosen = replace(chosen, labels=torch.ones(len(chosen), dtype=torch.uint8))
    sensor_from_world = invert(world_from_sensor)
    means = chosen.means.double().numpy()
    given_tip = config.tip_mm.get(tool)
    if given_tip is not None:
        given_tip = apply(world_from_sensor, np.array([given_tip]))[0]
    shaft = find_shaft(means, centre, recording.world_from_camera, recording.camera, given_tip)

    paper = gaussians.select(_distance(gaussians, centre) <= config.paper_radius_mm)
    if not len(paper):
        raise _nothing_left(splat_ply, "paper_radius_mm", config.paper_radius_mm, len(gaussians))
    write_ply(tool_ply, chosen.transformed(sensor_from_world))
    write_ply(paper_ply, replace(paper, labels=torch.ones(len(paper), dtype=torch.uint8)))
    picture = before_and_after(gaussians.to(place), chosen.to(place), recording, frames_tar)
    with atomic_path(picture_png) as temporary:
        temporary.write_bytes(encode_png(picture))
    write_json(
        report_json,
        _report(tool, config, recording, centre, found, shaft, world_from_sensor, distances, angles, means, len(paper)),
    )


def read_recording(tool: str, pose_table: str | Path, camera_json: str | Path) -> ToolRecording:
    """The frames of a pose table that have a valid camera pose."""
    table = pd.read_parquet(pose_table)
    world_from_camera = poses_from_columns(table, "world_from_camera")
    usable = table["valid"].to_numpy(bool) & np.isfinite(world_from_camera).all((1, 2))
    if usable.sum() < 3:
        raise InputError(
            pose_table,
            found=f"{usable.sum()} frames with a valid camera pose",
            expected="at least 3",
            remedy="see the stage poses: its table says why frames are not valid",
        )
    sensors = np.empty((0, 4, 4))
    name = f"world_from_{tool}_sensor"
    if f"{name}_qw" in table:
        sensors = poses_from_columns(table, name)
        sensors = sensors[np.isfinite(sensors).all((1, 2))]
    keys = [f"{frame:06d}" for frame in table["frame"].to_numpy()[usable]]
    lens = read_camera(camera_json)
    return ToolRecording(keys, world_from_camera[usable], sensors, lens.undistorted(), lens)


def select_tool(
    tool: str,
    gaussians: Gaussians,
    recording: ToolRecording,
    centre: np.ndarray,
    config: ExtractConfig,
    seed: int,
    source: str | Path = "the splat",
    device: torch.device | str = "cpu",
) -> Extraction:
    """Apply the filters one after the other; each sees only what the one before has left."""
    rng = np.random.default_rng(seed)
    means = gaussians.means.double().numpy()
    scales = np.exp(gaussians.log_scales.double().numpy()).max(1)
    opacity = 1 / (1 + np.exp(-gaussians.opacity_logits.double().numpy()))
    cameras = recording.world_from_camera[:, :3, 3]
    kept = np.ones(len(gaussians), bool)
    counts = [("all", len(gaussians))]

    def keep(step: str, key: str, condition: np.ndarray) -> None:
        nonlocal kept
        before = kept
        kept = kept & condition
        counts.append((step, int(kept.sum())))
        if not kept.any():
            raise _nothing_left(source, key, getattr(config, key), int(before.sum()))

    keep("opaque", "min_opacity", opacity >= config.min_opacity)
    keep("small", "max_scale_mm", scales <= config.max_scale_mm)
    # the support reaches farther than the tool; what lies beyond the cameras' distance is the room
    reach = np.median(np.linalg.norm(cameras - centre, axis=1))
    around = kept & (np.linalg.norm(means - centre, axis=1) < reach)
    plane = support_plane(means[around], centre, cameras, config.plane_tolerance_mm, config.plane_min_share, rng)
    if tool in config.masks:
        share = np.zeros(len(gaussians))
        share[kept] = _vote_share(tool, gaussians.select(kept).to(device), recording, config)
        keep("voted", "vote_fraction", share >= config.vote_fraction)
    keep("near the centre", "radius_mm", np.linalg.norm(means - centre, axis=1) <= config.radius_mm)
    if plane is not None:
        keep("above the support", "plane_tolerance_mm", plane.height(means) > config.plane_tolerance_mm)
    isolated = np.zeros(len(gaussians))
    isolated[kept] = isolation(means[kept], config.outlier_neighbours)
    keep("not isolated", "outlier_ratio", isolated <= config.outlier_ratio * np.median(isolated[kept]) + 1e-9)
    clustered = kept.copy()
    clustered[kept] = central_cluster(
        means[kept], scales[kept], centre, config.cluster_gap_mm, config.cluster_min_share
    )
    keep("central cluster", "cluster_min_share", clustered)
    if config.axis_radius_mm is not None:
        middle, direction, _ = long_axis(means[kept])
        from_axis = np.linalg.norm(np.cross(means - middle, direction), axis=1)
        keep("near the long axis", "axis_radius_mm", from_axis <= config.axis_radius_mm)
    return Extraction(kept, counts, plane)


def _vote_share(tool, gaussians, recording, config) -> np.ndarray:
    """Share [N] of what each Gaussian contributes to the voting images that falls inside the masks; 0 if never seen."""
    source = config.masks[tool]
    masks, poses = read_masks(source, tool), recording.world_from_camera
    views = voting_views(masks, recording.keys, poses, recording.lens, VOTING_WIDTH, config.vote_views, source)
    height, width = views[0][1].shape
    camera = recording.camera.scaled(width, height)
    inside, total = vote(gaussians, camera, views)
    return np.where(total > 0.01, inside / np.maximum(total, 0.01), 0)


def _sensor_pose(tool, pose_table, recording, centre, config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """world_from_sensor [4, 4] and the spread of the recording's sensor poses round it."""
    if config.frame == "centre":
        return make_transform(np.eye(3), centre), np.zeros(1), np.zeros(1)
    if not len(recording.world_from_sensor):
        raise InputError(
            pose_table,
            f"columns world_from_{tool}_sensor_*",
            found="no valid pose of the tool's sensor",
            expected="the tracked pose of the tool in its own recording",
            remedy="give the recording its tracker log, or set extract.frame to 'centre'",
        )
    mean, distances, angles = robust_mean_pose(recording.world_from_sensor)
    for key, values in (("max_sensor_spread_mm", distances), ("max_sensor_spread_deg", angles)):
        spread, limit = float(np.percentile(values, 90)), getattr(config, key)
        if spread > limit:
            raise InputError(
                pose_table,
                f"columns world_from_{tool}_sensor_*",
                found=f"a 90th percentile of {spread:.2f} from the sensor's mean pose",
                expected=f"at most {limit:g}: the tool must not move while the camera circles it",
                remedy=f"record the tool again held still, or raise extract.{key}",
            )
    return mean, distances, angles


def _distance(gaussians: Gaussians, centre: np.ndarray) -> np.ndarray:
    return np.linalg.norm(gaussians.means.double().numpy() - centre, axis=1)


def _nothing_left(source: str | Path, key: str, value: object, before: int) -> InputError:
    return InputError(
        source,
        found=f"no Gaussian left of {before} after the filter extract.{key} = {value}",
        expected="the tool's Gaussians",
        remedy=f"change extract.{key} in the config; extract.json of a run that went well shows usual counts",
    )


def _report(
    tool: str,
    config: ExtractConfig,
    recording: ToolRecording,
    centre: np.ndarray,
    found: Extraction,
    shaft: Shaft,
    world_from_sensor: np.ndarray,
    distances: np.ndarray,
    angles: np.ndarray,
    means: np.ndarray,
    paper_count: int,
) -> dict:
    sensor_from_world = invert(world_from_sensor)
    in_sensor = apply(sensor_from_world, means)
    return {
        "tool": tool,
        "frame": config.frame,
        "counts": [{"step": step, "gaussians": count} for step, count in found.counts],
        "paper_gaussians": paper_count,
        "centre_mm": _rounded(centre),
        "radius_mm": config.radius_mm,
        "plane": found.plane and {"normal": _rounded(found.plane.normal), "offset_mm": round(found.plane.offset, 4)},
        "bounding_box_mm": {"lowest": _rounded(in_sensor.min(0)), "highest": _rounded(in_sensor.max(0))},
        "world_from_sensor": world_from_sensor.tolist(),
        "sensor_poses": len(recording.world_from_sensor),
        "sensor_spread_mm": {"median": float(np.median(distances)), "p90": float(np.percentile(distances, 90))},
        "sensor_spread_deg": {"median": float(np.median(angles)), "p90": float(np.percentile(angles, 90))},
        "tip_mm": _rounded(apply(sensor_from_world, shaft.tip[None])[0]),
        "shaft_direction": _rounded(sensor_from_world[:3, :3] @ shaft.direction),
        "shaft_length_mm": round(shaft.length_mm, 4),
        "view_directions": [
            _rounded(row) for row in view_directions(shaft.tip, sensor_from_world, recording.world_from_camera)
        ],
    }


def _rounded(vector: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in vector]

"""The stage's jobs: a radiance field of a recording, and the scene recording's frames out of such fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.baselines.composing import ToolField, compose_fields, read_tool_field
from splatscope.baselines.field_files import read_field, write_field
from splatscope.baselines.training import Field, TrainingResult, train_radiance_field
from splatscope.compose.scene_list import Scene, SceneHeader, read_scene_list
from splatscope.compositing import instance_map
from splatscope.config.baselines import BaselinesConfig
from splatscope.config.render import RenderConfig
from splatscope.errors import InputError
from splatscope.files import write_json, write_table
from splatscope.render import Labels, drawn_frames, labelled_frame
from splatscope.shards import Frame, write_shard
from splatscope.splats.device import choose_device
from splatscope.splats.stage import MIN_VIEWS, read_points, read_views


def train_baseline(
    kind: str,
    frame_shards: Sequence[Path],
    pose_tables: Sequence[Path],
    camera_files: Sequence[Path],
    valid_masks: Sequence[Path],
    points_ply: Path,
    config: BaselinesConfig,
    seed: int,
    *,
    max_width: int,
    heldout_every: int,
    model_path: Path,
    curve_path: Path,
    summary_path: Path,
    device: str = "cpu",
) -> None:
    """Train a field of `kind` ("ngp", "nerfacto") on exactly what `splats.stage.train_splat` would train on.

    `model_path` gets the field (.safetensors), `curve_path` the training curve (csv), `summary_path` figures (json)
    with the seconds it took, which differ from run to run. Raises InputError as train_splat does.
    """
    place = choose_device(device)
    named = [
        pair
        for files in zip(frame_shards, pose_tables, camera_files, valid_masks, strict=True)
        for pair in read_views(*files, max_width)
    ]
    if len(named) < MIN_VIEWS:
        raise InputError(
            ", ".join(str(path) for path in pose_tables),
            found=f"{len(named)} frames with a valid pose",
            expected=f"at least {MIN_VIEWS}",
            remedy="see poses.json for why frames were refused; record more slowly, with more texture and light",
        )
    names, views = zip(*named)
    points = read_points(points_ply)
    print(f"training {kind} on {len(views)} views ({place.type})", flush=True)
    result = train_radiance_field(
        kind, views, points, config, seed, heldout_every, device=place, report=lambda line: print(line, flush=True)
    )
    write_field(model_path, kind, result.field, config, len(views) - len(result.heldout))
    write_table(curve_path, pd.DataFrame(result.curve))
    write_json(summary_path, _summary(kind, names, result, config))


def _summary(kind: str, names: Sequence[str], result: TrainingResult, config: BaselinesConfig) -> dict:
    values = result.heldout_psnr
    return {
        "kind": kind,
        "iterations": getattr(config, kind).iterations,
        "parameters": sum(parameter.numel() for parameter in result.field.parameters()),
        "light": config.light,
        "training_views": len(names) - len(result.heldout),
        "heldout_views": {names[index]: round(value, 3) for index, value in zip(result.heldout, values)},
        "heldout_psnr_mean": float(np.mean(values)) if values else None,
        "heldout_psnr_std": float(np.std(values)) if values else None,
        "seconds": round(result.seconds, 1),
        "cpu_seconds": round(result.cpu_seconds, 1),
    }


def render_baseline(
    kind: str,
    scenes_parquet: str | Path,
    scenes_json: str | Path,
    shard: int,
    site_model: str | Path,
    tool_files: Mapping[str, tuple[str | Path, str | Path, str | Path]],
    plane_tolerance_mm: float,
    config: RenderConfig,
    *,
    frames_tar: str | Path,
    provenance: dict | None = None,
    device: str = "cpu",
) -> None:
    """Render the frames of one shard of the replay's scene list from radiance fields; labels as those of splats.

    `tool_files` by tool: its recording's field, extract's tool.ply and extract.json. The frames' dataset is
    `replay_<kind>`.
    """
    header, scenes = read_scene_list(scenes_parquet, scenes_json)
    header = replace(header, dataset=f"{header.dataset}_{kind}")
    place = choose_device(device)
    site = read_field(site_model, place)
    tools = {name: read_tool_field(*tool_files[name], plane_tolerance_mm, place) for name in header.tool_classes}

    def draw(scene: Scene) -> Frame:
        return field_frame(scene, header, site, tools, config)

    chosen = [scene for scene in scenes if scene.shard == shard]
    write_shard(frames_tar, drawn_frames(draw, chosen, threads=1), provenance)


def field_frame(
    scene: Scene, header: SceneHeader, site: Field, tools: Mapping[str, ToolField], config: RenderConfig
) -> Frame:
    """One annotated frame of composed fields."""
    camera = header.cameras[scene.recording]
    image, alone = compose_fields(scene, camera, site, tools)
    numbers = np.array([0, *(placement.instance for placement in scene.placements)], np.uint8)
    instances = numbers[instance_map(image.weights, config.mask_threshold)]
    amodal = {
        placement.instance: (alpha > config.mask_threshold) | (instances == placement.instance)
        for placement, alpha in zip(scene.placements, alone)
    }
    return labelled_frame(scene, header, image, Labels(instances, amodal), config)

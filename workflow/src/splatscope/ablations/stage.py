"""One case from poses to figures: compose, disturb, render, compare with the real and the true frames."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.ablations.cases import Setup
from splatscope.ablations.parts import RecordedTool, render_case
from splatscope.ablations.tracker_error import distortion_field, disturb_scene
from splatscope.compose import compose_replay
from splatscope.compose.scene_list import Scene, read_scene_list
from splatscope.compositing import read_splat
from splatscope.config.compose import ComposeConfig
from splatscope.config.evaluate import EvaluateConfig
from splatscope.config.render import RenderConfig
from splatscope.evaluate.overlays import REAL_COLOUR, SYNTHETIC_COLOUR
from splatscope.evaluate.replay import RealRecording, ReplayOutputs, evaluate_replay
from splatscope.files import read_json, write_bytes, write_table
from splatscope.images import draw_outline, encode_png, resize_area
from splatscope.shards import Frame, read_shard, write_shard
from splatscope.splats.device import choose_device


@dataclass(frozen=True)
class CaseFiles:
    """Results of the stages before."""

    pose_tables: Mapping[str, Path]  # by scene recording
    cameras: Mapping[str, Path]  # by scene recording
    poses_json: Path  # holds the hand-eye transform
    real: Mapping[str, RealRecording]  # by scene recording
    site: Path  # splat, world mm
    tools: Mapping[str, Path]  # by tool: tool.ply (sensor's frame), or tool_paper.ply (world) for extraction by radius
    extract_reports: Mapping[str, Path]  # extract.json by tool
    class_table: Path


def run_case(
    setup: Setup,
    files: CaseFiles,
    frames: int,
    compose: ComposeConfig,
    render: RenderConfig,
    evaluate: EvaluateConfig,
    seed: int,
    *,
    rows_parquet: str | Path,
    picture_png: str | Path,
    device: str = "cpu",
) -> None:
    """Write a row per replayed frame (see evaluate_replay) and a picture of the middle one.

    `frames` frames are replayed, the same in every case. Raises InputError as compose_replay and evaluate_replay do.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compose_replay(
            "replay",
            files.pose_tables,
            files.cameras,
            files.extract_reports,
            files.class_table,
            compose.model_copy(update={"replay_frames": frames}),
            seed,
            scenes_parquet=folder / "scenes.parquet",
            scenes_json=folder / "scenes.json",
        )
        header, scenes = read_scene_list(folder / "scenes.parquet", folder / "scenes.json")
        hand_eye = read_json(files.poses_json).get("camera_sensor_from_camera")
        camera_sensor_from_camera = np.eye(4) if hand_eye is None else np.array(hand_eye, np.float64)
        field = distortion_field(setup.error, seed)
        place = choose_device(device)
        site = read_splat(files.site).to(place)
        tools = {}
        for name in header.tool_classes:
            world_from_sensor = np.array(read_json(files.extract_reports[name])["world_from_sensor"], np.float64)
            gaussians = read_splat(files.tools[name]).to(place)
            if setup.parts.extraction == "filters":
                gaussians = gaussians.transformed(world_from_sensor)
            tools[name] = RecordedTool(gaussians, world_from_sensor)

        def draw(scene: Scene) -> Frame:
            told = disturb_scene(scene, setup.error, camera_sensor_from_camera, seed, field)
            return render_case(told, header, site, tools, setup.parts, render)

        write_shard(folder / "frames.tar", (draw(scene) for scene in scenes))
        outputs = [folder / name for name in ("rows.parquet", "rows.csv", "summary.json", "best.png", "worst.png")]
        evaluate_replay([folder / "frames.tar"], files.real, evaluate, ReplayOutputs(*outputs))
        middle = scenes[len(scenes) // 2]
        shown = next(read_shard(folder / "frames.tar", keys={middle.key}))
        write_bytes(picture_png, encode_png(_picture(shown, middle, files.real[middle.recording].truth)))
        write_table(rows_parquet, pd.read_parquet(outputs[0]))


def _picture(frame: Frame, scene: Scene, truth: Path | None) -> np.ndarray:
    """uint8 [H, W, 3]: the frame with the outlines of its mask (blue) and, where known, the true one (orange)."""
    height, width = frame.rgb.shape[:2]
    masks = [(frame.instance_map > 0, SYNTHETIC_COLOUR)]
    if truth is not None:
        for true in read_shard(truth, keys={f"{scene.source_frame:06d}"}, maps=("instance_map",)):
            reduced = resize_area((true.instance_map > 0).astype(np.float32), width, height) > 0.5
            masks.insert(0, (reduced, REAL_COLOUR))
    picture = frame.rgb.copy()
    for mask, colour in masks:
        draw_outline(picture, mask, colour)
    return picture

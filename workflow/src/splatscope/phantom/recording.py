"""One recording: video and tracker log as a user brings them, and the truth apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.phantom import PhantomConfig
from splatscope.files import write_table
from splatscope.geometry import invert, pose_columns
from splatscope.meshes.endoscope import Endoscope
from splatscope.meshes.renderer import Picture, Renderer
from splatscope.phantom.rig import RECORDINGS, TOOL, Rig, make_rig
from splatscope.phantom.stages import Stage, build_stage
from splatscope.phantom.tracker import FieldDistortion, measure, missing_rows, write_log
from splatscope.shards import Frame, write_shard
from splatscope.video import open_video

LABEL_COLOURS = np.random.default_rng(7).integers(60, 255, (256, 3)).astype(np.uint8)
LABEL_COLOURS[0] = 0


def render_recording(
    name: str,
    config: PhantomConfig,
    seed: int,
    video_path: str | Path,
    tracker_path: str | Path,
    truth_frames_path: str | Path,
    truth_poses_path: str | Path,
) -> None:
    """Render one of RECORDINGS: video, tracker log, truth shard (.tar, its .json beside it) and truth poses (.parquet).

    The truth shard of `background` is empty: it has no tool. In the others `rgb` shows the class map in colours.
    """
    rig = make_rig(config, seed)
    stage = build_stage(name, config, rig, seed)
    write_tracker_log(name, config, seed, rig, stage, tracker_path)
    times = np.arange(round(config.duration_s(name) * config.frames_per_second)) / config.frames_per_second
    columns = pose_columns("world_from_camera", stage.world_from_camera(times))
    columns |= pose_columns(f"world_from_{TOOL}", stage.world_from_tool(times))
    write_table(truth_poses_path, pd.DataFrame({"frame": np.arange(len(times)), "time_s": times} | columns))
    frames = _render_frames(name, config, seed, rig, stage, times, video_path)
    write_shard(truth_frames_path, frames, {"licence": "made by splatscope.phantom", "seed": seed})


def write_tracker_log(name: str, config: PhantomConfig, seed: int, rig: Rig, stage: Stage, path: str | Path) -> None:
    """Write the log of both sensors, beginning at tracker time 0 and outlasting the video."""
    offset = rig.clock_offset_s[name]
    count = int((config.duration_s(name) + config.max_clock_offset_s + 0.3) * config.tracker_rate_hz)
    times = np.arange(count) / config.tracker_rate_hz - offset  # in video time
    field = FieldDistortion(seed, config.field_distortion_mm, config.field_distortion_deg)
    sensors = {
        "camera": stage.world_from_camera(times) @ invert(rig.camera_sensor_from_camera),
        TOOL: stage.world_from_tool(times) @ invert(rig.tool_sensor_from_tool),
    }
    readings = {}
    for index, (sensor, poses) in enumerate(sensors.items()):
        rng = np.random.default_rng([seed, 503, RECORDINGS.index(name), index])
        readings[sensor] = poses if np.isnan(poses).any() else measure(poses, config, field, rng)
        readings[sensor] = np.where(missing_rows(count, config, rng)[:, None, None], np.nan, readings[sensor])
    write_log(path, config.tracker_rate_hz, readings, seed)


def _render_frames(
    name: str, config: PhantomConfig, seed: int, rig: Rig, stage: Stage, times: np.ndarray, video_path: str | Path
) -> Iterator[Frame]:
    endoscope = Endoscope(rig.camera, config.supersampling, config.image_noise, seed * 16 + RECORDINGS.index(name))
    filmed, exact = Renderer(stage.scene, endoscope.fine), Renderer(stage.scene, rig.camera.undistorted())
    size = (config.width, config.height, config.frames_per_second, config.video_crf)
    with open_video(video_path, *size) as append:
        for index, time in enumerate(times):
            pose = stage.scene_from_camera(time)
            if stage.scene_from_tool is not None:
                stage.scene.set_pose(TOOL, stage.scene_from_tool(time))
            append(endoscope.expose(filmed.render(pose, labels=False).radiance))
            if stage.scene_from_tool is not None:
                yield _truth_frame(index, time, exact.render(pose, colour=False))
            if index % 60 == 0:
                print(f"{name}: frame {index} of {len(times)}", flush=True)


def _truth_frame(index: int, time_s: float, picture: Picture) -> Frame:
    return Frame(
        f"{index:06d}",
        LABEL_COLOURS[picture.class_map],
        {"frame": index, "time_s": float(time_s)},
        class_map=picture.class_map,
        instance_map=picture.instance_map,
        amodal_bits=picture.amodal_bits,
        depth_mm=picture.depth_mm,
    )

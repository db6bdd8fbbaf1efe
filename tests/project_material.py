"""A small project as a user has it: recordings of any names, and results that were really rendered and annotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ingest_material import CAMERA as VIDEO_CAMERA
from ingest_material import hand_held_video, tracked_poses, write_toolbox_log
from splat_samples import CAMERA, box_points, gaussians_at, plane_splat
from splatscope.annotate import annotate_dataset
from splatscope.compose.scene_list import Placement, Scene, SceneHeader, write_scene_list
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.render import RenderConfig
from splatscope.digests import settings_digest
from splatscope.files import write_json
from splatscope.geometry import look_at, make_transform
from splatscope.records import Records
from splatscope.render import render_shard
from splatscope.splats.gaussians import write_ply

FRAMES = 4
CLASSES = {"background": 0, "needle driver": 14, "ignore": 255}


def write_results(results: Path, dataset: str = "sampled", shift_mm: float = 0.0) -> Path:
    """Splats, a scene list, its shard and its dataset, recorded; the dataset's folder."""
    rng = np.random.default_rng(5)
    site = results / "splat" / "site" / "model.ply"
    tool = results / "extract" / "needle_driver" / "tool.ply"
    for file in (site, tool):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_ply(site, plane_splat(np.random.default_rng(0), 900, 100, scale=6.0))
    write_ply(tool, gaussians_at(box_points(rng, 600, [-30, -6, -1], [30, 6, 1]), 1.0, (0.8, 0.8, 0.9)))
    above = look_at(np.array([0.0, 0, 100]), np.zeros(3), np.array([0.0, 1, 0]))
    scenes = [
        Scene(
            index,
            0,
            11 + index,
            above,
            (Placement("needle_driver", 1, 14, make_transform(np.eye(3), [4.0 * index + shift_mm, 0, 20])),),
            "background",
        )
        for index in range(FRAMES)
    ]
    header = SceneHeader(dataset, "exact", {"background": CAMERA}, {"needle_driver": "needle driver"})
    compose = results / "compose"
    write_scene_list(compose / f"{dataset}.parquet", compose / f"{dataset}.json", header, scenes)
    shard = results / "render" / dataset / "shard_000000.tar"
    config = RenderConfig()
    render_shard(
        compose / f"{dataset}.parquet",
        compose / f"{dataset}.json",
        0,
        site,
        {"needle_driver": tool},
        config,
        frames_tar=shard,
        provenance={
            "rule": "render_shard",
            "seed": 0,
            "config_digest": settings_digest(config.model_dump(mode="json")),
        },
    )
    folder = results / "dataset" / dataset
    annotate_dataset([shard], CLASSES, AnnotateConfig(), folder, name=dataset)
    records = Records(results)
    for file in (site, tool, shard, shard.with_suffix(".json")):
        records.add(file, "render_shard")
    for file in ("annotations.json", "manifest.json"):
        records.add(folder / file, "annotate_dataset")
    return folder


def write_recordings(folder: Path, seconds: tuple[float, float, float] = (2.0, 2.6, 1.4)) -> Path:
    """Three videos, three tracker logs and a calibration under names that tell nothing: site, tool alone, both."""
    folder.mkdir(parents=True)
    for number, length in enumerate(seconds, start=1):
        hand_held_video(folder / f"IMG_{40 + number}.mp4", length, seed=number)
        time_s = np.arange(-0.2, length + 0.2, 1 / 40)
        camera = tracked_poses(time_s, 0.05, seed=number)
        tool = np.full_like(camera, np.nan)
        if number == 2:  # it lies on the table
            tool[:] = make_transform(np.eye(3), [30.0, -20, -300])
        if number == 3:
            tool[:] = make_transform(np.eye(3), [30.0, -20, -300])
            tool[:, 0, 3] += 40 * np.sin(4 * time_s)
        write_toolbox_log(folder / f"log{chr(64 + number)}.csv", time_s + 0.2, {"scope": camera, "needle_driver": tool})
    camera = VIDEO_CAMERA
    matrix = camera.opencv_matrix.tolist()
    calibration = {"image_width": camera.width, "image_height": camera.height, "camera_matrix": matrix}
    write_json(folder / "lens.json", calibration | {"distortion_coefficients": [0.0, 0, 0, 0]})
    return folder

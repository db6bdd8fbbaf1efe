"""A small folder of results as `splatscope view` reads it: a site, a tool and two recordings."""

import json

import numpy as np

from splat_samples import (
    CAMERA,
    SENSOR,
    circling_cameras,
    extract_report,
    gaussians_at,
    plane_splat,
    tool_in_world,
    write_recording,
)
from splatscope.config.compose import ComposeConfig, RecipeConfig
from splatscope.geometry import invert
from splatscope.shards import Frame, write_shard
from splatscope.splats.gaussians import concatenate, write_ply

# a recipe that the small pictures can meet
CONFIG = ComposeConfig(
    width=CAMERA.width,
    height=CAMERA.height,
    recipe=RecipeConfig(
        frames=4,
        tools_per_frame={1: 1.0},
        min_area_px=30,
        min_depth_mm=10.0,
        shaft_leaves_image=False,
        camera_limit_mm=12.0,
    ),
)
SCENE_ROWS = 12


def write_viewable(folder):
    """Returns the folder, filled."""
    rng = np.random.default_rng(0)
    (folder / "splat" / "site").mkdir(parents=True)
    spots = gaussians_at(np.column_stack([rng.uniform(-40, 40, (200, 2)), np.full(200, 1.0)]), 3.0, (0.9, 0.8, 0.3))
    write_ply(folder / "splat/site/model.ply", concatenate([plane_splat(rng, 900, 120, scale=7.0), spots]))
    (folder / "extract" / "needle_driver").mkdir(parents=True)
    write_ply(folder / "extract/needle_driver/tool.ply", tool_in_world(rng, 300).transformed(invert(SENSOR)))
    extract_report(folder / "extract/needle_driver/extract.json")
    cameras = np.concatenate([circling_cameras([x, 0, 0], 90, 12, (60, 75)) for x in (-10, 10)])
    sensors = np.repeat(SENSOR[None], SCENE_ROWS, axis=0)
    sensors[:, 2, 3] -= np.linspace(20, 40, SCENE_ROWS)
    write_recording(folder / "poses", "background", cameras)
    write_recording(folder / "poses", "scene", cameras[:SCENE_ROWS], {"needle_driver": sensors})
    write_recording(folder / "poses", "needle_driver", cameras, {"needle_driver": np.repeat(SENSOR[None], 24, axis=0)})
    for name, role in (("background", "background"), ("scene", "scene"), ("needle_driver", "tool")):
        (folder / "ingest" / name).mkdir(parents=True)
        (folder / "ingest" / name / "ingest.json").write_text(json.dumps({"role": role}))
    write_shard(
        folder / "ingest/scene/frames.tar",
        [Frame(f"{3 * row:06d}", np.full((64, 80, 3), 10 * row, np.uint8), {}) for row in range(SCENE_ROWS)],
    )
    return folder

"""A small dataset for tests of exports: two shards of 128x96 frames, a needle driver with a sensor in some pieces and
with a hole, a simulated grasper with keypoints, tissue around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import fake_results as fake
from splatscope.annotate import annotate_dataset
from splatscope.config.annotate import AnnotateConfig
from splatscope.geometry import invert, look_at
from splatscope.shards import Frame, write_shard

CLASS_TABLE = {"background": 0, "liver": 2, "grasper": 5, "cystic artery": 13, "needle driver": 14, "ignore": 255}
LENS = replace(fake.CAMERA, distortion=(-0.2, 0.03, 0.001, -0.002))
KEYPOINTS = {"tip": [14.25, 12.5, 2], "jaw_left": [19.5, 10.5, 1], "jaw_right": [0.0, 0.0, 0]}


def frame(index: int, camera=fake.CAMERA, key: str | None = None) -> Frame:
    """A frame with two tools, and every third one with none."""
    made = fake.frame(index, second=True, key=key)
    driver = made.instance_map == 1
    rows, columns = np.nonzero(driver)
    middle = len(rows) // 2
    hole = np.zeros_like(driver)
    hole[rows[middle] : rows[middle] + 2, columns[middle] : columns[middle] + 3] = True
    made.instance_map[hole & driver] = made.class_map[hole & driver] = 0
    tissue = made.class_map == 0
    made.class_map[tissue] = 2
    made.class_map[:4][tissue[:4]] = 13
    made.class_map[-4:][tissue[-4:]] = 0
    made.class_map[0, :5] = 255
    made.depth_mm[:] = np.round(60 + np.arange(made.depth_mm.size).reshape(made.depth_mm.shape) * 0.005, 2)
    made.depth_mm[:3] = 0
    if index % 3 == 2:
        made.class_map[made.instance_map > 0] = 2
        made.instance_map[:], made.amodal_bits[:] = 0, 0
        made.meta["instances"] = []
    else:
        world_from_tool = look_at(np.array([2.0, index, -6]), np.array([1.0, 2, 30]), fake.UP)
        grasper = made.meta["instances"][1]
        del grasper["world_from_tool_sensor"]
        pose = invert(np.array(made.meta["world_from_camera"])) @ world_from_tool
        grasper |= {"name": "left grasper", "camera_from_tool": pose.tolist(), "keypoints": KEYPOINTS}
        # turned, so that a transposed rotation is another one
        made.meta["instances"][0]["world_from_tool_sensor"] = look_at(
            np.array([3.0, index, 10]), np.array([20.0, 7, 90]), fake.UP
        ).tolist()
    made.meta |= {"camera": camera.to_dict(), "phase": "preparation", "time_s": index / 30}
    return made


def write_dataset(
    results: Path, name: str = "sampled", camera=fake.CAMERA, config: dict | None = None, lengths=(6, 6)
) -> list[Path]:
    """results/dataset/<name>, and the shards it was made from, which are returned."""
    shards = [results / f"render/{name}/shard_{number:06d}.tar" for number in range(len(lengths))]
    for number, shard in enumerate(shards):
        frames = [frame(6 * number + index, camera, key=f"{index:06d}") for index in range(lengths[number])]
        write_shard(shard, frames, {"licences": {"needle_driver": "CC0"}})
    settings = AnnotateConfig(min_area_px=5, min_visibility=0.01, split_block_frames=3, **(config or {}))
    annotate_dataset(shards, CLASS_TABLE, settings, results / "dataset" / name, name=name, seed=3)
    return shards


def assert_equal_but_for_bridges(found: np.ndarray, mask: np.ndarray) -> None:
    """A polygon is of one piece: between the pieces of a mask [H, W] there may be lines, one pixel wide."""
    extra = found.astype(bool) & ~mask
    assert found[mask].all()
    assert extra.any() <= (cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] > 2)
    assert not cv2.erode(extra.astype(np.uint8), np.ones((2, 2))).any()

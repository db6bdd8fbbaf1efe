"""BOP, the format of the benchmark for 6D object pose estimation (scenewise), in mm and OpenCV's camera axes.

    camera.json, dataset_info.md, objects.json
    models/obj_000001.ply, models_info.json                   of recorded tools, where their splats lie in the results
    train|val/000000/scene_camera.json, scene_gt.json, scene_gt_info.json
                     rgb/000012.png, depth/000012.png
                     mask/000012_000000.png, mask_visib/000012_000000.png

A scene is a shard. BOP knows no lens distortion: images, depth and masks of a distorting lens are undistorted. Its
boxes end at the last pixel, not after it (width = last - first), as its toolkit computes them. Silhouettes end at the
image's border, where those of its toolkit go on.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.exports.bop_models import write_models
from splatscope.exports.depth import images_with_depth
from splatscope.exports.source import Dataset, Image, Instance
from splatscope.exports.written import Advance, Written, write_json
from splatscope.geometry import Camera, invert
from splatscope.images import encode_png, undistort
from splatscope.shards import DEPTH_UNIT_MM

SCENE_FILES = ("scene_camera", "scene_gt", "scene_gt_info")
Object = tuple[int, str]
"""What has a model of its own: class id, and name of a recorded tool; a simulated one's is that of its class."""


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    objects = list_objects(dataset)
    scenes = {shard: number for number, shard in enumerate(sorted({image.shard for image in dataset.images}))}
    tables: dict[Path, dict[str, dict]] = defaultdict(lambda: {name: {} for name in SCENE_FILES})
    annotations = 0
    for image, depth in images_with_depth(dataset):
        scene = folder / image.split / f"{scenes[image.shard]:06d}"
        tables[scene]["scene_camera"][str(int(image.key))] = scene_camera(dataset, image)
        poses, described = _write_frame(dataset, image, depth, scene, objects)
        tables[scene]["scene_gt"][str(int(image.key))] = poses
        tables[scene]["scene_gt_info"][str(int(image.key))] = described
        annotations += len(poses)
        advance()
    for scene, documents in tables.items():
        for name, content in documents.items():
            write_json(scene / f"{name}.json", content)
    camera = _camera(dataset, dataset.images[0])
    sides = {"width": camera.width, "height": camera.height}
    matrix = camera.opencv_matrix
    intrinsics = {"fx": matrix[0, 0], "fy": matrix[1, 1], "cx": matrix[0, 2], "cy": matrix[1, 2]}
    write_json(folder / "camera.json", sides | intrinsics | {"depth_scale": DEPTH_UNIT_MM}, indent=2)
    modelled = write_models(dataset, folder / "models", objects)
    described = {
        str(number): {
            "class": dataset.categories[category],
            "tool": name or None,
            "axes": "of its tracker sensor" if name else "of the simulated instrument, whose joints move",
            "model": number in modelled,
        }
        for (category, name), number in objects.items()
    }
    write_json(folder / "objects.json", described, indent=2)
    (folder / "dataset_info.md").write_text(f"# {dataset.name}\n\nSee README.md and objects.json.\n")
    files = {
        "`train/`, `val/`": "a folder a scene (shard): `rgb/`, `mask/`, `mask_visib/`, "
        + ("`depth/`, " if dataset.with_depth else "")
        + "`scene_camera.json`, `scene_gt.json`, `scene_gt_info.json`",
        "`objects.json`": "what the object numbers mean",
        "`models/`": "point clouds (mm) of recorded tools, as far as they were at hand",
    }
    return Written(annotations, files)


def list_objects(dataset: Dataset) -> dict[Object, int]:
    """BOP's object numbers, from 1. Raises InputError when nothing has a pose."""
    posed = (instance for image in dataset.images for instance in image.instances if _has_pose(instance))
    objects = {found: number for number, found in enumerate(sorted({_object(instance) for instance in posed}), 1)}
    if not objects:
        raise InputError(
            dataset.folder,
            found="no instrument whose pose is known",
            expected="poses: BOP is about nothing else",
            remedy="export another format",
        )
    return objects


def scene_camera(dataset: Dataset, image: Image) -> dict:
    """The image's entry in scene_camera.json."""
    entry = {"cam_K": _row_major(_camera(dataset, image).opencv_matrix), "depth_scale": DEPTH_UNIT_MM}
    if image.world_from_camera is not None:
        entry |= _pose("w2c", invert(image.world_from_camera))
    return entry


def _write_frame(
    dataset: Dataset, image: Image, depth: np.ndarray | None, scene: Path, objects: dict[Object, int]
) -> tuple[list[dict], list[dict]]:
    """Its entries in scene_gt.json and scene_gt_info.json."""
    camera, number = _camera(dataset, image), int(image.key)
    for name in ("rgb", "mask", "mask_visib", *(("depth",) if depth is not None else ())):
        (scene / name).mkdir(parents=True, exist_ok=True)
    picture = scene / "rgb" / f"{number:06d}.png"
    if image.suffix == ".png" and not camera.distortion:
        dataset.copy(image.file_name, picture)
    else:
        picture.write_bytes(encode_png(undistort(dataset.picture(image), camera)))
    if depth is not None:
        depth = undistort(depth, camera, nearest=True)
        (scene / "depth" / f"{number:06d}.png").write_bytes(encode_png(depth))
    poses, described = [], []
    for instance in filter(_has_pose, image.instances):
        masks = {"mask": instance.amodal, "mask_visib": instance.visible}
        for name, mask in masks.items():
            masks[name] = undistort(mask.astype(np.uint8), camera, nearest=True) > 0
            file = scene / name / f"{number:06d}_{len(poses):06d}.png"
            file.write_bytes(encode_png(masks[name].astype(np.uint8) * 255))
        poses.append({"obj_id": objects[_object(instance)]} | _pose("m2c", instance.camera_from_object))
        described.append(_describe(masks["mask"], masks["mask_visib"], depth))
    return poses, described


def _describe(whole: np.ndarray, visible: np.ndarray, depth: np.ndarray | None) -> dict:
    seen, silhouette = int(visible.sum()), int(whole.sum())
    return {
        "px_count_all": silhouette,
        "px_count_valid": 0 if depth is None else int((depth[whole] > 0).sum()),
        "px_count_visib": seen,
        "visib_fract": seen / max(1, silhouette),
        "bbox_obj": _box(whole) if seen else [-1] * 4,
        "bbox_visib": _box(visible) if seen else [-1] * 4,
    }


def _box(mask: np.ndarray) -> list[int]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    corner = columns[0], rows[0]
    return [int(value) for value in (*corner, columns[-1] - corner[0], rows[-1] - corner[1])]


def _pose(name: str, transform: np.ndarray) -> dict:
    return {f"cam_R_{name}": _row_major(transform[:3, :3]), f"cam_t_{name}": transform[:3, 3].tolist()}


def _row_major(matrix: np.ndarray) -> list[float]:
    return matrix.ravel(order="C").tolist()


def _has_pose(instance: Instance) -> bool:
    return instance.camera_from_object is not None


def _object(instance: Instance) -> Object:
    return instance.category, instance.name if instance.has_sensor else ""


def _camera(dataset: Dataset, image: Image) -> Camera:
    if image.camera is None:
        raise InputError(
            dataset.folder / "poses.json",
            f"image {image.name}",
            found="no camera",
            expected="the camera's intrinsics",
            remedy="export another format, or render the frames anew",
        )
    return image.camera

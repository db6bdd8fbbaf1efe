"""Hugging Face `datasets`: parquet files with the images in them, and a card whose head names files and features.

`datasets.load_dataset(folder)` reads it, and so does the Hub when the folder is uploaded as it stands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from splatscope.exports.source import Dataset, Image, Instance
from splatscope.exports.written import Advance, Written

SPLIT_NAMES = {"train": "train", "val": "validation"}  # here, there
IMAGES_A_FILE = 1000
IMAGES_A_GROUP = 100  # read at once: what the library itself takes for images


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    import datasets  # here, because it takes seconds
    from huggingface_hub import DatasetCardData

    features = _features(dataset)
    (folder / "data").mkdir()
    sizes, paths = datasets.SplitDict(), []
    for split, name in SPLIT_NAMES.items():
        images = dataset.split(split)
        count = -(-len(images) // IMAGES_A_FILE)
        for number in range(count):
            path = folder / "data" / f"{name}-{number:05d}-of-{count:05d}.parquet"
            part = images[number * IMAGES_A_FILE : (number + 1) * IMAGES_A_FILE]
            _write_parquet(path, features, dataset, part, advance)
        if images:
            sizes.add(datasets.SplitInfo(name, num_examples=len(images)))
            paths.append({"split": name, "path": f"data/{name}-*"})
    head = DatasetCardData()
    about = datasets.DatasetInfo(features=features, splits=sizes)
    datasets.info.DatasetInfosDict({"default": about}).to_dataset_card_data(head)
    files = {
        "`data/*.parquet`": "a row an image: the image, its class and instance masks, `objects`, camera and pose (mm); "
        "`objects.category` counts the categories from 0, the class mask holds class ids"
    }
    configs = [{"config_name": "default", "data_files": paths}]
    return Written(dataset.annotations, files, head.to_dict() | {"configs": configs})


def _features(dataset: Dataset) -> Any:
    """The columns, as `datasets.Features`."""
    from datasets import ClassLabel, Features, List, Value
    from datasets import Image as Picture

    matrix = List(List(Value("float64"), length=4), length=4)
    objects = {
        "id": Value("int64"),
        "category": ClassLabel(names=list(dataset.categories.values())),
        "name": Value("string"),
        "instance": Value("uint8"),
        "bbox": List(Value("float32"), length=4),
        "area": Value("int64"),
        "visibility": Value("float32"),
        "amodal_rle": Value("string"),
        "camera_from_object": matrix,
    }
    if dataset.keypoint_names:
        objects["keypoints"] = List(List(Value("float32"), length=3), length=len(dataset.keypoint_names))
    numbers = {key: Value("float64") for key in ("fx", "fy", "cx", "cy")}
    return Features(
        {
            "image": Picture(),
            "image_id": Value("int64"),
            "file_name": Value("string"),
            "width": Value("int32"),
            "height": Value("int32"),
            "time_s": Value("float64"),
            "phase": Value("string"),
            "triplets": List(List(Value("string"))),
            "class_mask": Picture(),
            "instance_mask": Picture(),
            "objects": {key: List(feature) for key, feature in objects.items()},
            "camera": {**numbers, "distortion": List(Value("float64"))},
            "world_from_camera": matrix,
        }
    )


def _write_parquet(path: Path, features: Any, dataset: Dataset, images: list[Image], advance: Advance) -> None:
    schema = features.arrow_schema
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, len(images), IMAGES_A_GROUP):
            rows = []
            for image in images[start : start + IMAGES_A_GROUP]:
                rows.append(_row(dataset, image, list(features["objects"])))
                advance()
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _row(dataset: Dataset, image: Image, object_columns: list[str]) -> dict:
    def picture(file: str) -> dict:
        return {"bytes": dataset.read(file), "path": Path(file).name}

    camera = None
    if image.camera is not None:
        camera = {key: getattr(image.camera, key) for key in ("fx", "fy", "cx", "cy")}
        camera["distortion"] = list(image.camera.distortion)
    objects = [_object(dataset, instance) for instance in image.instances]
    return {
        "image": picture(image.file_name),
        "image_id": image.id,
        "file_name": Path(image.file_name).name,
        "width": image.width,
        "height": image.height,
        "time_s": image.entry.get("time_s"),
        "phase": image.entry.get("phase"),
        "triplets": image.entry.get("triplets"),
        "class_mask": picture(f"masks/class/{image.name}.png"),
        "instance_mask": picture(f"masks/instance/{image.name}.png"),
        "objects": {column: [entry[column] for entry in objects] for column in object_columns},
        "camera": camera,
        "world_from_camera": None if image.world_from_camera is None else image.world_from_camera.tolist(),
    }


def _object(dataset: Dataset, instance: Instance) -> dict:
    pose = instance.camera_from_object
    return {
        "id": instance.entry["id"],
        "category": list(dataset.categories).index(instance.category),
        "name": instance.name,
        "instance": instance.number,
        "bbox": list(instance.box),
        "area": instance.area,
        "visibility": instance.visibility,
        "amodal_rle": instance.entry["amodal_segmentation"]["counts"],
        "camera_from_object": None if pose is None else pose.tolist(),
        "keypoints": dataset.keypoints_of(instance).tolist(),
    }

"""COCO: the images by split, and annotation files as its API and detectors' loaders expect them.

Boxes, areas, run-length masks and keypoints are COCO's; what it has no field for stays under keys of its own, which
readers pass over (see `annotate.coco`).
"""

from __future__ import annotations

from pathlib import Path

from splatscope.exports.source import SPLITS, Dataset, Image
from splatscope.exports.written import Advance, Written, write_json


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    for split in SPLITS:
        images = dataset.split(split)
        (folder / split).mkdir()
        for image in images:
            dataset.copy(image.file_name, folder / split / Path(image.file_name).name)
            advance()
        write_json(folder / f"annotations/instances_{split}.json", instances_document(dataset, images))
        if dataset.keypoints:
            write_json(folder / f"annotations/keypoints_{split}.json", keypoints_document(dataset, images))
    files = {
        "`train/`, `val/`": "the images",
        "`annotations/instances_*.json`": "COCO: boxes, RLE masks, area, keypoints; `visibility`, "
        "`amodal_segmentation`, `instance` and poses (4x4, mm) under keys of their own",
    }
    if dataset.keypoints:
        files["`annotations/keypoints_*.json`"] = "the same, of instruments with keypoints alone"
    return Written(dataset.annotations, files)


def instances_document(dataset: Dataset, images: list[Image]) -> dict:
    """The COCO document of these images, which are named without a folder."""
    return dataset.coco | {
        "images": [image.entry | {"file_name": Path(image.file_name).name} for image in images],
        "annotations": [instance.entry for image in images for instance in image.instances],
    }


def keypoints_document(dataset: Dataset, images: list[Image]) -> dict:
    """The same of what has keypoints: COCO's keypoint files have them for every category and annotation."""
    document = instances_document(dataset, images)
    return document | {
        "categories": [category for category in document["categories"] if category["id"] in dataset.keypoints],
        "annotations": [entry for entry in document["annotations"] if entry.get("keypoints")],
    }

"""The dataset's pictures with switchable labels, and its statistics."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from pycocotools import mask as coco_mask

from splatscope.config.report import ReportConfig
from splatscope.files import read_json
from splatscope.images import decode_image, to_uint8
from splatscope.report import plots
from splatscope.report.pictures import embed, outline_path

COVERAGE_WIDTH = 160  # pixels of the map of where instruments are


def dataset_section(name: str, folder: Path, config: ReportConfig) -> dict:
    """Counts, gallery and plots of a dataset folder made by annotate."""
    manifest, coco = read_json(folder / "manifest.json"), read_json(folder / "annotations.json")
    statistics = manifest["statistics"]
    by_image: dict[int, list[dict]] = {}
    for annotation in coco["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    categories = {category["id"]: category["name"] for category in coco["categories"]}
    return {
        "name": name,
        "counts": manifest["counts"],
        "sizes": statistics["image_sizes"],
        "classes": statistics["classes"],
        "frames": [
            _gallery_frame(image, by_image.get(image["id"], []), categories, folder, config)
            for image in _evenly(coco["images"], config.gallery_frames)
        ],
        "plots": {
            "Visibility of the instances": plots.histogram_plot(
                statistics["visibility"]["edges"], statistics["visibility"]["counts"], "visible fraction", "instances"
            ),
            "Size of the instances": plots.histogram_plot(
                statistics["area_percent"]["edges"],
                statistics["area_percent"]["counts"],
                "visible area, % of the image",
                "instances",
            ),
            "Instances by class": plots.bar_plot(
                {label: row["annotations"] for label, row in statistics["classes"].items()} or {"none": 0}, "instances"
            ),
        },
        "coverage": _coverage(coco, config) if coco["annotations"] else None,
    }


def _evenly(items: list, count: int) -> list:
    if not items or not count:
        return []
    return [items[index] for index in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def _gallery_frame(image: dict, annotations: list[dict], categories: dict, folder: Path, config: ReportConfig) -> dict:
    pixels = decode_image((folder / image["file_name"]).read_bytes(), image["file_name"])
    # a mask is drawn at the size shown: finer outlines would only make the page bigger
    tolerance = max(0.4, 0.4 * image["width"] / config.thumbnail_width)
    return {
        "name": Path(image["file_name"]).stem,
        "width": image["width"],
        "height": image["height"],
        "picture": embed(pixels, config.jpeg_quality, config.thumbnail_width),
        "labels": [
            {
                "class": categories[annotation["category_id"]],
                "colour": (annotation["instance"] - 1) % 6 + 1,
                "visible": outline_path(annotation["segmentation"], tolerance),
                "amodal": outline_path(annotation["amodal_segmentation"], tolerance),
                "box": annotation["bbox"],
                "visibility": annotation["visibility"],
            }
            for annotation in annotations
        ],
    }


def _coverage(coco: dict, config: ReportConfig) -> dict:
    """How often each place of the image shows an instrument, as a heat map over all images of the first one's size."""
    first = coco["images"][0]
    same = {
        image["id"]
        for image in coco["images"]
        if (image["width"], image["height"]) == (first["width"], first["height"])
    }
    total = np.zeros((first["height"], first["width"]), np.float32)
    for annotation in coco["annotations"]:
        if annotation["image_id"] in same:
            total += coco_mask.decode(annotation["segmentation"])
    share = total / len(same)
    picture = to_uint8(matplotlib.colormaps["viridis"](share / share.max())[..., :3])
    return {"picture": embed(picture, config.jpeg_quality, 2 * COVERAGE_WIDTH), "highest": float(100 * share.max())}

"""Counts and distributions of a dataset."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from pycocotools import mask as coco_mask

from splatscope.config.report import ReportConfig
from splatscope.files import read_json
from splatscope.images import to_uint8
from splatscope.report import plots
from splatscope.report.pictures import embed

COVERAGE_WIDTH = 160  # pixels of the map of where instruments are


def dataset_section(name: str, folder: Path, config: ReportConfig) -> dict:
    """Counts and plots of a dataset folder made by annotate."""
    manifest, coco = read_json(folder / "manifest.json"), read_json(folder / "annotations.json")
    statistics = manifest["statistics"]
    return {
        "name": name,
        "counts": manifest["counts"],
        "sizes": statistics["image_sizes"],
        "classes": statistics["classes"],
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

"""Datasets, COCO files and whole folders of results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from splatscope.files import read_json
from splatscope.inspection.coco import Coco, Image, draw_annotated, image_file, read_coco
from splatscope.inspection.description import Description, plain, rounded, value_range, wrong_kind
from splatscope.inspection.pictures import sheet, spread
from splatscope.records import DIGESTS


def describe_dataset(folder: Path) -> Description:
    """A dataset that annotate made."""
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        raise wrong_kind(folder / "manifest.json", f"a {type(manifest).__name__}", "the manifest of a dataset")
    coco = read_coco(folder / "annotations.json")
    facts = {"name": plain(manifest.get("name"))} | coco_facts(coco)
    facts["counts"] = plain(manifest.get("counts", {}))
    facts["settings"] = plain(manifest.get("settings", {}))
    facts["provenance"] = plain(manifest.get("provenance", {}))
    files = manifest.get("files")
    facts["files"] = len(files) if isinstance(files, dict) else None
    facts["check"] = "splatscope verify compares every file with the manifest"
    return Description("dataset", facts, lambda: draw_coco(folder, coco))


def describe_coco(file: Path, coco: Coco) -> Description:
    """A COCO file; it can be drawn when its images lie beside it."""
    beside = bool(coco.images) and image_file(file.parent, coco.images[0]).is_file()
    return Description("COCO annotations", coco_facts(coco), (lambda: draw_coco(file.parent, coco)) if beside else None)


def coco_facts(coco: Coco) -> dict:
    """Counts, and ranges of what annotations state."""
    by_image = coco.by_image()
    sizes = {image.id: image.width * image.height for image in coco.images}
    area = [
        one.area / sizes[one.image_id] for one in coco.annotations if one.area is not None and one.image_id in sizes
    ]
    box = [np.sqrt(max(0, one.bbox[2] * one.bbox[3])) for one in coco.annotations]
    visible = [one.visibility for one in coco.annotations if one.visibility is not None]
    depth = [pose[2, 3] for one in coco.annotations if (pose := one.camera_from_any_tool) is not None]
    counts = Counter(one.category_id for one in coco.annotations)
    facts = {
        "images": len(coco.images),
        "annotations": len(coco.annotations),
        "images_without_annotations": sum(not by_image.get(image.id) for image in coco.images),
        "image_sizes_px": dict(Counter(f"{image.width}x{image.height}" for image in coco.images)),
        "annotations_by_class": {name: counts[number] for number, name in coco.names().items()},
        "box_side_px": value_range(box),
    }
    facts |= {"area_share": value_range(area)} if area else {}
    facts |= {"visibility": value_range(visible)} if visible else {}
    return facts | ({"tool_distance_mm": value_range(depth)} if depth else {})


def draw_coco(folder: Path, coco: Coco) -> np.ndarray:
    """uint8 [H, W, 3]: images spread evenly over the dataset, with their labels."""
    return draw_images(folder, coco, [coco.images[index] for index in spread(len(coco.images))])


def draw_images(folder: Path, coco: Coco, images: list[Image]) -> np.ndarray:
    by_image = coco.by_image()
    return sheet([draw_annotated(folder, image, by_image.get(image.id, [])) for image in images])


def describe_results(results: Path) -> Description:
    """What a run has made: files and bytes of each stage, datasets, headline figures."""
    stages = {}
    for stage in sorted(entry for entry in results.iterdir() if entry.is_dir() and entry.name != DIGESTS):
        files = [file for file in stage.rglob("*") if file.is_file()]
        stages[stage.name] = f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
    facts: dict = {"stages": stages}
    facts["datasets"] = [folder.parent.name for folder in sorted(results.glob("dataset/*/manifest.json"))]
    summary = results / "summary.json"
    content = read_json(summary) if summary.is_file() else {}
    if isinstance(content, dict):
        facts["summary"] = {
            key: rounded(value) if isinstance(value, float) else plain(value)
            for key, value in content.items()
            if value is not None
        }
    return Description("results of a run", facts)

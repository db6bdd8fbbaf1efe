"""The dataset card: counts, distributions and a picture, as a person wants them before training on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import yaml
from pycocotools import mask as coco_mask

from splatscope.images import contact_sheet as join_pictures
from splatscope.images import decode_image, draw_outline

VISIBILITY_EDGES = np.linspace(0, 1, 11)
DATASET_FILES = (
    "| file | content |",
    "|---|---|",
    "| `images/` | the images |",
    "| `annotations.json`, `annotations_train.json`, `annotations_val.json` | COCO: RLE masks, boxes, area; "
    "also `visibility`, `amodal_segmentation`, `instance`, `camera_from_tool_sensor` (4x4, mm); simulated: "
    "`camera_from_tool`, `keypoints`, and `phase` and `triplets` of each image |",
    "| `masks/class/`, `masks/instance/` | 8-bit PNG: class id (0 background, 255 ignore), instance number |",
    "| `labels/` + `data.yaml`, `train.txt`, `val.txt` | YOLO detection |",
    "| `labels_segment/` | YOLO segmentation, one polygon an instance; to train, rename to `labels` |",
    "| `poses.json` | camera intrinsics, `world_from_camera` and tool poses by image, mm, OpenCV camera axes |",
    "| `manifest.json` | counts, settings, class table, provenance, SHA-256 of every file |",
)
AREA_EDGES_PERCENT = np.array([0, 0.1, 0.3, 1, 3, 10, 30, 100.0])
# distinguishable for colour-blind readers (Okabe and Ito 2008), without black
COLOURS = np.array([[86, 180, 233], [230, 159, 0], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0]])


def dataset_statistics(images: list[dict], annotations: list[dict], categories: dict[int, str]) -> dict:
    """Counts by class, and histograms of visibility (0..1) and of visible area (percent of the image)."""
    pixels = {image["id"]: image["width"] * image["height"] for image in images}
    classes = {}
    for identifier, label in categories.items():
        own = [entry for entry in annotations if entry["category_id"] == identifier]
        classes[label] = {
            "annotations": len(own),
            "images": len({entry["image_id"] for entry in own}),
            "mean_visibility": _mean([entry["visibility"] for entry in own]),
            "mean_area_percent": _mean([100 * entry["area"] / pixels[entry["image_id"]] for entry in own]),
        }
    visibility = [entry["visibility"] for entry in annotations]
    area = [100 * entry["area"] / pixels[entry["image_id"]] for entry in annotations]
    return {
        "classes": classes,
        "image_sizes": sorted({f"{image['width']}x{image['height']}" for image in images}),
        "visibility": {"edges": VISIBILITY_EDGES.round(3).tolist(), "counts": _histogram(visibility, VISIBILITY_EDGES)},
        "area_percent": {"edges": AREA_EDGES_PERCENT.tolist(), "counts": _histogram(area, AREA_EDGES_PERCENT)},
    }


def draw_overlay(image: np.ndarray, masks: list[np.ndarray], boxes: list[list[int]], colours: list[int]) -> np.ndarray:
    """The image uint8 [H, W, 3] with masks tinted and outlined and boxes drawn; `colours` index COLOURS."""
    picture = image.copy()
    for mask, box, index in zip(masks, boxes, colours):
        draw_mask(picture, mask, index)
        draw_box(picture, box)
    return picture


def draw_mask(picture: np.ndarray, mask: np.ndarray, index: int) -> None:
    """Tint and outline a mask bool [H, W] in the picture uint8 [H, W, 3] itself."""
    colour = COLOURS[index % len(COLOURS)]
    picture[mask] = (0.65 * picture[mask] + 0.35 * colour).astype(np.uint8)
    draw_outline(picture, mask, colour.tolist())


def draw_box(picture: np.ndarray, box: Sequence[int]) -> None:
    """Draw a box (x, y, width, height in pixels) into the picture uint8 [H, W, 3] itself."""
    x, y, width, height = (int(side) for side in box)
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), (255, 255, 255), 1)


def contact_sheet(folder: Path, images: list[dict], annotations: list[dict], count: int) -> np.ndarray:
    """uint8 [H, W, 3]: `count` images spread evenly over the dataset, with their labels drawn."""
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))]
    pictures = []
    for image in chosen:
        own = [entry for entry in annotations if entry["image_id"] == image["id"]]
        pixels = decode_image((folder / image["file_name"]).read_bytes(), image["file_name"])
        masks = [coco_mask.decode(entry["segmentation"]).astype(bool) for entry in own]
        boxes, colours = [entry["bbox"] for entry in own], [entry["instance"] - 1 for entry in own]
        pictures.append(draw_overlay(pixels, masks, boxes, colours))
    return join_pictures(pictures, columns=min(4, len(pictures)), width=min(320, chosen[0]["width"]))


def dataset_card(manifest: dict, files: Sequence[str] = DATASET_FILES, head: dict | None = None) -> str:
    """README.md of the dataset, in the form of a Hugging Face dataset card.

    `files`: the lines about what lies beside it. `head`: what else its YAML head says.
    """
    counts, statistics, settings = manifest["counts"], manifest["statistics"], manifest["settings"]
    classes = [
        f"| {label} | {row['annotations']} | {row['images']} | {_number(row['mean_visibility'], 2)} "
        f"| {_number(row['mean_area_percent'], 2)} % |"
        for label, row in statistics["classes"].items()
    ]
    reasons = {
        "below_min_area": f"fewer than {settings['min_area_px']} visible pixels",
        "below_min_visibility": f"less than {settings['min_visibility']:.0%} visible",
        "hidden": "hidden wholly by tissue or another tool",
        "outside_image": "outside the image",
    }
    dropped = [f"| {text} | {counts['dropped_annotations'][reason]} |" for reason, text in reasons.items()]
    origin = [f"- `{name}`: SHA-256 `{digest}`" for name, digest in manifest["provenance"]["shards"].items()]
    return "\n".join(
        [
            "---",
            "license: other",
            f"license_name: {_yaml_text(settings['licence'])}",
            "task_categories: [object-detection, image-segmentation]",
            "tags: [surgery, endoscopy, synthetic]",
            f"size_categories: [{_size_category(counts['images'])}]",
            *(yaml.safe_dump(head, sort_keys=False).splitlines() if head else ()),
            "---",
            "",
            f"# {manifest['name']}",
            "",
            f"{counts['images']} synthetic endoscope images ({', '.join(statistics['image_sizes'])} px) with "
            f"{counts['annotations']} annotated instruments, made by SplatScope. "
            f"{counts['train']} images are for training, {counts['val']} for validation; "
            f"{counts['images_without_annotations']} have no annotation.",
            "",
            "![sample images with masks and boxes](contact.jpg)",
            "",
            "## Classes",
            "",
            "| class | annotations | images | mean visibility | mean area |",
            "|---|---:|---:|---:|---:|",
            *classes,
            "",
            "Visibility is the visible over the amodal area: what is seen of an instrument over what would be seen of "
            "it if nothing lay before it. Areas are fractions of the image.",
            "",
            "## Distributions",
            "",
            "Visibility of the annotations:",
            "",
            *_bars(statistics["visibility"], "{:.1f} to {:.1f}"),
            "",
            "Visible area, percent of the image:",
            "",
            *_bars(statistics["area_percent"], "{:g} to {:g}"),
            "",
            "## What was left out",
            "",
            "| instances without annotation, because | count |",
            "|---|---:|",
            *dropped,
            f"| (whole frames left out because nothing was annotated) | {counts['dropped_empty_frames']} |",
            "",
            "Their pixels stay in the class and instance masks, which never say background where an instrument is.",
            "",
            "## Files",
            "",
            *files,
            "",
            "Consecutive frames look alike, so the split keeps blocks of "
            f"{settings['split_block_frames']} frames together.",
            "",
            "## Licence and origin",
            "",
            f"Licence: {settings['licence']}. Author: {settings['author']}. The licence follows the recordings that "
            "went in; state it with `annotate.licence`.",
            "",
            "Made from these frame shards (their provenance is in the dataset's `manifest.json`):",
            "",
            *origin,
            "",
        ]
    )


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 6) if values else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _histogram(values: list[float], edges: np.ndarray) -> list[int]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()


def _bars(histogram: dict, label: str, width: int = 32) -> list[str]:
    counts, edges = histogram["counts"], histogram["edges"]
    longest = max([1, *counts])
    names = [label.format(low, high) for low, high in pairwise(edges)]
    lines = [
        f"{name:>12} | {'█' * round(width * count / longest):<{width}} {count}" for name, count in zip(names, counts)
    ]
    return ["```text", *lines, "```"]


def _size_category(images: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if images < limit:
            return name
    return "1M<n<10M"


def _yaml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Pascal VOC: an XML file of boxes for each image, segmentations as palette images, lists of the splits.

Boxes count pixels from 1 and name the first and the last one of the object, as VOC's development kit does.
"""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image as Picture

from splatscope.classes import voc_colours
from splatscope.exports.source import SPLITS, Dataset, Image, Instance
from splatscope.exports.written import Advance, Written
from splatscope.images import encode_jpeg

ROOT = "VOCdevkit/VOC2012"  # readers know no other years
MASKS = {"class": "SegmentationClass", "instance": "SegmentationObject"}
JPEG_QUALITY = 95
OCCLUDED_BELOW = 0.95  # visible of the amodal area: VOC calls an object occluded from 5 % on


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    root = folder / ROOT
    for name in ("JPEGImages", "Annotations", *MASKS.values(), "ImageSets/Main", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    palette = (voc_colours() * 255).round().astype(np.uint8).tobytes()
    for image in dataset.images:
        (root / "JPEGImages" / f"{image.name}.jpg").write_bytes(_as_jpeg(dataset, image))
        (root / "Annotations" / f"{image.name}.xml").write_bytes(annotation_xml(dataset, image))
        for kind, target in MASKS.items():
            content = _palette_png(dataset.mask(kind, image), palette)
            (root / target / f"{image.name}.png").write_bytes(content)
        advance()
    lists = {split: dataset.split(split) for split in SPLITS} | {"trainval": dataset.images}
    for name, images in lists.items():
        for kind in ("Main", "Segmentation"):
            (root / "ImageSets" / kind / f"{name}.txt").write_text("".join(f"{image.name}\n" for image in images))
    labels = "".join(f"{number}\t{label}\n" for number, label in sorted(dataset.classes.items()))
    (folder / "classes.tsv").write_text(f"id\tname\n{labels}")
    files = {
        f"`{ROOT}/JPEGImages/`": f"the images, as JPEG (those that were PNG: quality {JPEG_QUALITY})",
        f"`{ROOT}/Annotations/`": "XML: boxes of the visible pixels, counted from 1",
        f"`{ROOT}/SegmentationClass/`, `SegmentationObject/`": "class id (`classes.tsv`; 255 ignore), instance number",
        f"`{ROOT}/ImageSets/`": "the splits",
    }
    return Written(dataset.annotations, files)


def annotation_xml(dataset: Dataset, image: Image) -> bytes:
    """What VOC says of one image."""
    root = ElementTree.Element("annotation")
    _add(root, folder="VOC2012", filename=f"{image.name}.jpg")
    _add(ElementTree.SubElement(root, "source"), database=dataset.name, annotation="SplatScope", image="synthetic")
    _add(ElementTree.SubElement(root, "size"), width=image.width, height=image.height, depth=3)
    _add(root, segmented=1)
    for instance in image.instances:
        entry = ElementTree.SubElement(root, "object")
        _add(entry, name=dataset.categories[instance.category], pose="Unspecified")
        _add(entry, truncated=int(_reaches_border(instance)), occluded=int(instance.visibility < OCCLUDED_BELOW))
        _add(entry, difficult=0)
        x, y, width, height = instance.box
        _add(ElementTree.SubElement(entry, "bndbox"), xmin=x + 1, ymin=y + 1, xmax=x + width, ymax=y + height)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _add(parent: ElementTree.Element, **texts: str | int) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)


def _reaches_border(instance: Instance) -> bool:
    (x, y, width, height), (right, bottom) = instance.box, instance.size
    return x == 0 or y == 0 or x + width == right or y + height == bottom


def _as_jpeg(dataset: Dataset, image: Image) -> bytes:
    if image.suffix == ".jpg":
        return dataset.read(image.file_name)
    return encode_jpeg(dataset.picture(image), JPEG_QUALITY)


def _palette_png(mask: np.ndarray, palette: bytes) -> bytes:
    picture = Picture.fromarray(mask, "P")
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()

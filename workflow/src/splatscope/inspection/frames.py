"""Frame shards and single images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from splatscope.classes import read_class_table, voc_colours
from splatscope.documents import read_file
from splatscope.files import read_json
from splatscope.images import decode_image, to_uint8
from splatscope.inspection.description import Description, plain, rounded, value_range
from splatscope.inspection.pictures import annotated, sheet, spread
from splatscope.project import REPOSITORY
from splatscope.shards import Frame, manifest_path, read_shard

LOOKED_AT = 64  # frames of a shard whose pixels are counted
MOST_MASK_VALUES = 32  # a grey image with more is a picture


def class_names() -> dict[int, str]:
    """Names by class number, of the table that ships."""
    return {number: name for name, number in read_class_table(REPOSITORY / "resources" / "classes.tsv").items()}


def describe_shard(tar: Path) -> Description:
    """Frames, maps, classes, ranges. Statistics are those of LOOKED_AT frames, evenly spread."""
    keys = shard_keys(tar)
    chosen = {keys[index] for index in spread(len(keys), LOOKED_AT)}
    tally = _Tally(class_names())
    for frame in read_shard(tar, maps=("class_map", "instance_map", "amodal_bits", "depth_mm"), keys=chosen):
        tally.add(frame)
    manifest = read_json(manifest_path(tar)) if manifest_path(tar).is_file() else {}
    first = next(read_shard(tar, keys=set(keys[:1])), None)
    facts = {"frames": len(keys), "looked_at": len(chosen), "members": sorted(first.stored) if first else []}
    facts |= tally.facts()
    facts["provenance"] = plain(manifest.get("provenance", {}) if isinstance(manifest, dict) else {})

    def draw() -> np.ndarray:
        shown = {keys[index] for index in spread(len(keys))}
        return sheet([annotated(frame) for frame in read_shard(tar, maps=("instance_map",), keys=shown)])

    return Description("frame shard", facts, draw if keys else None)


def shard_keys(tar: Path) -> list[str]:
    """The keys of a shard's frames: its manifest's, else its own."""
    if manifest_path(tar).is_file():
        manifest = read_json(manifest_path(tar))
        keys = manifest.get("frames") if isinstance(manifest, dict) else None
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            return keys
    return [frame.key for frame in read_shard(tar, maps=())]


def describe_image(file: Path) -> Description:
    """An image, or a mask: a grey image of few values."""
    pixels = decode_image(read_file(file, "an image"), str(file), with_alpha=True)
    facts = {"width": pixels.shape[1], "height": pixels.shape[0], "type": str(pixels.dtype)}
    facts["channels"] = 1 if pixels.ndim == 2 else pixels.shape[2]
    values, counts = np.unique(pixels, return_counts=True) if pixels.ndim == 2 else (np.zeros(0), np.zeros(0))
    if pixels.ndim == 2 and pixels.dtype == np.uint8 and len(values) <= MOST_MASK_VALUES:
        names = class_names() if file.parent.name == "class" or ".class." in file.name else {}
        shares = {
            names.get(int(value), str(value)): rounded(count / pixels.size) for value, count in zip(values, counts)
        }
        return Description("mask", facts | {"share_of_pixels": shares}, lambda: to_uint8(voc_colours())[pixels])
    facts["values"] = value_range(pixels)
    return Description("image", facts, lambda: sheet([pixels[..., :3] if pixels.ndim == 3 else pixels]))


class _Tally:
    """What is counted over frames."""

    def __init__(self, names: dict[int, str]):
        self.names = names
        self.sizes, self.instances = Counter(), Counter()
        self.pixels, self.seen_in = Counter(), Counter()
        self.depth, self.brightness, self.visibility = [], [], []
        self.count = 0

    def add(self, frame: Frame) -> None:
        height, width = frame.rgb.shape[:2]
        self.count += 1
        self.sizes[f"{width}x{height}"] += 1
        self.brightness.append(float(frame.rgb.mean()) / 255)
        if frame.class_map is not None:
            numbers, counts = np.unique(frame.class_map, return_counts=True)
            for number, count in zip(numbers.tolist(), counts.tolist()):
                self.pixels[number] += count / frame.class_map.size
                self.seen_in[number] += 1
        if frame.depth_mm is not None and (frame.depth_mm > 0).any():
            self.depth += np.percentile(frame.depth_mm[frame.depth_mm > 0], [0, 50, 100]).tolist()
        if frame.instance_map is not None:
            numbers = [int(number) for number in np.unique(frame.instance_map) if number]
            self.instances[len(numbers)] += 1
            if frame.amodal_bits is not None:
                for number in numbers:
                    whole = int(frame.amodal_mask(number).sum())
                    self.visibility.append(int(frame.visible_mask(number).sum()) / max(1, whole))

    def facts(self) -> dict:
        facts = {"image_sizes_px": dict(self.sizes), "brightness": value_range(self.brightness)}
        if self.pixels:
            facts["classes"] = {
                self.names.get(number, f"class {number}"): f"{100 * share / self.count:.3g} % of pixels, in "
                f"{self.seen_in[number]} of {self.count} frames"
                for number, share in sorted(self.pixels.items())
            }
        if self.instances:
            facts["frames_by_instances"] = {str(number): count for number, count in sorted(self.instances.items())}
        if self.visibility:
            facts["visibility"] = value_range(self.visibility)
        if self.depth:
            facts["depth_mm"] = value_range(self.depth)
        return facts

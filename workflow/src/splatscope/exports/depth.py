"""Depth of a dataset's images, which only the frame shards hold that it was made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.exports.source import Dataset, Image
from splatscope.files import read_json
from splatscope.shards import DEPTH_UNIT_MM, read_shard, verify_shard


def images_with_depth(dataset: Dataset) -> Iterator[tuple[Image, np.ndarray | None]]:
    """Each image, shard by shard, with its depth: uint16 [H, W] in DEPTH_UNIT_MM, 0 nothing there.

    None for all when the dataset is to do without. Raises InputError when a shard is not to be found, is not the one
    that the dataset was made from, or has no depth.
    """
    by_shard: dict[str, dict[str, Image]] = defaultdict(dict)
    for image in dataset.images:
        by_shard[image.shard][image.key] = image
    if not dataset.with_depth:
        yield from ((image, None) for _, images in sorted(by_shard.items()) for image in images.values())
        return
    places = find_shards(dataset)
    for shard, images in sorted(by_shard.items()):
        verify_shard(places[shard])
        for frame in read_shard(places[shard], maps={"depth_mm"}, keys=images):
            if frame.depth_mm is None:
                raise _without(places[shard], f"no depth in frame {frame.key}", "frames with depth")
            levels = np.rint(frame.depth_mm / np.float32(DEPTH_UNIT_MM)).astype(np.uint16)
            yield images[frame.key], levels


def find_shards(dataset: Dataset) -> dict[str, Path]:
    """The file of each shard, by the name that images have from it. Raises InputError for those that are not there."""
    found: dict[str, Path] = {}
    for manifest in sorted(dataset.shards_folder.rglob("*.json")):
        tar = manifest.with_suffix(".tar")
        if tar.name in dataset.shards and tar.is_file():
            content = read_json(manifest)
            if isinstance(content, dict) and content.get("sha256") == dataset.shards[tar.name]:
                found.setdefault(tar.stem.removeprefix("shard_"), tar)
    missing = sorted(name for name in dataset.shards if Path(name).stem.removeprefix("shard_") not in found)
    if missing:
        raise _without(
            dataset.shards_folder,
            f"{len(dataset.shards) - len(missing)} of the {len(dataset.shards)} frame shards that the dataset was made "
            f"from; {missing[0]} is not among them",
            "all of them: they hold the depth",
        )
    return found


def _without(place: Path, found: str, expected: str) -> InputError:
    remedy = "name the folder that they lie in (--shards), or leave depth out (--without-depth)"
    return InputError(place, found=found, expected=expected, remedy=remedy)

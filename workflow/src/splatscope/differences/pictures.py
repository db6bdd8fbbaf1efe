"""Examples of both sides in one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splatscope.differences.samples import Samples
from splatscope.errors import InputError
from splatscope.inspection.coco import draw_annotated
from splatscope.inspection.frames import shard_keys
from splatscope.inspection.pictures import annotated, sheet, spread
from splatscope.shards import read_shard

COLUMNS = 6


def draw_examples(a: Samples, b: Samples) -> np.ndarray:
    """uint8 [H, W, 3]: A above, B below: images of the same names, those that differ first, else spread over each."""
    shared = sorted(a.digests.keys() & b.digests.keys(), key=lambda name: (a.digests[name] == b.digests[name], name))
    if shared:
        changed = [name for name in shared if a.digests[name] != b.digests[name]] or shared
        names = [changed[index] for index in spread(len(changed), COLUMNS)]
        rows = [(a, names), (b, names)]
    else:
        rows = [(side, [list(side.digests)[index] for index in spread(len(side.digests), COLUMNS)]) for side in (a, b)]
    for side, names in rows:
        if not names:
            raise InputError(side.path, found="no image", expected="something to see", remedy="leave --picture out")
    pictures = [picture for side, names in rows for picture in _drawn(side, names)]
    return sheet(pictures, columns=len(rows[0][1]))


def _drawn(side: Samples, names: list[str]) -> list[np.ndarray]:
    if side.coco is not None:
        by_name = {Path(image.file_name).name: image for image in side.coco.images}
        by_image = side.coco.by_image()
        images = [by_name[name] for name in names]
        return [draw_annotated(side.path, image, by_image.get(image.id, [])) for image in images]
    keys = {name.partition(".")[0] for name in names} & set(shard_keys(side.path))
    return [annotated(frame) for frame in read_shard(side.path, maps=("instance_map",), keys=keys)]

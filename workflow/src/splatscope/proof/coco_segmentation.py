"""COCO's ways to say which pixels, decoded in Python: pycocotools' C code trusts sizes and counts, and reads and writes
beyond its buffers when they are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from splatscope.images import MAX_PIXELS

MARGIN_PX = 2  # by which annotation tools let outlines leave the image


def decode_segmentation(segmentation: list | dict, width: int, height: int) -> np.ndarray:
    """uint8 [height, width], 1 where the segmentation is: polygons, or run lengths as a list or packed in a string.

    Raises ValueError for anything else, and for what does not fit the size.
    """
    if width * height > MAX_PIXELS:
        raise ValueError(f"an image of {width}x{height} pixels")
    if isinstance(segmentation, list):
        polygons = [_checked_polygon(polygon, width, height) for polygon in segmentation]
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"size {segmentation.get('size')}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _unpack_counts(counts, width * height)
    if not isinstance(counts, list) or not all(_is_count(count) for count in counts) or sum(counts) != width * height:
        raise ValueError("run lengths that do not add up to the image's pixels")
    runs = np.arange(len(counts), dtype=np.uint8) & 1
    return np.ascontiguousarray(np.repeat(runs, counts).reshape(width, height).T)


def _checked_polygon(polygon: Any, width: int, height: int) -> list[float]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon that is no list x, y, x, y, .. of three points or more")
    for index, value in enumerate(polygon):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -MARGIN_PX <= value <= (height if index % 2 else width) + MARGIN_PX:
            raise ValueError(f"a polygon with {value!r}, outside the image")
    return [float(value) for value in polygon]


def _is_count(count: Any) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MAX_PIXELS


def _unpack_counts(packed: str, pixels: int) -> list[int]:
    """COCO's string of run lengths: five bits a character from chr(48) on, the sixth says that more follow; from the
    fourth run on a difference to the run before the last."""
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40 or len(counts) > pixels:
            raise ValueError("a string that is no run-length encoding")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # negative
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        value = shift = 0
    if shift:
        raise ValueError("a string of run lengths that is cut off")
    return counts

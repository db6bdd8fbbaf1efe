"""Boxes (and masks, if there) of a user's recording, from a COCO file.

`images[].file_name` ends in the frame's key as ingest has it (`000012.png` in results/ingest/<recording>/frames.tar);
`width` and `height` say at which size it was annotated. An image without annotations is a frame without tools; a frame
that no image names is left out. `categories[].name` are names of the class table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, Field, ValidationError

from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import MAX_SIDE_PX
from splatscope.proof.coco_segmentation import decode_segmentation
from splatscope.shards import Frame, read_shard

Size = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Category(BaseModel):
    id: int
    name: str


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: Size
    height: Size


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int
    bbox: tuple[Finite, Finite, Finite, Finite]  # x, y, width, height
    id: int | str | None = None
    segmentation: list | dict | None = None


class _Document(BaseModel):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


class CocoAnnotations:
    """A COCO file of boxes, checked against the class table. Raises InputError naming file, entry and remedy."""

    def __init__(self, path: str | Path, class_table: Mapping[str, int]):
        self.path = Path(path)
        if not self.path.is_file():
            raise self._error("", "no such file", "a COCO file", "correct the path in proof.annotations")
        content = read_json(path)
        try:
            document = _Document.model_validate(content)
        except ValidationError as error:
            problem = error.errors()[0]
            raise self._error(
                ".".join(map(str, problem["loc"])),
                f"no COCO document ({problem['input']!r})",
                problem["msg"],
                "export it as COCO again",
            ) from error
        categories = {entry.id: entry.name for entry in document.categories}
        self._images = {Path(entry.file_name).stem: entry for entry in document.images}
        self._annotations = defaultdict(list)
        for entry in document.annotations:
            self._annotations[entry.image_id].append(entry)
        for name in categories.values():
            if name not in class_table:
                raise self._error(
                    "categories",
                    repr(name),
                    f"names of the class table: {', '.join(class_table)}",
                    "rename the category, or add it to the class table",
                )
        self._class_ids = {identifier: class_table[name] for identifier, name in categories.items()}

    def frames(self, frames_tar: str | Path) -> Iterator[tuple[Frame, list[list[float]]]]:
        """The annotated frames of a recording, and [x, y, width, height, class id] of what they show in their pixels.

        A frame gets a class map (0 where nothing is annotated) when all its annotations have a segmentation.
        """
        for frame in read_shard(frames_tar, maps=(), keys=set(self._images)):
            image = self._images[frame.key]
            rows, masks = [], []
            for entry in self._annotations[image.id]:
                rows.append([*self._box(entry, image, frame), self._class_id(entry)])
                masks.append(self._mask(entry, image, frame))
            if all(mask is not None for mask in masks):
                frame.class_map = np.zeros(frame.rgb.shape[:2], np.uint8)
                for row, mask in zip(rows, masks):
                    frame.class_map[mask] = row[4]
            yield frame, rows

    def _class_id(self, entry: _Annotation) -> int:
        if entry.category_id not in self._class_ids:
            raise self._error(
                f"annotation {entry.id}",
                f"category {entry.category_id}",
                f"one of {sorted(self._class_ids)}",
                "export it as COCO again",
            )
        return self._class_ids[entry.category_id]

    def _box(self, entry: _Annotation, image: _Image, frame: Frame) -> list[float]:
        height, width = frame.rgb.shape[:2]
        across, down = width / image.width, height / image.height
        x, y, w, h = entry.bbox
        if w <= 0 or h <= 0 or x < -1 or y < -1 or x + w > image.width + 1 or y + h > image.height + 1:
            raise self._error(
                f"annotation {entry.id}",
                f"bbox {list(entry.bbox)}",
                f"a box inside {image.width} x {image.height} pixels",
                "correct it, or the width and height of its image",
            )
        return [x * across, y * down, w * across, h * down]

    def _mask(self, entry: _Annotation, image: _Image, frame: Frame) -> np.ndarray | None:
        """bool [H, W] of the frame; None when the annotation has no segmentation."""
        if not entry.segmentation:
            return None
        try:
            mask = decode_segmentation(entry.segmentation, image.width, image.height)
        except ValueError as error:
            raise self._error(
                f"annotation {entry.id}, segmentation",
                str(error),
                f"polygons or a run-length encoding of {image.width} x {image.height} pixels",
                "export it as COCO again",
            ) from error
        height, width = frame.rgb.shape[:2]
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0

    def _error(self, where: str, found: str, expected: str, remedy: str) -> InputError:
        return InputError(self.path, where, found=found, expected=expected, remedy=remedy)

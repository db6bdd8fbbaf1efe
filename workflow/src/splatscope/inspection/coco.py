"""COCO files, checked before anything believes them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from splatscope.annotate.card import draw_overlay
from splatscope.documents import read_file
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import MAX_SIDE_PX
from splatscope.images import decode_image
from splatscope.proof.coco_segmentation import decode_segmentation

Size = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Row = tuple[Finite, Finite, Finite, Finite]


class Category(BaseModel):
    id: int
    name: str


class Image(BaseModel):
    id: int
    file_name: str
    width: Size
    height: Size


class Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[Finite, Finite, Finite, Finite]  # x, y, width, height in pixels
    area: Finite | None = None  # visible pixels
    visibility: Finite | None = None  # visible over amodal area
    instance: int | None = None
    segmentation: list | dict | None = None
    camera_from_tool_sensor: tuple[Row, Row, Row, Row] | None = None  # mm
    camera_from_tool: tuple[Row, Row, Row, Row] | None = None  # mm, simulated

    @property
    def camera_from_any_tool(self) -> np.ndarray | None:
        """[4, 4] mm: the tool's pose, or that of its sensor where there is one."""
        pose = self.camera_from_tool_sensor or self.camera_from_tool
        return None if pose is None else np.array(pose)


class Coco(BaseModel):
    """A COCO document of boxes, and what SplatScope adds."""

    categories: list[Category]
    images: list[Image]
    annotations: list[Annotation]

    def names(self) -> dict[int, str]:
        """Category names by id."""
        return {category.id: category.name for category in self.categories}

    def by_image(self) -> dict[int, list[Annotation]]:
        """Annotations by image id; [] where there are none."""
        found: dict[int, list[Annotation]] = defaultdict(list)
        for annotation in self.annotations:
            found[annotation.image_id].append(annotation)
        return found


def read_coco(path: str | Path) -> Coco:
    """Read a COCO file. Raises InputError naming the entry that cannot be used."""
    return check_coco(read_json(path), path)


def check_coco(content: object, path: str | Path) -> Coco:
    """The same of a document that was read already."""
    try:
        coco = Coco.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(
            path,
            ".".join(map(str, problem["loc"])),
            found=f"no COCO document ({problem['input']!r})"[:200],
            expected=problem["msg"],
            remedy="export it as COCO again",
        ) from error
    known = coco.names()
    unknown = next((one.category_id for one in coco.annotations if one.category_id not in known), None)
    if unknown is not None:
        found = f"an annotation of category {unknown}"
        raise InputError(path, "annotations", found=found, expected="categories of the file", remedy="export it again")
    return coco


def image_file(folder: Path, image: Image) -> Path:
    """Where an image lies. Raises InputError for a name that leads out of the folder."""
    path = folder / image.file_name
    if folder.resolve() not in path.resolve().parents:
        found = f"the file name {image.file_name!r}"
        raise InputError(folder, found=found, expected="images inside the folder", remedy="export the dataset again")
    return path


def draw_annotated(folder: Path, image: Image, annotations: list[Annotation]) -> np.ndarray:
    """uint8 [H, W, 3]: an image of a dataset with masks and boxes. Raises InputError for what does not fit it."""
    file = image_file(folder, image)
    pixels = decode_image(read_file(file, "an image of the dataset"), str(file))
    pixels = np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels
    if pixels.shape[:2] != (image.height, image.width) or pixels.dtype != np.uint8:
        found = f"{pixels.dtype} {pixels.shape[1]}x{pixels.shape[0]}"
        expected = f"8 bits, {image.width}x{image.height} as its annotations say"
        raise InputError(file, found=found, expected=expected, remedy="make the dataset again")
    masks = [_mask(one, image, file) for one in annotations]
    boxes = [list(one.bbox) for one in annotations]
    return draw_overlay(pixels, masks, boxes, [(one.instance or 1) - 1 for one in annotations])


def _mask(annotation: Annotation, image: Image, file: Path) -> np.ndarray:
    if annotation.segmentation is None:
        return np.zeros((image.height, image.width), bool)
    try:
        return decode_segmentation(annotation.segmentation, image.width, image.height).astype(bool)
    except ValueError as error:
        raise InputError(file, found=str(error), expected="a COCO mask", remedy="export the dataset again") from error

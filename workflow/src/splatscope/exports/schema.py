"""What the documents of a dataset folder must say, as far as exports need it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from splatscope.errors import InputError
from splatscope.geometry import MAX_SIDE_PX

AGAIN = "run the same snakemake command again: it makes the dataset anew"
Finite = Annotated[float, Field(allow_inf_nan=False)]
Row = Annotated[list[Finite], Field(min_length=4, max_length=4)]
Matrix = Annotated[list[Row], Field(min_length=4, max_length=4)]


class CategoryEntry(BaseModel):
    id: int
    name: str
    keypoints: list[str] = []


class ImageEntry(BaseModel):
    id: int
    file_name: str = Field(pattern=r"^images/[\w.-]+_\d{6}\.(png|jpg)$")
    width: int = Field(ge=1, le=MAX_SIDE_PX)
    height: int = Field(ge=1, le=MAX_SIDE_PX)
    split: str = Field(pattern="^(train|val)$")
    time_s: Finite | None = None
    phase: str | None = None
    triplets: list[list[str]] | None = None


class RunLengthsEntry(BaseModel):
    size: list[int]
    counts: str


class AnnotationEntry(BaseModel):
    id: int
    image_id: int
    category_id: int
    instance: int = Field(ge=1, le=255)
    name: str
    bbox: tuple[int, int, int, int]
    area: int
    visibility: Finite
    segmentation: RunLengthsEntry
    amodal_segmentation: RunLengthsEntry
    keypoints: list[Finite] | None = None
    camera_from_tool_sensor: Matrix | None = None
    camera_from_tool: Matrix | None = None


class CocoDocument(BaseModel):
    categories: list[CategoryEntry]
    images: Annotated[list[ImageEntry], Field(min_length=1)]
    annotations: list[AnnotationEntry]


class CameraEntry(BaseModel):
    width: int = Field(ge=1, le=MAX_SIDE_PX)
    height: int = Field(ge=1, le=MAX_SIDE_PX)
    fx: float = Field(gt=0, allow_inf_nan=False)
    fy: float = Field(gt=0, allow_inf_nan=False)
    cx: Finite
    cy: Finite
    distortion: Annotated[list[Finite], Field(max_length=8)] = []


class PoseEntry(BaseModel):
    camera: CameraEntry | None
    world_from_camera: Matrix | None


class PosesDocument(BaseModel):
    images: dict[str, PoseEntry]


class ProvenanceEntry(BaseModel):
    shards: dict[str, str]


class SettingsEntry(BaseModel):
    licence: str
    author: str


class ManifestDocument(BaseModel):
    schema_version: int
    name: str = Field(pattern=r"^[\w.-]+$")
    classes: dict[str, Annotated[int, Field(ge=0, le=255)]]
    files: dict[str, str]
    provenance: ProvenanceEntry
    settings: SettingsEntry


def checked(model: type[BaseModel], content: Any, path: Path) -> Any:
    """`content` as `model`. Raises InputError naming file and key."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "key " + ".".join(map(str, problem["loc"]))
        raise InputError(
            path, where, found=repr(problem["input"])[:200], expected=problem["msg"], remedy=AGAIN
        ) from error

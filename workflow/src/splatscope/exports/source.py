"""The dataset that is exported: `annotate`'s folder, read and checked once, the same for every format."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from splatscope.annotate.dataset import SCHEMA_VERSION
from splatscope.documents import parse_json, read_file
from splatscope.errors import InputError
from splatscope.exports.schema import (
    AGAIN,
    AnnotationEntry,
    CocoDocument,
    ManifestDocument,
    PosesDocument,
    checked,
)
from splatscope.files import read_json
from splatscope.geometry import Camera
from splatscope.images import decode_image
from splatscope.proof.coco_segmentation import decode_segmentation

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Instance:
    """One annotated instrument in one image; its entry in the COCO file as it stands is `entry`."""

    entry: dict
    category: int
    name: str  # of the tool; may be empty
    number: int  # in the instance map
    box: tuple[int, int, int, int]  # x, y, width, height of the visible pixels; the first pixel's corner is 0, 0
    area: int  # visible pixels
    visibility: float  # visible over amodal area, 0..1
    keypoints: np.ndarray | None  # float64 [K, 3]: x, y, and 0 outside, 1 hidden, 2 seen
    camera_from_object: np.ndarray | None  # float64 [4, 4], mm
    has_sensor: bool  # the object's axes are those of its tracker sensor, else those of a simulated instrument
    size: tuple[int, int]  # width and height of the image
    file: Path  # that states it

    @property
    def visible(self) -> np.ndarray:
        """bool [H, W]. Raises InputError for a segmentation that is none."""
        return self._mask("segmentation")

    @property
    def amodal(self) -> np.ndarray:
        """bool [H, W]. Raises InputError for a segmentation that is none."""
        return self._mask("amodal_segmentation")

    def _mask(self, key: str) -> np.ndarray:
        try:
            return decode_segmentation(self.entry[key], *self.size).astype(bool)
        except ValueError as error:
            place = f"annotation {self.entry['id']}, {key}"
            raise InputError(
                self.file, place, found=str(error), expected="run lengths of the image's pixels", remedy=AGAIN
            ) from error


@dataclass(frozen=True)
class Image:
    """One image; its entry in the COCO file as it stands is `entry`."""

    entry: dict
    id: int
    name: str  # without folder and suffix
    file_name: str  # in the dataset's folder
    width: int
    height: int
    split: str
    camera: Camera | None
    world_from_camera: np.ndarray | None  # float64 [4, 4], mm
    instances: list[Instance] = field(default_factory=list)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.file_name).suffix

    @property
    def shard(self) -> str:
        """The name of the frame shard that it comes from, without `shard_`."""
        return self.name.rpartition("_")[0]

    @property
    def key(self) -> str:
        """Of its frame in the shard: six digits."""
        return self.name.rpartition("_")[2]


class Dataset:
    """A finished dataset folder. Everything read from it is compared with the SHA-256 of its manifest.

    `shards_folder`: where its frame shards lie, for formats that keep depth (None: in the results around it); such
    formats do without when `with_depth` is false.
    Raises InputError when there is no dataset, when it is of another version, or not what its manifest says.
    """

    def __init__(self, folder: str | Path, shards_folder: str | Path | None = None, with_depth: bool = True):
        self.folder = Path(folder)
        self.with_depth = with_depth
        place = Path(os.path.abspath(self.folder))
        # a dataset that was taken elsewhere has no results around it, and what lies there is not to be searched
        self.results = place.parent.parent if place.parent.name == "dataset" else place
        self.shards_folder = Path(shards_folder) if shards_folder else self.results
        if not (self.folder / "manifest.json").is_file():
            raise InputError(
                self.folder,
                found="no manifest.json there" if self.folder.is_dir() else "no such folder",
                expected="a dataset that annotate has finished, such as results/dataset/sampled",
                remedy="name the folder of a dataset, or make one: snakemake --cores all",
            )
        self.manifest = read_json(self.folder / "manifest.json")
        version = self.manifest.get("schema_version") if isinstance(self.manifest, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(
                self.folder / "manifest.json",
                "key schema_version",
                found=repr(version),
                expected=f"{SCHEMA_VERSION}, the form in which this version writes datasets",
                remedy=AGAIN,
            )
        manifest = checked(ManifestDocument, self.manifest, self.folder / "manifest.json")
        self.name, self.classes = manifest.name, {number: label for label, number in manifest.classes.items()}
        self._digests, self.shards = manifest.files, manifest.provenance.shards
        self.licence, self.author = manifest.settings.licence, manifest.settings.author
        self.coco = self._json("annotations.json")
        content = checked(CocoDocument, self.coco, self.folder / "annotations.json")
        self.categories = {category.id: category.name for category in content.categories}
        self.keypoints = {category.id: category.keypoints for category in content.categories if category.keypoints}
        self.images = list(self._images(content))

    @cached_property
    def keypoint_names(self) -> list[str]:
        """Of all categories, each once, in the order of the alphabet."""
        return sorted({name for names in self.keypoints.values() for name in names})

    def keypoints_of(self, instance: Instance) -> np.ndarray:
        """float64 [K, 3]: x, y, visibility of each of `keypoint_names`; zeros for those that the instrument lacks."""
        known = {}
        if instance.keypoints is not None:
            known = dict(zip(self.keypoints[instance.category], instance.keypoints))
        return np.array([known.get(name, np.zeros(3)) for name in self.keypoint_names]).reshape(-1, 3)

    @property
    def annotations(self) -> int:
        return sum(len(image.instances) for image in self.images)

    @property
    def size_bytes(self) -> int:
        return sum((self.folder / name).stat().st_size for name in self._digests if (self.folder / name).is_file())

    def split(self, name: str) -> list[Image]:
        return [image for image in self.images if image.split == name]

    def read(self, name: str) -> bytes:
        """A file of the dataset. Raises InputError unless it is the one that the manifest names."""
        path = self.folder / name
        if name not in self._digests or ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise InputError(path, found="a file that manifest.json does not name", expected="its files", remedy=AGAIN)
        content = read_file(path, "a file of the dataset")
        digest = hashlib.sha256(content).hexdigest()
        if digest != self._digests[name]:
            raise InputError(
                path,
                found=f"SHA-256 {digest[:16]}, a damaged or changed file",
                expected=f"{self._digests[name][:16]} (manifest.json)",
                remedy=AGAIN,
            )
        return content

    def mask(self, kind: str, image: Image) -> np.ndarray:
        """uint8 [H, W]: the "class" or "instance" mask of an image. Raises InputError when it does not fit."""
        file = f"masks/{kind}/{image.name}.png"
        mask = decode_image(self.read(file), str(self.folder / file))
        if mask.dtype != np.uint8 or mask.shape != (image.height, image.width):
            raise InputError(
                self.folder / file,
                found=f"{mask.dtype} {list(mask.shape)}",
                expected=f"uint8 {[image.height, image.width]}, a mask of the image",
                remedy=AGAIN,
            )
        return mask

    def picture(self, image: Image) -> np.ndarray:
        """uint8 [H, W, 3]: the pixels of an image. Raises InputError when they are not of the size that is stated."""
        pixels = decode_image(self.read(image.file_name), str(self.folder / image.file_name))
        if pixels.dtype != np.uint8 or pixels.shape != (image.height, image.width, 3):
            raise InputError(
                self.folder / image.file_name,
                found=f"{pixels.dtype} {list(pixels.shape)}",
                expected=f"uint8 {[image.height, image.width, 3]}",
                remedy=AGAIN,
            )
        return pixels

    def copy(self, name: str, target: str | Path) -> None:
        """A file of the dataset as it stands, at `target`, whose folder is made when missing."""
        target = Path(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.read(name))

    def _json(self, name: str) -> Any:
        return parse_json(self.read(name), self.folder / name)

    def _images(self, content: CocoDocument) -> Iterator[Image]:
        poses = checked(PosesDocument, self._json("poses.json"), self.folder / "poses.json").images
        instances: dict[int, list[Instance]] = defaultdict(list)
        sizes = {image.id: (image.width, image.height) for image in content.images}
        for entry, annotation in zip(self.coco["annotations"], content.annotations):
            if annotation.category_id not in self.categories or annotation.image_id not in sizes:
                raise self._contradiction(f"annotation {annotation.id}", "a category and an image that are listed")
            instances[annotation.image_id].append(self._instance(entry, annotation, sizes[annotation.image_id]))
        for entry, image in zip(self.coco["images"], content.images):
            name = PurePosixPath(image.file_name).stem
            pose = poses.pop(name, None)
            if pose is None:
                raise self._contradiction(f"image {image.file_name}", "one pose of each image in poses.json")
            yield Image(
                entry,
                image.id,
                name,
                image.file_name,
                image.width,
                image.height,
                image.split,
                None if pose.camera is None else Camera.from_dict(pose.camera.model_dump()),
                None if pose.world_from_camera is None else np.array(pose.world_from_camera),
                instances[image.id],
            )

    def _instance(self, entry: dict, annotation: AnnotationEntry, size: tuple[int, int]) -> Instance:
        names = self.keypoints.get(annotation.category_id, [])
        if annotation.keypoints is not None and len(annotation.keypoints) != 3 * len(names):
            raise self._contradiction(f"annotation {annotation.id}", f"x, y, visibility of the {len(names)} keypoints")
        pose = annotation.camera_from_tool_sensor or annotation.camera_from_tool
        return Instance(
            entry,
            annotation.category_id,
            annotation.name,
            annotation.instance,
            annotation.bbox,
            annotation.area,
            annotation.visibility,
            None if annotation.keypoints is None else np.array(annotation.keypoints).reshape(-1, 3),
            None if pose is None else np.array(pose),
            annotation.camera_from_tool_sensor is not None,
            size,
            self.folder / "annotations.json",
        )

    def _contradiction(self, found: str, expected: str) -> InputError:
        return InputError(self.folder / "annotations.json", found=found, expected=expected, remedy=AGAIN)

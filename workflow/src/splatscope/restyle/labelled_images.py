"""Images with a class for each pixel, for the segmenters: from frame shards or from a folder like CholecSeg8k's.

Classes are those of the public protocol (Kaleta et al., IJCARS 2024): abdominal wall, liver, fat, tool, gallbladder,
numbered 0 to 4 in this order. Every other class is IGNORE_ID: it is neither trained on nor counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from splatscope.classes import IGNORE_ID
from splatscope.errors import InputError
from splatscope.images import decode_image
from splatscope.shards import Frame, read_shard

PROTOCOL_GROUPS: dict[str, tuple[str, ...]] = {  # name: names in the class table
    "abdominal wall": ("abdominal wall",),
    "liver": ("liver",),
    "fat": ("fat",),
    "tool": ("grasper", "l-hook electrocautery", "needle driver", "scissors", "clip applier"),
    "gallbladder": ("gallbladder",),
}
GROUP_NAMES = tuple(PROTOCOL_GROUPS)
CHOLECSEG8K_LEVELS = {  # grey level in *_watershed_mask.png: class; other levels are pixels without a label
    50: "background",
    11: "abdominal wall",
    21: "liver",
    13: "gastrointestinal tract",
    12: "fat",
    31: "grasper",
    23: "connective tissue",
    24: "blood",
    25: "cystic duct",
    32: "l-hook electrocautery",
    22: "gallbladder",
    33: "hepatic vein",
    5: "liver ligament",
}


@dataclass(frozen=True)
class LabelledImage:
    """One image and the protocol's class of each of its pixels."""

    image: np.ndarray  # uint8 [H, W, 3], sRGB
    target: np.ndarray  # uint8 [H, W]: index in GROUP_NAMES, or IGNORE_ID


def group_of_class(class_table: Mapping[str, int]) -> np.ndarray:
    """uint8 [256]: the protocol's class of each class id of a table (names to ids), IGNORE_ID where it has none.

    Raises InputError when the table lacks all classes of one of the protocol's.
    """
    group_of = np.full(256, IGNORE_ID, np.uint8)
    for index, (name, members) in enumerate(PROTOCOL_GROUPS.items()):
        ids = [class_table[member] for member in members if member in class_table]
        if not ids:
            raise InputError(
                "class table",
                found=f"none of {', '.join(members)}",
                expected=f"at least one, for the protocol's class '{name}'",
                remedy="use resources/classes.tsv, or add the class to your table",
            )
        group_of[ids] = index
    return group_of


def labelled_frame(frame: Frame, group_of: np.ndarray) -> LabelledImage:
    """A frame of a shard; `group_of` is `group_of_class` of its class table. Raises InputError without class map."""
    if frame.class_map is None:
        raise InputError(
            f"frame {frame.key}",
            found="no class map",
            expected="frames with classes",
            remedy="use shards of the stages render, mix or simulate",
        )
    return LabelledImage(frame.rgb, group_of[frame.class_map])


def labelled_shards(shards: Iterable[str | Path], group_of: np.ndarray) -> list[LabelledImage]:
    """All frames of some shards, in memory."""
    frames = (frame for path in shards for frame in read_shard(path, maps=("class_map",)))
    return [labelled_frame(frame, group_of) for frame in frames]


class CholecSeg8kFolder(Sequence[LabelledImage]):
    """`<name>_endo.png` and `<name>_endo_watershed_mask.png` anywhere below a folder, read when asked for.

    CholecSeg8k (Hong et al. 2020) is laid out so: video01/video01_00080/frame_80_endo.png and so on. Raises InputError
    when there is no such pair, and when a pair cannot be read or differs in size.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.masks = sorted(self.folder.rglob("*_endo_watershed_mask.png"))
        remedy = "name the unpacked CholecSeg8k folder, or one with files named alike"
        if not self.masks:
            found = "no *_endo_watershed_mask.png" if self.folder.is_dir() else "no such folder"
            raise InputError(self.folder, found=found, expected="images with masks beside them", remedy=remedy)
        for mask in self.masks:
            if not _image_beside(mask).is_file():
                raise InputError(
                    mask, found="no image beside it", expected=f"the file {_image_beside(mask).name}", remedy=remedy
                )
        self._group_of_level = np.full(256, IGNORE_ID, np.uint8)
        for index, members in enumerate(PROTOCOL_GROUPS.values()):
            for level, name in CHOLECSEG8K_LEVELS.items():
                if name in members:
                    self._group_of_level[level] = index

    def __len__(self) -> int:
        return len(self.masks)

    @overload
    def __getitem__(self, index: int) -> LabelledImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelledImage]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        mask = self.masks[index]
        image = decode_image(_image_beside(mask).read_bytes(), str(_image_beside(mask)))
        levels = decode_image(mask.read_bytes(), str(mask))
        if levels.ndim == 3:  # the dataset stores its grey masks as RGB
            levels = levels[..., 0]
        if levels.shape != image.shape[:2] or image.ndim != 3 or image.dtype != np.uint8 or levels.dtype != np.uint8:
            raise InputError(
                mask,
                found=f"mask {levels.dtype} {list(levels.shape)} beside image {image.dtype} {list(image.shape)}",
                expected="an 8-bit mask of the size of its colour image",
                remedy="unpack the dataset again",
            )
        return LabelledImage(image, self._group_of_level[levels])


def reduced(labelled: LabelledImage, width: int, height: int) -> LabelledImage:
    """The image by area averaging, the classes by the nearest pixel."""
    if labelled.target.shape == (height, width):
        return labelled
    smaller = width <= labelled.target.shape[1] and height <= labelled.target.shape[0]
    image = cv2.resize(labelled.image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return LabelledImage(image, cv2.resize(labelled.target, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))


def _image_beside(mask: Path) -> Path:
    return mask.with_name(mask.name.replace("_endo_watershed_mask.png", "_endo.png"))

"""CholecSeg8k: folders of a video's frames, each with a class mask in that dataset's grey values and in its colours.

    video01/video01_00080/frame_80_endo.png
                          frame_80_endo_watershed_mask.png    R = G = B = the class's grey value
                          frame_80_endo_color_mask.png        the class's colour

A shard is a video, and a folder holds frames whose numbers share a multiple of 80. The original has a fourth file, what
annotators drew before the watershed: there is no such thing here. Classes that CholecSeg8k does not have are given
values and colours that it does not use; `classes.tsv` has them all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splatscope.classes import IGNORE_ID
from splatscope.errors import InputError
from splatscope.exports.source import Dataset, Image
from splatscope.exports.written import Advance, Written
from splatscope.images import encode_png

FRAMES_A_FOLDER = 80
CLASSES = {  # name here: grey value and colour there (Hong et al. 2020, table II; colours as its files have them)
    "background": (0x50, (127, 127, 127)),
    "abdominal wall": (0x11, (210, 140, 140)),
    "liver": (0x21, (255, 114, 114)),
    "gastrointestinal tract": (0x13, (231, 70, 156)),
    "fat": (0x12, (186, 183, 75)),
    "grasper": (0x31, (170, 255, 0)),
    "connective tissue": (0x23, (255, 85, 0)),
    "blood": (0x24, (255, 0, 0)),
    "cystic duct": (0x25, (255, 255, 0)),
    "l-hook electrocautery": (0x32, (169, 255, 184)),
    "gallbladder": (0x22, (255, 160, 165)),
    "hepatic vein": (0x33, (0, 50, 128)),
    "liver ligament": (0x05, (111, 74, 0)),
}
IGNORED = (255, (255, 255, 255))  # white, as the border of its masks
FIRST_FREE_VALUE = 0x60


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    table = class_table(dataset)
    values, colours = np.zeros(256, np.uint8), np.zeros((256, 3), np.uint8)
    for number, (_, value, colour, _) in table.items():
        values[number], colours[number] = value, colour
    videos = {shard: f"video{number:02d}" for number, shard in enumerate(sorted({i.shard for i in dataset.images}), 1)}
    for image in dataset.images:
        mask = dataset.mask("class", image)
        unknown = sorted(set(np.unique(mask).tolist()) - table.keys())
        if unknown:
            raise InputError(
                dataset.folder / f"masks/class/{image.name}.png",
                found=f"class {unknown[0]}",
                expected=f"one of {sorted(table)}, the classes of the dataset",
                remedy="add it to the class table and make the dataset anew",
            )
        stem = folder / _place(image, videos[image.shard])
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.with_name(f"{stem.name}.png").write_bytes(_as_png(dataset, image))
        grey = np.repeat(values[mask][..., None], 3, axis=2)
        stem.with_name(f"{stem.name}_watershed_mask.png").write_bytes(encode_png(grey))
        stem.with_name(f"{stem.name}_color_mask.png").write_bytes(encode_png(colours[mask]))
        advance()
    lines = [
        f"{number}\t{label}\t{value}\t#{bytes(colour).hex()}\t{'yes' if original else 'no'}"
        for number, (label, value, colour, original) in sorted(table.items())
    ]
    (folder / "classes.tsv").write_text("id\tname\twatershed\tcolour\tin_cholecseg8k\n" + "\n".join(lines) + "\n")
    splits = [f"{_place(image, videos[image.shard])}.png\t{image.split}" for image in dataset.images]
    (folder / "splits.tsv").write_text("image\tsplit\n" + "\n".join(splits) + "\n")
    files = {
        "`video*/video*_*/frame_*_endo.png`": "the images",
        "`*_watershed_mask.png`, `*_color_mask.png`": "classes by grey value and by colour, see `classes.tsv`",
        "`splits.tsv`": "train or val of each image, which CholecSeg8k does not have",
    }
    return Written(None, files)


def class_table(dataset: Dataset) -> dict[int, tuple[str, int, tuple[int, int, int], bool]]:
    """Name, grey value, colour, and whether CholecSeg8k has it, of each class id of the dataset."""
    used = {value for value, _ in CLASSES.values()} | {0, IGNORED[0]}
    free = iter(sorted(set(range(256)) - used, key=lambda value: (value < FIRST_FREE_VALUE, value)))
    table = {IGNORE_ID: ("ignore", *IGNORED, True)}
    for number, label in sorted(dataset.classes.items()):
        if number == IGNORE_ID:
            continue
        if label in CLASSES:
            table[number] = (label, *CLASSES[label], True)
        else:
            value = next(free)
            table[number] = (label, value, (value, 0, 255), False)
    return table


def _place(image: Image, video: str) -> Path:
    number = int(image.key)
    first = number // FRAMES_A_FOLDER * FRAMES_A_FOLDER
    return Path(video, f"{video}_{first:05d}", f"frame_{number}_endo")


def _as_png(dataset: Dataset, image: Image) -> bytes:
    if image.suffix == ".png":
        return dataset.read(image.file_name)
    return encode_png(dataset.picture(image))

"""YOLO: images and labels by split and a data.yaml, for detection, segmentation or pose.

Class numbers are positions in the list of categories. Pose labels have the keypoints of all categories, in the order of
the alphabet; those that an instrument does not have, and those outside the image, are `0 0 0`.
"""

from __future__ import annotations

from pathlib import Path

from splatscope.annotate.yolo import data_yaml
from splatscope.errors import InputError
from splatscope.exports.schema import AGAIN
from splatscope.exports.source import SPLITS, Dataset, Image
from splatscope.exports.written import Advance, Written

LABELS = {
    "detect": "a line for each instance: class, box (centre x, y, width, height over the image's)",
    "segment": "a line for each instance: class, polygon through the centres of border pixels over the image's size",
    "pose": "a line for each instance: class, box, and x, y, visibility of each keypoint of `data.yaml`",
}
MADE_BY_ANNOTATE = {"detect": "labels", "segment": "labels_segment"}


def write(dataset: Dataset, folder: Path, advance: Advance, task: str) -> Written:
    names = dataset.keypoint_names
    if task == "pose" and not names:
        raise InputError(
            dataset.folder,
            found="a dataset without keypoints",
            expected="one with keypoints: instruments of simulated frames have them",
            remedy="export yolo-detect or yolo-segment",
        )
    for split in SPLITS:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for image in dataset.split(split):
            dataset.copy(image.file_name, folder / "images" / split / Path(image.file_name).name)
            label = folder / "labels" / split / f"{image.name}.txt"
            if task == "pose":
                label.write_text(pose_lines(dataset, image))
            else:
                dataset.copy(f"{MADE_BY_ANNOTATE[task]}/{image.name}.txt", label)
            advance()
    more = {}
    if task == "pose":
        by_class = {number: names for number in range(len(dataset.categories))}
        more = {"kpt_shape": [len(names), 3], "flip_idx": mirrored(names), "kpt_names": by_class}
    (folder / "data.yaml").write_text(
        data_yaml(list(dataset.categories.values()), "images/train", "images/val", **more)
    )
    return Written(dataset.annotations, {"`data.yaml`": "for the trainer", "`images/`": "", "`labels/`": LABELS[task]})


def pose_lines(dataset: Dataset, image: Image) -> str:
    """The label file of one image."""
    file = f"{MADE_BY_ANNOTATE['detect']}/{image.name}.txt"
    boxes = dataset.read(file).decode(errors="replace").splitlines()
    if len(boxes) != len(image.instances):
        expected = f"{len(image.instances)}, one for each annotation"
        raise InputError(dataset.folder / file, found=f"{len(boxes)} lines", expected=expected, remedy=AGAIN)
    size, lines = (image.width, image.height), []
    for box, instance in zip(boxes, image.instances):
        values = [f"{x:.6f} {y:.6f} {seen:.0f}" for (x, y, seen) in dataset.keypoints_of(instance) / (*size, 1)]
        lines.append(" ".join([box, *values]))
    return "".join(f"{line}\n" for line in lines)


def mirrored(names: list[str]) -> list[int]:
    """Which keypoint each becomes when the image is mirrored: left and right change places."""
    swap = {"left": "right", "right": "left"}
    other = ["_".join(swap.get(part, part) for part in name.split("_")) for name in names]
    return [names.index(name) if name in names else number for number, name in enumerate(other)]

"""WebDataset: tar files of samples, of equal content equal bytes.

A sample is `<image>.png` (or .jpg), `<image>.class.png`, `<image>.instance.png` and `<image>.json`: its entry in COCO's
list of images, its annotations, camera and pose.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from splatscope.exports.source import SPLITS, Dataset, Image
from splatscope.exports.written import Advance, Written, write_json

SAMPLES_A_SHARD = 1000


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    for split in SPLITS:
        images = sorted(dataset.split(split), key=lambda image: image.name)
        for number, start in enumerate(range(0, len(images), SAMPLES_A_SHARD)):
            with tarfile.open(folder / f"{split}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for image in images[start : start + SAMPLES_A_SHARD]:
                    for name, content in sorted(_members(dataset, image).items()):
                        info = tarfile.TarInfo(name)  # no times, no owner
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
                    advance()
    write_json(folder / "categories.json", dataset.coco["categories"], indent=2)
    files = {
        "`train-*.tar`, `val-*.tar`": "samples of image, `class.png`, `instance.png`, and `json` with COCO's "
        "annotations (RLE masks, boxes, keypoints, poses), `camera` and `world_from_camera`",
        "`categories.json`": "names by category id, and of keypoints",
    }
    return Written(dataset.annotations, files)


def _members(dataset: Dataset, image: Image) -> dict[str, bytes]:
    about = image.entry | {
        "annotations": [instance.entry for instance in image.instances],
        "camera": None if image.camera is None else image.camera.to_dict(),
        "world_from_camera": None if image.world_from_camera is None else image.world_from_camera.tolist(),
    }
    return {
        f"{image.name}{image.suffix}": dataset.read(image.file_name),
        f"{image.name}.class.png": dataset.read(f"masks/class/{image.name}.png"),
        f"{image.name}.instance.png": dataset.read(f"masks/instance/{image.name}.png"),
        f"{image.name}.json": json.dumps(about, sort_keys=True, allow_nan=False).encode(),
    }

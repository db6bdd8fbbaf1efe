"""What is compared of a dataset or a shard: figures by image and by annotation, digests, provenance."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from splatscope.documents import read_file
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.images import decode_image
from splatscope.inspection.coco import Annotation, Coco, image_file, read_coco
from splatscope.inspection.frames import class_names, shard_keys
from splatscope.inspection.pictures import box_of, spread
from splatscope.shards import Frame, manifest_path, read_shard

LOOKED_AT = 400  # images of each side whose pixels are read


@dataclass
class Samples:
    """One side. `values` are lists of numbers by quantity, units in the names."""

    path: Path
    images: int = 0
    annotations: Counter = field(default_factory=Counter)  # by class
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[str, str] = field(default_factory=dict)  # SHA-256 of the images' files by name
    settings: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    coco: Coco | None = None  # of a dataset
    looked_at: int = 0


def read_samples(path: Path) -> Samples:
    """The figures of a dataset folder or a shard. Raises InputError for anything else, and for damaged files."""
    if path.is_dir() and (path / "annotations.json").is_file():
        return _of_dataset(path)
    if path.is_file() and path.suffix == ".tar":
        return _of_shard(path)
    raise InputError(
        path,
        found="neither" if path.exists() else "no such file or folder",
        expected="the folder of a dataset (with annotations.json) or a frame shard (.tar)",
        remedy="name one, such as results/dataset/sampled",
    )


def _of_dataset(folder: Path) -> Samples:
    coco = read_coco(folder / "annotations.json")
    samples = Samples(folder, images=len(coco.images), coco=coco)
    names = coco.names()
    sizes = {image.id: image.width * image.height for image in coco.images}
    for one in coco.annotations:
        samples.annotations[names[one.category_id]] += 1
        if one.image_id in sizes:
            _add_annotation(samples, one, sizes[one.image_id])
    by_image = coco.by_image()
    for image in coco.images:
        samples.values["annotations_per_image"].append(len(by_image.get(image.id, [])))
    for image in coco.images:
        samples.digests[Path(image.file_name).name] = hashlib.sha256(
            read_file(image_file(folder, image), "an image of the dataset")
        ).hexdigest()
    for index in spread(len(coco.images), LOOKED_AT):
        file = image_file(folder, coco.images[index])
        _add_image(samples, decode_image(read_file(file, "an image of the dataset"), str(file)))
    if (folder / "manifest.json").is_file():
        manifest = read_json(folder / "manifest.json")
        samples.settings = _mapping(manifest, "settings")
        samples.provenance = _statements(_mapping(manifest, "provenance").get("render"))
    return samples


def _of_shard(tar: Path) -> Samples:
    samples, names, keys = Samples(tar), class_names(), shard_keys(tar)
    looked = {keys[index] for index in spread(len(keys), LOOKED_AT)}
    for frame in read_shard(tar, maps=("instance_map", "class_map", "amodal_bits", "depth_mm")):
        samples.images += 1
        samples.digests[f"{frame.key}.rgb.png"] = hashlib.sha256(frame.stored["rgb.png"]).hexdigest()
        count = 0
        for label, annotation in _annotations(frame, names):
            samples.annotations[label] += 1
            _add_annotation(samples, annotation, frame.rgb.shape[0] * frame.rgb.shape[1])
            count += 1
        samples.values["annotations_per_image"].append(count)
        if frame.key in looked:
            _add_image(samples, frame.rgb)
            if frame.depth_mm is not None and (frame.depth_mm > 0).any():
                samples.values["median_depth_mm"].append(float(np.median(frame.depth_mm[frame.depth_mm > 0])))
    manifest = read_json(manifest_path(tar)) if manifest_path(tar).is_file() else {}
    samples.provenance = _statements([_mapping(manifest, "provenance")])
    return samples


def _annotations(frame: Frame, names: dict[int, str]) -> Iterator[tuple[str, Annotation]]:
    """Class name and annotation of each instance that is seen in a frame."""
    if frame.instance_map is None:
        return
    entries = frame.meta.get("instances")
    poses = {
        entry.get("instance"): entry.get("camera_from_tool_sensor") or entry.get("camera_from_tool")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    }
    for number in (int(value) for value in np.unique(frame.instance_map) if value):
        mask = frame.visible_mask(number)
        whole = int(frame.amodal_mask(number).sum()) if frame.amodal_bits is not None else None
        label = int(np.bincount(frame.class_map[mask]).argmax()) if frame.class_map is not None else 0
        pose = poses.get(number)
        annotation = Annotation(
            image_id=0,
            category_id=label,
            bbox=tuple(box_of(mask)),
            area=int(mask.sum()),
            visibility=int(mask.sum()) / max(1, whole) if whole is not None else None,
            camera_from_tool_sensor=pose if _is_pose(pose) else None,
        )
        yield names.get(label, f"class {label}"), annotation


def _add_annotation(samples: Samples, one: Annotation, pixels: int) -> None:
    values = samples.values
    values["box_area_share"].append(one.bbox[2] * one.bbox[3] / pixels)
    if one.visibility is not None:
        values["visibility"].append(one.visibility)
    pose = one.camera_from_any_tool
    if pose is None:
        return
    for axis, value in zip("xyz", pose[:3, 3]):
        values[f"tool_{axis}_mm"].append(float(value))
    turn = np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1, 1)
    values["tool_rotation_deg"].append(float(np.degrees(np.arccos(turn))))


def _add_image(samples: Samples, pixels: np.ndarray) -> None:
    samples.looked_at += 1
    scale = np.iinfo(pixels.dtype).max
    samples.values["brightness"].append(float(pixels.mean()) / scale)
    samples.values["contrast"].append(float(pixels.std()) / scale)


def _is_pose(value: object) -> bool:
    try:
        return np.shape(value) == (4, 4) and bool(np.isfinite(np.array(value, np.float64)).all())
    except (TypeError, ValueError):
        return False


def _mapping(content: object, key: str) -> dict:
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}


def _statements(provenance: object) -> dict:
    """What the shards' provenance says, values that differ among them together."""
    found: dict[str, set[str]] = defaultdict(set)
    for statement in provenance if isinstance(provenance, list) else []:
        for key, value in (statement if isinstance(statement, dict) else {}).items():
            found[str(key)].add(str(value))
    return {key: ", ".join(sorted(values)) for key, values in found.items()}

"""Writing the dataset folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from splatscope.annotate import card, coco, yolo
from splatscope.annotate.records import FrameRecord, image_name, read_annotations
from splatscope.config.annotate import AnnotateConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.folders import replace_folder, store_files, work_folder
from splatscope.images import encode_jpeg
from splatscope.processes import map_in_order
from splatscope.shards import manifest_path, read_shard

SCHEMA_VERSION = 2
CARD_PICTURES = 12
FOLDERS = ("images", "masks/class", "masks/instance", "labels", "labels_segment")
LABEL_MAPS = ("class_map", "instance_map", "amodal_bits")


def annotate_dataset(
    shards: Sequence[str | Path],
    class_table: dict[str, int],
    config: AnnotateConfig,
    out_dir: str | Path,
    *,
    name: str,
    seed: int = 0,
    scene_list: str | Path | None = None,
    provenance: dict | None = None,
    processes: int = 1,
) -> dict:
    """Write the dataset folder `out_dir` from frame shards and return its manifest.

    The folder is made beside `out_dir` and takes its place when complete, so an old one leaves nothing behind:

        images/<image>.png|jpg            masks/class/<image>.png, masks/instance/<image>.png (uint8)
        annotations.json                  COCO (all), annotations_train.json, annotations_val.json (the splits)
        labels/<image>.txt                YOLO detection; labels_segment/<image>.txt YOLO segmentation
        data.yaml, train.txt, val.txt     for YOLO trainers
        poses.json                        camera, world_from_camera, and tool poses of every image, mm
        README.md, contact.jpg            the dataset card and its picture
        manifest.json                     counts, statistics, class table, provenance, SHA-256 of every other file

    An image is named `<shard>_<frame key>`, unique over all shards. `class_table` holds ids by name. Categories are the
    classes of the tools that the scene list names (`scene_list`, compose's .json) and
    those found in the frames. `seed` chooses the split. `provenance` is added to what the shard manifests say. Equal
    input gives equal bytes, however many `processes` share the shards.

    Raises InputError for unreadable shards, frames without label maps, and shards without a single frame to keep.
    """
    out_dir = Path(out_dir)
    class_names = {identifier: label for label, identifier in class_table.items()}
    with work_folder(out_dir) as work:
        for folder in FOLDERS:
            (work / folder).mkdir(parents=True)
        writer = _Writer(work, config, class_names)
        print(f"annotate {name}: {len(shards)} shards", flush=True)
        annotate = partial(_annotate_shard, folder=work, config=config, class_names=class_names)
        for part in map_in_order(annotate, sorted(Path(path) for path in shards), processes):
            writer.add(part)
            print(
                f"  {part.shard.name}: {len(writer.images)} images, {len(writer.annotations)} annotations so far",
                flush=True,
            )
        if not writer.images:
            raise InputError(
                shards[0] if shards else out_dir,
                found=f"no frame to keep ({writer.empty_frames} without annotations)",
                expected="at least one frame",
                remedy="set annotate.keep_empty_frames: true, or look at what render made",
            )
        writer.finish(name, seed, scene_list, _provenance(shards, provenance))
        manifest = writer.write_manifest()
        replace_folder(work, out_dir)
    return manifest


@dataclass
class _Records:
    """What is known of the images of one shard. Ids begin at 1."""

    shard: Path
    images: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    poses: dict[str, dict] = field(default_factory=dict)  # by image
    keypoints: dict[int, list[str]] = field(default_factory=dict)  # names by category
    dropped: Counter = field(default_factory=Counter)
    empty_frames: int = 0


def _annotate_shard(shard: Path, folder: Path, config: AnnotateConfig, class_names: dict[int, str]) -> _Records:
    """Write the images, masks and labels of one shard; what is left for the files about all of them."""
    records = _Records(shard)
    for frame in read_shard(shard, maps=LABEL_MAPS):
        record = FrameRecord(image_name(shard, frame.key), frame)
        record.annotations = read_annotations(frame, class_names, config, records.dropped, str(shard))
        if not record.annotations and not config.keep_empty_frames:
            records.empty_frames += 1
            continue
        file_name = f"{record.name}.{config.image_format}"
        if config.image_format == "png":
            content = frame.stored["rgb.png"]
        else:
            content = encode_jpeg(frame.rgb, config.jpeg_quality)
        (folder / "images" / file_name).write_bytes(content)
        for kind in ("class", "instance"):
            (folder / "masks" / kind / f"{record.name}.png").write_bytes(frame.stored[f"{kind}.png"])
        image = coco.image_entry(record, len(records.images) + 1, f"images/{file_name}")
        records.images.append(image)
        entries = [
            coco.annotation_entry(annotation, len(records.annotations) + number, image["id"])
            for number, annotation in enumerate(record.annotations, start=1)
        ]
        records.annotations += entries
        for annotation in record.annotations:
            if annotation.keypoints:
                records.keypoints.setdefault(annotation.class_id, sorted(annotation.keypoints))
        records.poses[record.name] = _pose_entry(frame.meta, entries)
        # class numbers of YOLO are known only when every frame was seen: labels keep the category until then
        identity = {identifier: identifier for identifier in class_names}
        for kind, text in zip(("labels", "labels_segment"), yolo.label_files(record, identity)):
            (folder / kind / f"{record.name}.txt").write_text(text)
    return records


class _Writer:
    """Joins the records of all shards, and writes what is about all of them."""

    def __init__(self, folder: Path, config: AnnotateConfig, class_names: dict[int, str]):
        self.folder, self.config, self.class_names = folder, config, class_names
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.poses: dict[str, dict] = {}
        self.keypoints: dict[int, list[str]] = {}  # names by category
        self.dropped: Counter = Counter()
        self.empty_frames = 0
        self.document: dict = {}

    def add(self, part: _Records) -> None:
        twice = self.poses.keys() & part.poses.keys()
        if twice:
            raise ValueError(f"two shards are named {part.shard.stem}: image {min(twice)} would be written twice")
        images_before, annotations_before = len(self.images), len(self.annotations)
        self.images += [image | {"id": images_before + image["id"]} for image in part.images]
        self.annotations += [
            entry | {"id": annotations_before + entry["id"], "image_id": images_before + entry["image_id"]}
            for entry in part.annotations
        ]
        self.poses |= part.poses
        self.keypoints = part.keypoints | self.keypoints
        self.dropped += part.dropped
        self.empty_frames += part.empty_frames

    def finish(self, name: str, seed: int, scene_list: str | Path | None, provenance: dict) -> None:
        categories = self._categories(scene_list)
        order = {identifier: index for index, identifier in enumerate(categories)}
        for path in sorted(self.folder.glob("labels*/*.txt")):
            lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
            path.write_text("".join(f"{order[int(category)]} {rest}\n" for category, rest in lines))
        validation = choose_validation(len(self.images), self.config, seed)
        for image, held_out in zip(self.images, validation):
            image["split"] = "val" if held_out else "train"
        about = (categories, self.keypoints, name, self.config.licence, self.config.author)
        self._write_coco("annotations.json", self.images, *about)
        for split in ("train", "val"):
            chosen = [image for image in self.images if image["split"] == split]
            self._write_coco(f"annotations_{split}.json", chosen, *about)
            lines = "".join(f"./{image['file_name']}\n" for image in chosen)
            (self.folder / f"{split}.txt").write_text(lines)
        (self.folder / "data.yaml").write_text(yolo.data_yaml(list(categories.values())))
        poses = {"unit": "mm", "camera_axes": "OpenCV: x right, y down, z forward", "images": self.poses}
        _write_json(self.folder / "poses.json", poses)
        statistics = card.dataset_statistics(self.images, self.annotations, categories)
        self.document = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "classes": {label: identifier for identifier, label in self.class_names.items()},
            "counts": {
                "images": len(self.images),
                "annotations": len(self.annotations),
                "train": int((~validation).sum()),
                "val": int(validation.sum()),
                "images_without_annotations": len(self.images)
                - len({annotation["image_id"] for annotation in self.annotations}),
                "dropped_empty_frames": self.empty_frames,
                "dropped_annotations": {
                    reason: self.dropped[reason]
                    for reason in ("below_min_area", "below_min_visibility", "hidden", "outside_image")
                },
            },
            "statistics": statistics,
            "settings": self.config.model_dump(mode="json"),
            "provenance": provenance,
        }
        contact = card.contact_sheet(self.folder, self.images, self.annotations, CARD_PICTURES)
        (self.folder / "contact.jpg").write_bytes(encode_jpeg(contact, 88))
        (self.folder / "README.md").write_text(card.dataset_card(self.document))

    def write_manifest(self) -> dict:
        self.document["files"] = store_files(self.folder)
        _write_json(self.folder / "manifest.json", self.document)
        return self.document

    def _categories(self, scene_list: str | Path | None) -> dict[int, str]:
        used = {annotation["category_id"] for annotation in self.annotations}
        if scene_list is not None:
            named = set(read_json(scene_list)["tool_classes"].values())
            used |= {identifier for identifier, label in self.class_names.items() if label in named}
        return {identifier: self.class_names[identifier] for identifier in sorted(used)}

    def _write_coco(self, file_name: str, images: list[dict], *about) -> None:
        chosen = {image["id"] for image in images}
        annotations = [annotation for annotation in self.annotations if annotation["image_id"] in chosen]
        _write_json(self.folder / file_name, coco.coco_document(images, annotations, *about))


def choose_validation(frames: int, config: AnnotateConfig, seed: int) -> np.ndarray:
    """bool [frames]: which frames are for validation. Blocks of consecutive frames stay together."""
    blocks = -(-frames // config.split_block_frames)
    held_out = round(blocks * config.val_fraction)
    if config.val_fraction > 0 and blocks > 1:
        held_out = min(max(1, held_out), blocks - 1)
    chosen = np.zeros(blocks, bool)
    chosen[np.random.default_rng([seed, frames]).permutation(blocks)[:held_out]] = True
    return np.repeat(chosen, config.split_block_frames)[:frames]


def _pose_entry(meta: dict, annotations: list[dict]) -> dict:
    known = {key: meta.get(key) for key in ("camera", "world_from_camera", "source")}
    tools = ("instance", "category_id", "name", "camera_from_tool_sensor", "camera_from_tool")
    return known | {"tools": [{key: entry[key] for key in tools if key in entry} for entry in annotations]}


def _provenance(shards: Sequence[str | Path], extra: dict | None) -> dict:
    """What the shard manifests say, each distinct statement once, and the shards' own digests."""
    manifests = [read_json(manifest_path(shard)) for shard in sorted(map(str, shards))]
    statements = [manifest["provenance"] for manifest in manifests]
    distinct = [statement for number, statement in enumerate(statements) if statement not in statements[:number]]
    digests = {Path(shard).name: manifest["sha256"] for shard, manifest in zip(sorted(map(str, shards)), manifests)}
    return {"shards": digests, "render": distinct, **(extra or {})}


def _write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, indent=None, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n")

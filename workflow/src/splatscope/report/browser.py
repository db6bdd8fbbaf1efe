"""The dataset browser's content: thumbnails and depth in sheets, and of every frame its labels as compact numbers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from splatscope.config.report import ReportConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.images import decode_image, resize_area
from splatscope.report import sheets
from splatscope.report.inputs import ReportInputs
from splatscope.report.outlines import mask_polygons, pack_polygons
from splatscope.shards import read_shard

SPLITS = ("train", "val")


def browser(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """For each dataset that was made: `name`, `json` (numbers and names, see _Numbers), and as base64 of JPEG sheets
    `thumbnails` and `depths`.

    Datasets share `config.browser_frames` and `config.browser_megabytes` by their sizes. Raises InputError when a frame
    is not in the shards that the dataset is said to come from.
    """
    folders = {name: folder for name, folder in inputs.datasets.items() if (folder / "manifest.json").is_file()}
    documents = {name: read_json(folder / "annotations.json") for name, folder in folders.items()}
    chosen = _shares({name: document["images"] for name, document in documents.items()}, config.browser_frames)
    total = sum(len(images) for images in chosen.values())
    return [
        _Dataset(name, folders[name], documents[name], images, inputs, config).content(len(images) / total)
        for name, images in chosen.items()
        if images
    ]


def _shares(images: Mapping[str, list[dict]], limit: int) -> dict[str, list[dict]]:
    """Of each dataset its share of `limit` images, evenly spread; all when there are no more."""
    total = sum(len(entries) for entries in images.values())
    chosen = {}
    for name, entries in images.items():
        count = len(entries) if total <= limit else max(min(1, limit), len(entries) * limit // total)
        places = np.linspace(0, len(entries) - 1, count).round().astype(int)
        chosen[name] = [entries[place] for place in places]
    return chosen


def _metric(inputs: ReportInputs) -> bool:
    """Whether the recordings' world has a scale; nothing is known to the contrary where no poses are."""
    path = inputs.poses / "poses.json" if inputs.poses is not None else None
    return path is None or not path.is_file() or bool(read_json(path).get("metric"))


class _Dataset:
    """One dataset on its way into the page."""

    def __init__(
        self, name: str, folder: Path, coco: dict, images: list[dict], inputs: ReportInputs, config: ReportConfig
    ):
        self.name, self.folder, self.images, self.config = name, folder, images, config
        self.total = len(coco["images"])
        self.shards = inputs.shards.get(name, ())
        self.depth_unit = None if name in inputs.compose and not _metric(inputs) else "mm"
        raw = name.removesuffix("_restyled")
        self.before = raw if raw != name and raw in inputs.restyled else None
        self.classes = {category["id"]: category["name"] for category in coco["categories"]}
        self.labels: dict[int, list[dict]] = {image["id"]: [] for image in images}
        for annotation in coco["annotations"]:
            if annotation["image_id"] in self.labels:
                self.labels[annotation["image_id"]].append(annotation)

    def content(self, share: float) -> dict:
        first = self.images[0]
        width = self._thumbnail_width(share * self.config.browser_megabytes)
        thumbnails = sheets.Sheets(width, sheets.height_of(width, first["width"], first["height"]))
        depth_width = min(sheets.DEPTH_WIDTH, width)
        depths = sheets.Sheets(depth_width, sheets.height_of(depth_width, first["width"], first["height"]))
        numbers = _Numbers(list(self.classes))
        for image, rgb, depth in self._pictures(self.images):
            thumbnails.add(resize_area(rgb, thumbnails.width, thumbnails.height))
            shown = np.zeros((1, 1), np.float32) if depth is None else depth
            picture, near_far = sheets.depth_picture(shown, depths.width, depths.height)
            if self.shards:
                depths.add(picture)
            numbers.add(image, self.labels[image["id"]], near_far, width)
        thumbnails.finish()
        depths.finish()
        document = {
            "name": self.name,
            "images": self.total,
            "frames": len(self.images),
            "before": self.before,
            "sheet": {"columns": sheets.COLUMNS, "width": thumbnails.width, "height": thumbnails.height},
            "depth": bool(self.shards),
            "depth_unit": self.depth_unit,
            "classes": list(self.classes.values()),
            "names": [Path(image["file_name"]).name for image in self.images],
            **numbers.document(),
        }
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        return {"name": self.name, "json": text, "thumbnails": thumbnails.encoded, "depths": depths.encoded}

    def _thumbnail_width(self, megabytes: float) -> int:
        """The width at which thumbnails and depths take `megabytes` of the page, judged by a sheet of frames."""
        places = np.unique(np.linspace(0, len(self.images) - 1, sheets.PER_SHEET).round().astype(int))
        sample = list(self._pictures([self.images[place] for place in places]))
        first = (sample[0][1].shape[1], sample[0][1].shape[0])
        depth_size = (sheets.DEPTH_WIDTH, sheets.height_of(sheets.DEPTH_WIDTH, *first))
        depths = [sheets.depth_picture(depth, *depth_size)[0] for _, _, depth in sample if depth is not None]
        left = 1e6 * megabytes - len(self.images) * sheets.page_bytes(depths)
        pictures = [resize_area(rgb, *first) for _, rgb, _ in sample]
        return sheets.fitting_width(pictures, left / len(self.images), self.config.thumbnail_width)

    def _pictures(self, images: Sequence[dict]) -> Iterator[tuple[dict, np.ndarray, np.ndarray | None]]:
        """The images with their pixels uint8 [H, W, 3] and, where the shards are there, depth in mm float32 [H, W]."""
        if not self.shards:
            for image in images:
                path = self.folder / image["file_name"]
                yield image, decode_image(path.read_bytes(), str(path)), None
            return
        by_shard: dict[str, dict[str, dict]] = {}
        for image in images:
            shard, _, key = Path(image["file_name"]).stem.rpartition("_")
            by_shard.setdefault(shard, {})[key] = image
        files = {path.stem.removeprefix("shard_"): path for path in self.shards}
        for shard, wanted in by_shard.items():
            found = read_shard(files[shard], maps={"depth_mm"}, keys=wanted) if shard in files else ()
            keys = []
            for frame in found:
                keys.append(frame.key)
                yield wanted[frame.key], frame.rgb, frame.depth_mm
            missing = sorted(set(wanted) - set(keys))
            if missing:
                raise InputError(
                    self.folder / "annotations.json",
                    f"image {wanted[missing[0]]['file_name']}",
                    found=f"no frame {missing[0]} in shard {shard}",
                    expected="images of the shards that the report was given",
                    remedy="make the dataset again",
                )


class _Numbers:
    """Labels of all frames as flat arrays. Instances follow each other frame by frame, `first` says where each frame's
    begin; so do `outlines`, from byte `outline_first` on: of each instance the polygons of what is seen, then of all of
    it (none: the same)."""

    def __init__(self, category_ids: list[int]):
        self._class_of = {identifier: index for index, identifier in enumerate(category_ids)}
        self._frames: list[tuple] = []  # width, height, split
        self._depths: list[tuple[float, float]] = []
        self._first, self._outline_first = [0], [0]
        self._instances: list[tuple] = []  # class, visibility in 1 / 1000, box x, y, width, height in px
        self._outlines = bytearray()

    def add(self, image: dict, labels: list[dict], near_far: tuple[float, float], thumbnail_width: int) -> None:
        self._frames.append((image["width"], image["height"], SPLITS.index(image["split"])))
        self._depths.append(near_far)
        tolerance = max(0.5, 0.5 * image["width"] / thumbnail_width)
        for label in labels:
            box = [round(side) for side in label["bbox"]]
            self._instances.append((self._class_of[label["category_id"]], round(1000 * label["visibility"]), *box))
            visible, amodal = label["segmentation"], label["amodal_segmentation"]
            self._outlines += pack_polygons(mask_polygons(visible, tolerance))
            self._outlines += pack_polygons([] if amodal == visible else mask_polygons(amodal, tolerance))
        self._first.append(len(self._instances))
        self._outline_first.append(len(self._outlines))

    def document(self) -> dict:
        frames = np.array(self._frames, np.uint16).reshape(-1, 3)
        instances = np.array(self._instances, np.uint16).reshape(-1, 6)
        return {
            "size": typed(frames[:, :2]),
            "split": typed(frames[:, 2].astype(np.uint8)),
            "depth_range": typed(np.array(self._depths, np.float32)),
            "first": typed(np.array(self._first, np.uint32)),
            "class": typed(instances[:, 0].astype(np.uint8)),
            "visibility": typed(instances[:, 1]),
            "box": typed(instances[:, 2:]),
            "outline_first": typed(np.array(self._outline_first, np.uint32)),
            "outlines": typed(np.frombuffer(bytes(self._outlines), np.uint8)),
        }


def typed(array: np.ndarray) -> dict[str, str]:
    """An array for the page's script: its type, and its values row by row, little-endian, in base64."""
    values = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    return {"type": array.dtype.name, "base64": base64.b64encode(values.tobytes()).decode("ascii")}

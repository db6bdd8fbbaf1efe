"""Image sets (see image_sets.py) from real recordings and from the shards of a synthetic dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from splatscope.annotate.records import read_annotations
from splatscope.classes import IGNORE_ID
from splatscope.config.annotate import AnnotateConfig
from splatscope.errors import InputError
from splatscope.evaluate.replay import RealRecording
from splatscope.images import decode_image, resize_area
from splatscope.proof.coco_annotations import CocoAnnotations
from splatscope.proof.image_sets import PADDING_GREY
from splatscope.shards import Frame, read_shard, write_shard

LABEL_MAPS = ("class_map", "instance_map", "amodal_bits")


@dataclass(frozen=True)
class Fit:
    """Scaling of an image into a canvas of `width` x `height`: its sides kept in proportion, padded right and below."""

    image_width: int
    image_height: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the scaled image."""
        scale = min(self.width / self.image_width, self.height / self.image_height)
        return max(1, round(self.image_width * scale)), max(1, round(self.image_height * scale))

    def image(self, rgb: np.ndarray) -> np.ndarray:
        canvas = np.full((self.height, self.width, 3), PADDING_GREY, np.uint8)
        width, height = self.size
        smaller = width <= self.image_width
        canvas[:height, :width] = resize_area(rgb, width, height) if smaller else cv2.resize(rgb, (width, height))
        return canvas

    def class_map(self, classes: np.ndarray) -> np.ndarray:
        canvas = np.full((self.height, self.width), IGNORE_ID, np.uint8)
        width, height = self.size
        canvas[:height, :width] = cv2.resize(classes, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return canvas

    def box(self, x: float, y: float, width: float, height: float) -> list[float]:
        across, down = self.size[0] / self.image_width, self.size[1] / self.image_height
        return [x * across, y * down, width * across, height * down]


def write_real_set(
    out: str | Path,
    recordings: Mapping[str, RealRecording],
    annotations: Mapping[str, str],
    class_table: Mapping[str, int],
    size: tuple[int, int],
    config: AnnotateConfig,
) -> None:
    """Write the set (a frame shard) of the annotated frames of real recordings, `size` (width, height) pixels large.

    A recording's boxes come from its COCO file in `annotations`, or else from the phantom's truth; instances too small
    or too hidden for `config` count as absent, as in the synthetic dataset. Raises InputError when a recording has
    neither, or no annotated frame.
    """
    names = {identifier: name for name, identifier in class_table.items()}

    def frames() -> Iterator[Frame]:
        for name, recording in recordings.items():
            if name in annotations:
                labelled = CocoAnnotations(annotations[name], class_table).frames(recording.frames)
            elif recording.truth is not None:
                labelled = _true_frames(recording, names, config)
            else:
                raise InputError(
                    "config",
                    "key proof.annotations",
                    found=f"nothing for the recording {name}",
                    expected="a COCO file with the boxes of its frames",
                    remedy=f"annotate frames of results/ingest/{name}/frames.tar and add {name}: <file>",
                )
            valid = _valid_pixels(recording)
            count = 0
            for frame, boxes in labelled:
                if valid is not None and frame.class_map is not None:
                    frame.class_map = np.where(valid, frame.class_map, np.uint8(IGNORE_ID))
                count += 1
                yield _set_frame(frame, boxes, size, {"recording": name, "frame": int(frame.key)})
            if not count:
                raise InputError(
                    recording.frames,
                    found="no annotated frame",
                    expected="at least one",
                    remedy="name frames in the COCO file as ingest does: <six digits>.png",
                )

    _write(out, frames())


def write_synthetic_set(
    out: str | Path,
    shards: Sequence[str | Path],
    class_table: Mapping[str, int],
    size: tuple[int, int],
    config: AnnotateConfig,
) -> None:
    """Write the set of all frames of a synthetic dataset's shards, `size` (width, height) pixels large."""
    names = {identifier: name for name, identifier in class_table.items()}

    def frames() -> Iterator[Frame]:
        for path in shards:
            for frame in read_shard(path, maps=LABEL_MAPS):
                about_recorded = frame.meta.get("source", {}).get("frame", -1) >= 0
                source = {"shard": Path(path).name, "frame": int(frame.key), "posed_about_recorded": about_recorded}
                yield _set_frame(frame, _boxes(frame, names, config, str(path)), size, source)

    _write(out, frames())


def _write(out: str | Path, frames: Iterable[Frame]) -> None:
    write_shard(out, ((setattr(frame, "key", f"{index:06d}"), frame)[1] for index, frame in enumerate(frames)))


def _set_frame(frame: Frame, boxes: list[list[float]], size: tuple[int, int], source: dict) -> Frame:
    fit = Fit(frame.rgb.shape[1], frame.rgb.shape[0], *size)
    rows = [[round(value, 4) for value in fit.box(*box[:4])] + [int(box[4])] for box in boxes]
    return Frame(
        frame.key,
        fit.image(frame.rgb),
        {"boxes": rows, "source": source},
        class_map=None if frame.class_map is None else fit.class_map(frame.class_map),
    )


def _boxes(frame: Frame, names: dict[int, str], config: AnnotateConfig, file: str) -> list[list[float]]:
    """[x, y, width, height, class id] of the annotated instances of a frame, in its own pixels."""
    annotations = read_annotations(frame, names, config, Counter(), file)
    return [[*annotation.box, annotation.class_id] for annotation in annotations]


def _true_frames(
    recording: RealRecording, names: dict[int, str], config: AnnotateConfig
) -> Iterator[tuple[Frame, list[list[float]]]]:
    """Real frames with the truth's class map, and their boxes; what lies on unusable pixels is not seen."""
    valid = _valid_pixels(recording)
    real = {frame.key: frame for frame in read_shard(recording.frames, maps=())}
    for truth in read_shard(recording.truth, maps=LABEL_MAPS, keys=set(real)):
        if valid is not None:
            truth.instance_map = np.where(valid, truth.instance_map, np.uint8(0))
        frame = real[truth.key]
        frame.class_map = truth.class_map
        yield frame, _boxes(truth, names, config, str(recording.truth))


def _valid_pixels(recording: RealRecording) -> np.ndarray | None:
    if recording.valid_mask is None:
        return None
    return decode_image(recording.valid_mask.read_bytes(), str(recording.valid_mask)) == 255

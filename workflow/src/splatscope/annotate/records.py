"""Which instances of a frame become annotations, and what is known of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from splatscope.classes import BACKGROUND_ID, IGNORE_ID, MAX_INSTANCES
from splatscope.config.annotate import AnnotateConfig
from splatscope.errors import InputError
from splatscope.geometry import invert
from splatscope.shards import Frame


@dataclass(frozen=True)
class Annotation:
    """One instance in one image. Pixel masks are bool [H, W]; poses are [4, 4] in mm."""

    instance: int
    class_id: int
    name: str  # of the tool; empty when the frame does not say
    visible: np.ndarray
    amodal: np.ndarray
    camera_from_tool_sensor: np.ndarray | None = None  # of a recorded tool
    camera_from_tool: np.ndarray | None = None  # of a simulated one, which has no sensor
    keypoints: dict[str, list] | None = None  # name -> pixel x, y, and COCO's visibility: 0 outside, 1 hidden, 2 seen

    @property
    def area(self) -> int:
        """Visible pixels."""
        return int(self.visible.sum())

    @property
    def visibility(self) -> float:
        """Visible over amodal area, 0..1."""
        return self.area / max(1, int(self.amodal.sum()))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the visible pixels; x + width is one past the last column."""
        columns, rows = np.flatnonzero(self.visible.any(0)), np.flatnonzero(self.visible.any(1))
        return (
            int(columns[0]),
            int(rows[0]),
            int(columns[-1] - columns[0] + 1),
            int(rows[-1] - rows[0] + 1),
        )


@dataclass
class FrameRecord:
    """One image of the dataset: its name (unique, no suffix), the frame and its annotations."""

    name: str
    frame: Frame
    annotations: list[Annotation] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frame.rgb.shape[1], self.frame.rgb.shape[0]


def image_name(shard: Path, key: str) -> str:
    """What the dataset calls a frame of a shard: unique over all shards of a dataset, no suffix."""
    return f"{shard.stem.removeprefix('shard_')}_{key}"


def read_annotations(
    frame: Frame, class_names: dict[int, str], config: AnnotateConfig, dropped: Counter, file: str
) -> list[Annotation]:
    """Annotations of a frame by instance number; what is left out is counted in `dropped` by reason.

    The amodal mask falls back on the visible one where a stage gives none, and always contains it: pixels that
    antialiasing gives to the instance in the composite but not alone are no reason for a visibility above 1.
    Raises InputError when the frame has no instance map or an instance's class is not in the table.
    """
    if frame.instance_map is None or frame.class_map is None:
        raise InputError(
            file,
            f"frame {frame.key}",
            found="no class or instance map",
            expected="a frame made by render or simulate",
            remedy="give annotate the shards of a rendered dataset",
        )
    described = {int(entry["instance"]): entry for entry in frame.meta.get("instances", [])}
    annotations = []
    for instance in sorted(_present_instances(frame) | set(described)):
        visible = frame.visible_mask(instance)
        amodal = visible if frame.amodal_bits is None else frame.amodal_mask(instance) | visible
        entry = described.get(instance, {})
        if not visible.any():
            dropped["hidden" if amodal.any() else "outside_image"] += 1
            continue
        annotation = Annotation(
            instance,
            _class_of(entry, visible, frame, class_names, file),
            str(entry.get("name", "")),
            visible,
            amodal,
            _camera_from_tool_sensor(entry, frame.meta),
            None if entry.get("camera_from_tool") is None else np.array(entry["camera_from_tool"], np.float64),
            entry.get("keypoints"),
        )
        if annotation.area < config.min_area_px:
            dropped["below_min_area"] += 1
        elif annotation.visibility < config.min_visibility:
            dropped["below_min_visibility"] += 1
        else:
            annotations.append(annotation)
    return annotations


def _present_instances(frame: Frame) -> set[int]:
    present = set(np.unique(frame.instance_map).tolist()) - {0}
    if frame.amodal_bits is not None:
        bits = int(np.bitwise_or.reduce(frame.amodal_bits, axis=None))
        present |= {bit + 1 for bit in range(MAX_INSTANCES) if bits >> bit & 1}
    return present


def _class_of(entry: dict, visible: np.ndarray, frame: Frame, class_names: dict[int, str], file: str) -> int:
    class_id = entry.get("class_id")
    if class_id is None:
        class_id = int(np.bincount(frame.class_map[visible]).argmax())
    if class_id not in class_names or class_id in (BACKGROUND_ID, IGNORE_ID):
        raise InputError(
            file,
            f"frame {frame.key}",
            found=f"class {class_id} for an instance",
            expected=f"one of {sorted(set(class_names) - {BACKGROUND_ID, IGNORE_ID})} of the class table",
            remedy="add the class to the class table, or correct the tool's class in the compose settings",
        )
    return int(class_id)


def _camera_from_tool_sensor(entry: dict, meta: dict) -> np.ndarray | None:
    if entry.get("camera_from_tool_sensor") is not None:
        return np.array(entry["camera_from_tool_sensor"], np.float64)
    if entry.get("world_from_tool_sensor") is None or meta.get("world_from_camera") is None:
        return None
    return invert(np.array(meta["world_from_camera"], np.float64)) @ np.array(
        entry["world_from_tool_sensor"], np.float64
    )

"""An instrument as it stands before a frame's camera: drawn, and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from splatscope.config.mix import MixConfig
from splatscope.keypoints import locate_keypoint
from splatscope.mix.layer import Cover, Layer
from splatscope.mix.light import Filming
from splatscope.mix.placing import View
from splatscope.shards import Frame


@dataclass(frozen=True)
class Candidate:
    """One try. Poses are camera_from_<frame> [4, 4], mm."""

    layer: Layer  # without colour
    finish: Callable[[], Layer]  # draws the rest of it: colour, and of normals and points what the frame has
    name: str
    class_id: int
    pose: np.ndarray
    pose_frame: str  # "tool", or "tool_sensor" for a recorded instrument
    tip: np.ndarray  # [3] camera axes
    joints: dict[str, float] | None = None  # degrees
    keypoints: Mapping[str, np.ndarray] = field(default_factory=dict)  # [3] camera axes
    keypoint_depth_mm: float = 0.0  # a keypoint may lie this far below the surface and count as seen


class LayerSource(Protocol):
    """Where instruments come from."""

    kind: str

    def propose(self, rng: np.random.Generator, view: View, filming: Filming | None, config: MixConfig) -> Candidate:
        """An instrument at a pose drawn by `rng`, brought to the frame's exposure when `filming` is given.

        Raises Rejected when the draw breaks a limit that can be told before comparing it with the frame.
        """


def describe(candidate: Candidate, instance: int, class_name: str, frame: Frame, view: View, covered: Cover) -> dict:
    """The instance's entry in the meta data of `frame`, whose maps hold the instrument already."""
    visible, amodal = int(covered.owned.sum()), int(covered.amodal.sum())
    entry = {
        "instance": instance,
        "name": candidate.name,
        "class_id": candidate.class_id,
        "class_name": class_name,
        f"camera_from_{candidate.pose_frame}": candidate.pose.tolist(),
        "visible_px": visible,
        "amodal_px": amodal,
        "visibility": visible / max(1, amodal),
    }
    if frame.meta.get("world_from_camera") is not None:
        world_from_camera = np.array(frame.meta["world_from_camera"])
        entry[f"world_from_{candidate.pose_frame}"] = (world_from_camera @ candidate.pose).tolist()
    if candidate.joints is not None:
        entry["joints"] = {name: round(angle, 4) for name, angle in candidate.joints.items()}
        depth = candidate.keypoint_depth_mm
        entry["keypoints"] = {
            name: locate_keypoint(
                point, view.camera, view.inside > 0.5, frame.visible_mask(instance), frame.depth_mm, depth
            )
            for name, point in candidate.keypoints.items()
        }
    return entry


def updated(entry: dict, frame: Frame, new: int) -> dict:
    """The entry of an instance that was there before, in the frame that the instance `new` was laid into."""
    instance = entry["instance"]
    visible = int(frame.visible_mask(instance).sum())
    changed = entry | {"visible_px": visible, "visibility": visible / max(1, entry["amodal_px"])}
    if "keypoints" in entry:
        changed["keypoints"] = {
            name: [x, y, 1] if seen == 2 and frame.instance_map[int(y), int(x)] == new else [x, y, seen]
            for name, (x, y, seen) in entry["keypoints"].items()
        }
    return changed

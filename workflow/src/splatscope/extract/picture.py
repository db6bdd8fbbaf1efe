"""The before/after picture of an extraction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from splatscope.compositing import composite
from splatscope.images import resize_area, to_uint8
from splatscope.recorded_frames import read_recorded
from splatscope.splats.gaussians import Gaussians

if TYPE_CHECKING:
    from splatscope.extract.tool import ToolRecording

WIDTH = 320  # pixels of one picture
OVERLAY = np.array([0.1, 1.0, 0.3], np.float32)


def before_and_after(
    everything: Gaussians,
    tool: Gaussians,
    recording: ToolRecording,
    frames_tar: str | Path | None = None,
    views: int = 3,
) -> np.ndarray:
    """uint8 [H, W, 3]: a row per view of the recording with the whole splat, the tool alone, and the tool's mask laid
    over the recorded frame (over the whole splat where no frames are given)."""
    camera = recording.camera
    camera = camera.scaled(WIDTH, round(camera.height * WIDTH / camera.width))
    chosen = np.unique(np.linspace(0, len(recording.keys), views, endpoint=False).astype(int))
    recorded = {}
    if frames_tar is not None:
        for frame in read_recorded(frames_tar, recording.lens, {recording.keys[index] for index in chosen}):
            recorded[frame.key] = resize_area(frame.rgb, camera.width, camera.height).astype(np.float32) / 255
    rows = []
    for index in chosen:
        pose = recording.world_from_camera[index]
        before = composite(everything, [], camera, pose).color
        alone = composite(tool, [], camera, pose)
        under = recorded.get(recording.keys[index], before)
        weight = 0.5 * alone.alpha[..., None]
        rows.append(np.hstack([before, alone.color, under * (1 - weight) + OVERLAY * weight]))
    return to_uint8(np.vstack(rows))

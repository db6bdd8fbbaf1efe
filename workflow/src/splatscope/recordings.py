"""What the user brings: the rows of recordings.tsv."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Role(StrEnum):
    """What a recording is for."""

    BACKGROUND = "background"  # the site without tools; teaches the background splat
    TOOL = "tool"  # one tool alone, the camera circling it; teaches the tool splat. Its name is the tool's name
    SCENE = "scene"  # site and tools together; ground truth that the replay is compared with, never trained on
    TEST = "test"  # like scene; the unseen real test set of downstream experiments


@dataclass(frozen=True)
class Recording:
    """One row of recordings.tsv; paths are relative to the working directory, None where the row has '-'."""

    name: str
    role: Role
    video: Path  # a video file, or a folder of images
    tracker: Path | None = None  # NDI CSV/TSV, PLUS .mha, or TUM trajectory
    calibration: Path | None = None  # OpenCV YAML/JSON, COLMAP cameras, or a checkerboard video
    poses: Path | None = None  # known camera poses: a COLMAP model folder or a nerfstudio transforms.json

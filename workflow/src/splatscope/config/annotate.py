"""Settings of the annotate stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from splatscope.config.section import Section


class AnnotateConfig(Section):
    """Frame shards to a dataset with COCO, YOLO and PNG labels."""

    image_format: Literal["png", "jpg"] = "png"
    """Format of the images: png (lossless) or jpg."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of jpg images, 1 to 100."""
    min_area_px: int = Field(default=25, ge=1)
    """An instance that shows fewer pixels than this gets no annotation; it is counted. In pixels."""
    min_visibility: float = Field(default=0.05, ge=0, le=1)
    """An instance of which a smaller fraction is seen (visible over amodal area) gets no annotation; it is counted."""
    keep_empty_frames: bool = True
    """Keep frames without any annotation as negative examples; otherwise they are left out and counted."""
    val_fraction: float = Field(default=0.2, ge=0, lt=1)
    """Fraction of the frames in the validation split."""
    split_block_frames: int = Field(default=16, ge=1)
    """Consecutive frames that stay on one side of the split, because neighbours of a video look alike. In frames."""
    licence: str = "unspecified"
    """Licence of the dataset, as it stands in its card and in COCO: yours to state, it follows the recordings."""
    author: str = "unspecified"
    """Who made the dataset, as it stands in its card and in COCO."""

"""Settings of the stage ablation: which errors and parts are tried out on the replay."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator

from splatscope.config.section import Section

Error = Annotated[float, Field(ge=0)]


class AblationConfig(Section):
    """The replay again with one thing changed at a time. Every entry of a list is jobs of its own, so that a longer
    list adds jobs and repeats none."""

    frames: int = Field(default=40, ge=2)
    """Frames of the scene recordings that are replayed in each case, spread evenly."""
    jitter_mm: tuple[Error, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    """RMS length (mm) of a random position error added to every reading of the camera's and the tools' sensors."""
    jitter_deg: tuple[Error, ...] = (0.0, 0.5, 1.0, 2.0)
    """RMS angle (degrees) of a random rotation error added to them. Each is combined with each jitter_mm."""
    distortion: tuple[tuple[Error, Error], ...] = ((0.5, 0.3), (1.0, 0.6), (2.0, 1.2))
    """RMS position (mm) and rotation error (degrees), over the tracker's working volume, of a smooth distortion of its
    field that was not there when the models were recorded."""
    views_percent: tuple[Annotated[int, Field(ge=1, lt=100)], ...] = (25, 50)
    """Shares (%) of the frames of background and tool recordings that splats are trained from once more."""
    mask_iou_loss: float = Field(default=0.05, gt=0, lt=1)
    """Loss of mean mask IoU up to which a tracker error counts as tolerable."""

    @field_validator("jitter_mm", "jitter_deg", "distortion", "views_percent")
    @classmethod
    def _rising(cls, values: tuple) -> tuple:
        if any(later <= earlier for earlier, later in pairwise(values)):
            raise ValueError(f"expected rising values, got {list(values)}")
        return values

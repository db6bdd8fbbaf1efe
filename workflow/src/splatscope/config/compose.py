"""Settings of the stage compose: which scenes are made."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from splatscope.classes import MAX_INSTANCES
from splatscope.config.section import Section

Dataset = Literal["replay", "replay_paper", "sampled"]
SHARD_SIZE = 128  # frames: minutes of work, so that a lost shard costs little and a job is worth its start
MAX_SHARDS = 2000  # of a dataset: Snakemake plans some 250 jobs a second, and a workflow may work on a shard twice


class RecipeConfig(Section):
    """How the scenes of the dataset `sampled` are drawn. Lengths in mm, angles in degrees."""

    frames: int = Field(256, ge=1)
    """Number of frames."""

    tools_per_frame: dict[int, float] = {0: 0.1, 1: 0.7, 2: 0.2}
    """Number of tools -> probability. About a recorded frame there are its tools, or none."""

    recorded_share: float = Field(0.5, ge=0, le=1)
    """Share of frames posed about a frame of the scene recordings, its camera and its tools shaken (pose
    augmentation); the others are posed freely. Without scene recordings all are."""

    recorded_jitter_mm: float = Field(8.0, ge=0)
    """Standard deviation per axis (mm) of a tip about where its recorded frame has it."""

    recorded_jitter_deg: float = Field(15.0, ge=0)
    """Standard deviation per axis (degrees) of a tool's rotation about the same, around its tip."""

    camera_jitter_mm: float = Field(4.0, ge=0)
    """Standard deviation per axis (mm) of the camera's position: about a path between two background cameras, or about
    the recorded frame's."""

    camera_jitter_deg: float = Field(4.0, ge=0)
    """Standard deviation per axis (degrees) of its rotation about the same."""

    camera_limit_mm: float = Field(10.0, gt=0)
    """Some background camera must be nearer (mm) than this, so that the site is not seen from where nobody looked."""

    camera_limit_deg: float = Field(15.0, gt=0)
    """That camera's rotation must differ by less (degrees) than this."""

    min_site_coverage: float = Field(0.995, ge=0, le=1)
    """Share of the image that the site must cover (accumulated opacity above one half)."""

    tip_margin: float = Field(0.12, ge=0, lt=0.5)
    """The tip keeps this far from the image border, as a share of width and height."""

    contact_probability: float = Field(0.3, ge=0, le=1)
    """How often the tip touches the tissue; else it hovers."""

    max_standoff_mm: float = Field(20.0, ge=0)
    """A hovering tip is up to this far (mm, along the line of sight) before the tissue."""

    min_depth_mm: float = Field(40.0, gt=0)
    """No part of a tool inside the image is nearer (mm, along the optical axis) than this."""

    max_depth_mm: float = Field(200.0, gt=0)
    """No tip is farther (mm) than this."""

    entry_angles_deg: tuple[float, float] = (0.0, 360.0)
    """Range of directions in the image from the tip to the shaft: 0 right, 90 down, 180 left, 270 up."""

    shaft_leaves_image: bool = True
    """The shaft's far end must lie outside the image, as a real tool's does."""

    coverage_deg: float = Field(12.0, gt=0)
    """The tool is looked at from within this angle (degrees) of a direction that its own recording has."""

    min_tool_gap_mm: float = Field(8.0, ge=0)
    """Least distance (mm) between the axes of two tools."""

    min_visibility: float = Field(0.5, ge=0, le=1)
    """Share of each tool's pixels in the image that nothing hides."""

    min_area_px: int = Field(300, ge=1)
    """Visible pixels of each tool, at least."""

    max_attempts: int = Field(400, ge=1)
    """Draws per frame before the recipe is given up as impossible."""

    @field_validator("tools_per_frame")
    @classmethod
    def _probabilities(cls, value: dict[int, float]) -> dict[int, float]:
        if any(not 0 <= count <= MAX_INSTANCES or share < 0 for count, share in value.items()):
            raise ValueError(f"expected counts 0..{MAX_INSTANCES} with probabilities of at least 0")
        if not math.isclose(sum(value.values()), 1, abs_tol=1e-6):
            raise ValueError(f"expected probabilities that sum to 1, got {sum(value.values())}")
        return value

    @model_validator(mode="after")
    def _depths(self) -> RecipeConfig:
        if self.min_depth_mm >= self.max_depth_mm:
            raise ValueError("min_depth_mm must be below max_depth_mm")
        return self


class ComposeConfig(Section):
    """Which scenes are composed, at which size, and what the tools are called."""

    width: int = Field(320, ge=16)
    """Width of the composed images in pixels."""

    height: int = Field(256, ge=16)
    """Height in pixels."""

    shard_size: int | None = Field(None, ge=1)
    """Frames per shard. null: 128, and as many more as leave a dataset no more than 2,000 shards."""

    replay_frames: int = Field(128, ge=1)
    """Frames replayed from the scene recordings, spread evenly; fewer when the recordings have fewer valid ones."""

    tool_classes: dict[str, str] = {}
    """Tool name -> class name of the class table. A tool not named here has the class of its own name, read with
    spaces for underscores."""

    recipe: RecipeConfig = RecipeConfig()
    """The dataset `sampled`."""

    def shard_count(self, dataset: Dataset) -> int:
        """Number of shards of a dataset, known before any frame is."""
        return math.ceil(self.frame_count(dataset) / self.frames_per_shard(dataset))

    def frames_per_shard(self, dataset: Dataset) -> int:
        """Frames of every shard of a dataset but its last, which may have less."""
        return self.shard_size or max(SHARD_SIZE, math.ceil(self.frame_count(dataset) / MAX_SHARDS))

    def frame_count(self, dataset: Dataset) -> int:
        """Frames of a dataset; a replay may have fewer (see `replay_frames`)."""
        return self.recipe.frames if dataset == "sampled" else self.replay_frames

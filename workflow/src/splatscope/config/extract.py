"""Settings of the stage extract."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from splatscope.config.section import Section


class ExtractConfig(Section):
    """How the tool's Gaussians are told from the rest of the tool recording's splat."""

    min_opacity: float = Field(0.1, ge=0, lt=1)
    """Gaussians with a lower opacity (0..1) are dropped as floaters."""

    max_scale_mm: float = Field(12.0, gt=0)
    """Gaussians whose largest standard deviation exceeds this (mm) are dropped."""

    radius_mm: float = Field(80.0, gt=0)
    """Gaussians farther (mm) than this from the point the cameras look at are dropped."""

    axis_radius_mm: float | None = Field(None, gt=0)
    """Where set, Gaussians farther (mm) than this from the tool's long axis are dropped: cuts a clamp off a shaft."""

    plane_tolerance_mm: float = Field(3.0, gt=0)
    """Gaussians within this distance (mm) of the support plane, or beyond it, are dropped."""

    plane_min_share: float = Field(0.1, gt=0, le=1)
    """A plane counts as the support only when it holds this share of the Gaussians around the tool."""

    outlier_neighbours: int = Field(8, ge=1)
    """Number of nearest neighbours whose mean distance says how isolated a Gaussian is."""

    outlier_ratio: float = Field(4.0, gt=1)
    """A Gaussian is an outlier when it is this many times more isolated than the median Gaussian."""

    cluster_gap_mm: float = Field(1.5, gt=0)
    """Two Gaussians belong together when the gap (mm) between their one-sigma extents is below this."""

    cluster_min_share: float = Field(0.02, gt=0, le=1)
    """Only clusters with at least this share of the remaining Gaussians can be the tool."""

    masks: dict[str, Path] = {}
    """Tool name -> known masks of some frames of its recording: a folder of `<frame key>.png` (tool non-zero) or a
    frame shard (.tar) with instance maps. Gaussians are then kept by multi-view voting as well."""

    vote_views: int = Field(40, ge=1)
    """At most this many masks vote, spread evenly over the recording."""

    vote_fraction: float = Field(0.5, gt=0, le=1)
    """A Gaussian is kept when this share of what it contributes to the voting images falls inside the masks."""

    frame: Literal["sensor", "centre"] = "sensor"
    """Frame of the extracted tool: its tracker sensor's, or (recordings without a tracker) world axes with the origin
    at the point the cameras look at."""

    max_sensor_spread_mm: float = Field(3.0, gt=0)
    """The tool must be still in its recording: the 90th percentile of its sensor's distance (mm) from the mean."""

    max_sensor_spread_deg: float = Field(3.0, gt=0)
    """The same for the sensor's rotation (degrees)."""

    tip_mm: dict[str, tuple[float, float, float]] = {}
    """Tool name -> working tip (mm) in the frame of the extracted tool; found automatically for tools not named."""

    paper_radius_mm: float = Field(47.0, gt=0)
    """Radius (mm) of the paper's way: everything this near to the point the cameras look at is the tool."""

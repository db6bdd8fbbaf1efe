"""Settings of the report stage."""

from __future__ import annotations

from pydantic import Field

from splatscope.config.section import Section


class ReportConfig(Section):
    """The self-contained HTML report."""

    title: str = "SplatScope report"
    """Title of the page."""
    browser_frames: int = Field(default=10_000, ge=0, le=20_000)
    """Frames in the dataset browser, of all datasets together; of larger ones that many, evenly spread."""
    browser_megabytes: float = Field(default=26, gt=0, le=500)
    """What the browser's pictures may take of the page; with many frames, thumbnails get smaller until they fit."""
    thumbnail_width: int = Field(default=240, ge=64, le=320)
    """Width of thumbnails in pixels, where they fit."""
    splat_gaussians: int = Field(default=50_000, ge=0, le=500_000)
    """Gaussians of each model that can be turned in the page, the most visible ones; 0 leaves the models out."""
    jpeg_quality: int = Field(default=82, ge=40, le=95)
    """Quality of the embedded pictures, 40 to 95."""
    videos: int = Field(default=8, ge=0)
    """Videos of simulated operations that are embedded, the first ones."""

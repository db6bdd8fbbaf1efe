"""Settings of the report stage."""

from __future__ import annotations

from pydantic import Field

from splatscope.config.section import Section


class ReportConfig(Section):
    """The self-contained HTML report."""

    title: str = "SplatScope report"
    """Title of the page."""
    gallery_frames: int = Field(default=24, ge=0, le=96)
    """Frames shown of each dataset, evenly spread over it."""
    thumbnail_width: int = Field(default=320, ge=96, le=640)
    """Width of gallery pictures in pixels."""
    jpeg_quality: int = Field(default=82, ge=40, le=95)
    """Quality of the embedded pictures, 40 to 95."""
    videos: int = Field(default=8, ge=0)
    """Videos of simulated operations that are embedded, the first ones."""

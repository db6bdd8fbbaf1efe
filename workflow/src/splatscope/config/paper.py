"""Settings of the stage paper."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from splatscope.config.section import Section

Part = Literal["baselines", "proof", "restyle", "ablation"]


class PaperConfig(Section):
    """Both papers' tables and figures beside ours, in one page."""

    title: str = "Both papers, measured again"
    """Title of the page."""
    parts: tuple[Part, ...] = ("baselines", "proof", "restyle", "ablation")
    """What is run for the page beside the replay: radiance fields for Table 1, detectors for Table 2, restyling, the
    ablations. Of the others the page says that they were not run."""
    jpeg_quality: int = Field(default=85, ge=40, le=95)
    """Quality of the embedded pictures, 40 to 95."""

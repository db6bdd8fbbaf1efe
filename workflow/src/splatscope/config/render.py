"""Settings of the stage render."""

from __future__ import annotations

from pydantic import Field

from splatscope.config.section import Section


class RenderConfig(Section):
    """How composed scenes become pixels and labels."""

    mask_threshold: float = Field(0.5, gt=0, lt=1)
    """An instance owns a pixel when its composited weight (0..1) exceeds this; also the least accumulated opacity of
    amodal masks and of pixels with a depth."""

    paper_contrast_threshold: int = Field(40, ge=0, lt=255)
    """Paper mode: a pixel of the tool rendered alone on black belongs to it when its brightest channel (0..255)
    exceeds this."""

    paper_tag_colour: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """Paper mode: colour (RGB, 0..1) that the spherical harmonics' constant term of the tool's Gaussians is set to."""

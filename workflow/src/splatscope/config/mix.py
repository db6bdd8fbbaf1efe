"""Settings of the stage mix."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from splatscope.config.section import Section

InstrumentName = Literal[
    "grasper", "maryland forceps", "l-hook electrocautery", "scissors", "clip applier", "needle driver"
]


class MixConfig(Section):
    """Simulated instruments in captured frames, and captured ones in simulated frames. Lengths in mm, angles in
    degrees."""

    instruments: tuple[InstrumentName, ...] = (
        "grasper",
        "maryland forceps",
        "l-hook electrocautery",
        "scissors",
        "clip applier",
        "needle driver",
    )
    """Simulated instruments, one of which is laid into each captured frame. Captured ones are those of the recordings.
    """

    tip_margin: float = Field(0.15, ge=0, lt=0.5)
    """The tip keeps this far from the image border, as a share of width and height."""

    contact_probability: float = Field(0.5, ge=0, le=1)
    """How often the tip touches the tissue; else it hovers."""

    max_indent_mm: float = Field(1.5, ge=0)
    """A touching tip is up to this far (mm) below the surface. Nothing of the instrument is deeper."""

    clearance_mm: tuple[float, float] = (1.0, 20.0)
    """Range of a hovering tip's distance (mm) from the surface, along its normal."""

    entry_angles_deg: tuple[float, float] = (0.0, 360.0)
    """Range of directions in the image from the tip to the shaft: 0 right, 90 down, 180 left, 270 up."""

    shaft_tilt_deg: tuple[float, float] = (12.0, 50.0)
    """Range of the angle (degrees) between a simulated instrument's shaft, which comes towards the viewer, and the
    image plane."""

    trocar_mm: tuple[float, float] = (110.0, 190.0)
    """Range of the distance (mm) from a simulated instrument's tip to its trocar, which is out of view."""

    wrist_deg: float = Field(45.0, ge=0, le=75)
    """Pitch and yaw of a simulated instrument with a wrist lie within this (degrees)."""

    coverage_deg: float = Field(12.0, gt=0)
    """A captured instrument is looked at from within this angle (degrees) of a direction that its recording has."""

    min_depth_mm: float = Field(30.0, gt=0)
    """No part of the instrument in the image is nearer to the camera (mm, along the optical axis) than this."""

    min_tool_gap_mm: float = Field(8.0, ge=0)
    """Where it crosses an instrument that is there already, one passes the other with at least this gap (mm) between
    their visible surfaces."""

    min_visibility: float = Field(0.6, ge=0, le=1)
    """Share of the instrument's pixels in the image that nothing hides."""

    min_area_px: int = Field(300, ge=1)
    """Its visible pixels, at least."""

    max_draws: int = Field(60, ge=1)
    """Poses tried for a frame; when none fits, the frame stays as it is and is counted."""

    match_exposure: bool = True
    """Bring the instrument to the frame's exposure, haze and noise, which are estimated from its tissue."""

    captured_brightness: float = Field(0.5, gt=0)
    """How bright a captured instrument is beside tissue at the same distance (median red radiance, linear), when the
    exposure is matched."""

    blur_px: float = Field(0.5, ge=0)
    """Standard deviation in pixels by which an instrument is blurred in the picture; labels stay sharp. 0 none."""

    contact_shade: float = Field(0.55, ge=0, le=1)
    """How much darker tissue is that the instrument touches; 0 none."""

    contact_reach_mm: float = Field(3.0, gt=0)
    """How far (mm) from the instrument tissue is shaded."""

    @model_validator(mode="after")
    def _ranges(self) -> MixConfig:
        for name in ("clearance_mm", "entry_angles_deg", "shaft_tilt_deg", "trocar_mm"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected [least, greatest], got [{low}, {high}]")
        if self.clearance_mm[0] < 0 or self.trocar_mm[0] <= 0:
            raise ValueError("expected clearance_mm of at least 0 and trocar_mm above 0")
        if not self.instruments:
            raise ValueError("expected at least one instrument")
        return self

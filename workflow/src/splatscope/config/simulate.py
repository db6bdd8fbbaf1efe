"""Settings of the stage simulate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from splatscope.config.section import Section


class SimulateConfig(Section):
    """Simulated operations: how many, what happens in them, how they are filmed."""

    JOBS = frozenset({"episodes"})

    episodes: int = Field(default=8, ge=0)
    """Number of operations; each has its own anatomy, tools, light and camera."""
    scenario: str = "cholecystectomy_short"
    """What happens: the name of a scenario in config/scenarios, or the path of a YAML file of your own."""
    anatomy: Literal["demo", "standard"] = "demo"
    """Size of the tetrahedra: demo has about 8,000 of them, standard about 19,000."""
    max_duration_s: float = Field(default=150.0, gt=0)
    """An operation that is not finished after this many simulated seconds is ended there."""
    physics_rate_hz: int = Field(default=30, ge=30, le=240)
    """How often in a simulated second the surgeon looks and moves and contacts are searched; a multiple of
    frames_per_second."""
    substeps: int = Field(default=30, ge=5, le=60)
    """Solver substeps in one of these steps. More make tissue stiffer and slower to compute."""

    width: int = Field(default=320, ge=32, multiple_of=2)
    """Width of a frame in pixels."""
    height: int = Field(default=256, ge=32, multiple_of=2)
    """Height of a frame in pixels."""
    frames_per_second: int = Field(default=5, ge=1, le=60)
    """Frames in a simulated second. Optical flow leads from one of these frames to the next."""
    supersampling: int = Field(default=2, ge=1, le=4)
    """Samples, along each side, of a pixel of the colour image that differs from its neighbours: smooths edges and
    highlights. Elsewhere the pixel's centre is enough; labels are always those of the centre."""
    field_of_view_deg: tuple[float, float] = (58.0, 74.0)
    """Range of the horizontal field of view in degrees, one value for each episode."""
    distortion: tuple[float, float] = (-0.22, 0.0)
    """Range of the lens's first radial distortion coefficient (Brown-Conrady k1), one value for each episode."""
    round_view_probability: float = Field(default=0.5, ge=0, le=1)
    """Share of the episodes filmed with the black border of a round view."""
    image_noise: float = Field(default=1.0, ge=0)
    """Factor of the sensor noise; 1 is a standard deviation of about 1.5 of 255 at mid-grey, 0 none."""
    smoke: float = Field(default=1.0, ge=0)
    """Factor of the smoke that burning makes; 0 none."""
    fog_probability: float = Field(default=0.2, ge=0, le=1)
    """Share of the episodes in which the lens mists over for a while."""
    blood: float = Field(default=1.0, ge=0)
    """Factor of the blood that bleeding points spread; 0 none."""

    maps: tuple[Literal["normals", "flow", "points"], ...] = ("normals", "flow", "points")
    """Maps written beside class, instance, amodal and depth: surface normals, optical flow forward and backward,
    persistent surface points."""
    video_crf: int = Field(default=20, ge=0, le=40)
    """Constant rate factor of the episodes' H.264 videos: smaller is better and bigger."""

    @model_validator(mode="after")
    def _steps_fill_frames(self) -> SimulateConfig:
        if self.physics_rate_hz % self.frames_per_second:
            raise ValueError(
                f"physics_rate_hz {self.physics_rate_hz} is no multiple of frames_per_second {self.frames_per_second}"
            )
        for name in ("field_of_view_deg", "distortion"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected [least, greatest], got [{low}, {high}]")
        return self

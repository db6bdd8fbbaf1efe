"""Settings of the phantom stage: the recordings that are rendered when the user brings none."""

from __future__ import annotations

from pydantic import Field

from splatscope.config.section import Section


class PhantomConfig(Section):
    """Rendered recordings of a made-up operation with a made-up tracker."""

    width: int = Field(default=640, ge=32, multiple_of=2)
    """Width of the video in pixels."""
    height: int = Field(default=512, ge=32, multiple_of=2)
    """Height of the video in pixels."""
    field_of_view_deg: float = Field(default=57.0, gt=20, lt=100)
    """Horizontal field of view of the undistorted endoscope in degrees."""
    frames_per_second: int = Field(default=30, ge=5, le=120)
    """Frame rate of the videos in Hz."""
    background_s: float = Field(default=12.0, gt=0)
    """Length of the recording of the site without tools in seconds."""
    needle_driver_s: float = Field(default=14.0, gt=0)
    """Length of the recording of the tool alone in seconds; the camera circles it almost four times."""
    scene_s: float = Field(default=8.0, gt=0)
    """Length of the recording of site and tool in seconds."""
    test_s: float = Field(default=6.0, gt=0)
    """Length of the second recording of site and tool in seconds."""
    test_port_deg: float = Field(default=35.0, ge=-180, le=180)
    """How far round the site (degrees) the tool's port is from the scene recording's in this second recording, which
    is of another hour: what learns from the scene recording meets poses there that it has not seen."""
    test_roll_deg: float = Field(default=10.0, ge=-180, le=180)
    """By how much (degrees) the endoscope is turned about its axis in it."""
    supersampling: float = Field(default=1.1, ge=1, le=4)
    """Pixels rendered for each video pixel, along each side: smooths edges, costs its square in time."""
    image_noise: float = Field(default=1.0, ge=0)
    """Factor of the sensor noise; 1 is a standard deviation of about 1.5 of 255 at mid-grey, 0 none."""
    video_crf: int = Field(default=17, ge=0, le=40)
    """Constant rate factor of H.264: smaller is better and bigger; 0 is lossless."""
    tracker_rate_hz: float = Field(default=40.0, gt=5)
    """Rows of the tracker log per second."""
    tracker_noise: bool = True
    """Whether the tracker errs at all; false gives true poses, and still gaps and a clock of its own."""
    jitter_mm: float = Field(default=0.05, ge=0)
    """RMS length of the random error of one reading's position in mm."""
    jitter_deg: float = Field(default=0.05, ge=0)
    """RMS angle of the random error of one reading's rotation in degrees."""
    field_distortion_mm: float = Field(default=0.5, ge=0)
    """RMS length of the smooth position error over the working volume in mm."""
    field_distortion_deg: float = Field(default=0.3, ge=0)
    """RMS angle of the smooth rotation error over the working volume in degrees."""
    missing_fraction: float = Field(default=0.015, ge=0, lt=0.5)
    """Share of single readings that are missing."""
    outage_every_s: float = Field(default=5.0, gt=0.5)
    """Mean time in seconds between outages of about 0.3 s."""
    max_clock_offset_s: float = Field(default=0.4, ge=0, lt=2)
    """Largest offset between the clocks of video and tracker in seconds."""

    def duration_s(self, recording: str) -> float:
        """Length in seconds of one of RECORDINGS."""
        return getattr(self, f"{recording}_s")

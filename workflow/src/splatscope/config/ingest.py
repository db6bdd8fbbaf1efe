"""Settings of the ingest stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from splatscope.config.section import Section
from splatscope.recordings import Role

_MAX_FRAMES = {Role.BACKGROUND: 120, Role.TOOL: 150, Role.SCENE: 80, Role.TEST: 60}


class IngestConfig(Section):
    """From video, tracker log and calibration to sharp undistorted frames with poses."""

    camera_sensor: str = "camera"
    """Name, in the tracker log, of the sensor fixed to the camera."""

    tool_sensors: dict[str, str] = {"needle_driver": "needle_driver"}
    """For each tool (the name of its `tool` recording) the name of its sensor in the tracker log."""

    tracker_unit: Literal["mm", "m"] = "mm"
    """Unit of length in the tracker logs. A log that looks like metres is refused while this says mm."""

    tracker_rate_hz: Annotated[float, Field(gt=0)] = 40.0
    """Frames per second by which the tracker counts frames; used for logs that have frame numbers but no time."""

    clock_offset_s: dict[str, float] = {}
    """Known clock offsets in seconds by recording name (tracker time = video time + offset); others are estimated."""

    clock_search_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Clock offsets are searched within plus and minus this many seconds."""

    clock_min_r_squared: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Least share, 0 to 1, of the image motion that the tracker must explain where the exact fit of the clock fails."""

    max_gap_s: Annotated[float, Field(gt=0)] = 0.15
    """Poses are interpolated between valid tracker samples at most this many seconds apart."""

    max_frames: dict[Role, Annotated[int, Field(ge=2)]] = _MAX_FRAMES
    """Most frames to keep of a recording, by its role; the sharpest of equally long stretches are taken."""

    min_sharpness_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A frame is blurred when its variance of the Laplacian is below this share of its neighbourhood's median."""

    sharpness_window_s: Annotated[float, Field(gt=0)] = 1.0
    """Length in seconds of the neighbourhood that a frame's sharpness is compared with."""

    duplicate_difference: Annotated[float, Field(ge=0)] = 0.3
    """A frame is a duplicate when it differs from the last distinct one by a smaller RMS, in grey levels of 255."""

    static_mask: str = "auto"
    """`none`, `auto` (find the black border of an endoscope), or the path of an image that is white where usable."""

    folder_fps: Annotated[float, Field(gt=0)] = 30.0
    """Frames per second of a recording that is a folder of images."""

    checkerboard_corners: tuple[Annotated[int, Field(ge=3)], Annotated[int, Field(ge=3)]] = (9, 6)
    """Inner corners of the calibration checkerboard: along a row, along a column."""

    checkerboard_square_mm: Annotated[float, Field(gt=0)] = 10.0
    """Side of the checkerboard's squares in millimetres."""

    checkerboard_tracker: str = ""
    """Path of the tracker log taken with the checkerboard video; empty: intrinsics only, no hand-eye from it."""

    @field_validator("max_frames", mode="before")
    @classmethod
    def _keep_other_roles(cls, value: object) -> object:
        return {role.value: count for role, count in _MAX_FRAMES.items()} | value if isinstance(value, dict) else value

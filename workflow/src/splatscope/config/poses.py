"""Settings of the poses stage: structure from motion, then scale, hand-eye and world alignment."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from splatscope.config.section import Section


class SfmConfig(Section):
    """Structure from motion over the frames of one group of recordings."""

    source: Literal["auto", "colmap", "tracker"] = "auto"
    """Where the camera poses of the sparse model come from. auto: the recording's own `poses` file when it has one,
    else COLMAP. colmap: COLMAP even so. tracker: the tracker's readings through
    `poses.camera_sensor_from_camera`, with points triangulated from them."""

    max_features: int = Field(800, ge=100, le=20000)
    """SIFT features kept in one image, the largest ones (count). Matching time grows with its square."""

    first_octave: Literal[-1, 0, 1] = 0
    """Finest SIFT octave: -1 doubles the image first (four times slower, for smooth tissue), 0 takes it as it is."""

    peak_threshold: float = Field(0.0067, gt=0, lt=1)
    """Smallest SIFT detector response (image range 0..1); lower finds more features in smooth tissue."""

    neighbours: int = Field(12, ge=4, le=200)
    """Images that each image is matched with (count), when there are more images than `exhaustive_limit`."""

    exhaustive_limit: int = Field(60, ge=2)
    """Groups of up to this many images have all their pairs matched (count)."""

    camera_model: Literal["SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"] = "OPENCV"
    """COLMAP camera model to estimate for recordings that bring no calibration."""

    refine_intrinsics: bool = False
    """Let bundle adjustment change a calibration that was given."""

    min_registered_frames: int = Field(10, ge=3)
    """Fewest frames that must get a pose (count)."""

    min_registered_fraction: float = Field(0.3, ge=0, le=1)
    """Smallest share of the group's frames that must get a pose (0..1)."""


class PosesConfig(Section):
    """Metric scale, hand-eye transform and world alignment."""

    use_tracker: bool = True
    """Use the tracker's readings; false leaves the poses without metric scale."""

    camera_sensor_from_camera: list[list[float]] | None = None
    """Hand-eye transform when it is known: 4 x 4 rows, millimetres; null solves it from tracker and COLMAP together."""

    field_correction: bool = True
    """Model the tracker's smooth field distortion as a Gaussian process, and take it out of the tools' readings."""

    clock_refinement: bool = True
    """Refine each recording's clock offset within the uncertainty that ingest states."""

    max_static_spread_mm: float = Field(3.0, gt=0)
    """Largest median distance of a resting tool's readings from their mean (mm); above, the tool was moved."""

    max_hand_eye_sigma_mm: float = Field(5.0, gt=0)
    """Largest standard deviation of the solved hand-eye translation, in its worst direction (mm)."""

    @field_validator("camera_sensor_from_camera")
    @classmethod
    def _is_rigid(cls, value):
        if value is None:
            return None
        if [len(row) for row in value] != [4, 4, 4, 4]:
            raise ValueError("expected 4 rows of 4 numbers")
        matrix = np.array(value)
        rotation = matrix[:3, :3]
        if not np.allclose(matrix[3], [0, 0, 0, 1]):
            raise ValueError(f"expected the last row 0 0 0 1, found {matrix[3].tolist()}")
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
            raise ValueError("expected a rotation matrix in the first three rows and columns")
        return value

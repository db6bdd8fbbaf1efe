"""What the physics must know of an instrument at one time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Blade:
    """The flat piece of surface along which closing scissors cut; tool frame."""

    centre: np.ndarray  # [3] mm
    normal: np.ndarray  # [3] unit, across the cut
    direction: np.ndarray  # [3] unit, along the blades towards their tips
    length_mm: float  # along the direction
    width_mm: float  # across direction and normal: what lay between the blades before they closed


@dataclass(frozen=True)
class ToolState:
    """An instrument as the tissue feels it. All but the pose is in the tool frame, with the joints as they are now."""

    world_from_tool: np.ndarray  # [4, 4] mm
    capsules: np.ndarray  # float [C, 7] mm: start xyz, end xyz, radius
    grip_point: np.ndarray  # [3] mm, midway between the jaws
    grip_axis: np.ndarray  # [3] unit, the direction in which the jaws close (normal of the jaw faces)
    grip_reach_mm: float  # half length of the jaws' region
    closed: float  # 0 open .. 1 closed
    heating_w: float = 0.0
    heat_point: np.ndarray | None = None  # [3] mm
    blade: Blade | None = None

"""What physics must know of an instrument at one time."""

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
    """Pose and effect of an instrument; raises ValueError for arrays of another shape."""

    world_from_tool: np.ndarray  # [4, 4]
    capsules: np.ndarray  # float [C, 7]: start xyz, end xyz, radius in mm, tool frame, with the joints as they are now
    grip_point: np.ndarray  # [3] tool frame, midway between the jaws
    grip_axis: np.ndarray  # [3] tool frame, the direction in which the jaws close (normal of the jaw faces)
    grip_reach_mm: float  # half length of the jaws' region
    closed: float  # 0 open .. 1 closed
    heating_w: float = 0.0
    heat_point: np.ndarray | None = None  # [3] tool frame
    blade: Blade | None = None  # tool frame; None: it cannot cut

    def __post_init__(self):
        shapes = {"world_from_tool": (4, 4), "grip_point": (3,), "grip_axis": (3,), "heat_point": (3,)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"expected {name} {list(shape)}, got {list(np.shape(value))}")
        if np.ndim(self.capsules) != 2 or np.shape(self.capsules)[1] != 7:
            raise ValueError(f"expected capsules [C, 7], got {list(np.shape(self.capsules))}")
        if self.heating_w > 0 and self.heat_point is None:
            raise ValueError("expected a heat_point for an instrument that heats")

    def in_world(self, point: np.ndarray) -> np.ndarray:
        """A point [3] of the tool's frame."""
        return self.world_from_tool[:3, :3] @ point + self.world_from_tool[:3, 3]

    def jaw_axes(self) -> np.ndarray:
        """Rotation [3, 3] in the tool's frame; columns: the way the jaws close, across the jaws, along the jaws.

        The jaws point from the tool's origin (their pivot) to the grip point.
        """
        closing = self.grip_axis / np.linalg.norm(self.grip_axis)
        along = self.grip_point - closing * (self.grip_point @ closing)
        if np.linalg.norm(along) < 1e-6:  # the grip point is on the pivot: the jaws lie along the shaft
            along = np.array([0.0, 0, 1]) - closing * closing[2]
        along = along / np.linalg.norm(along)
        return np.stack([closing, np.cross(along, closing), along], axis=1)

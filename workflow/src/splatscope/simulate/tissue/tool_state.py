"""What physics must know of an instrument at one time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Blade:
    """The rectangle that closing scissors sweep, in the tool's frame: mm, unit vectors."""

    centre: np.ndarray  # [3]
    normal: np.ndarray  # [3] of the plane
    direction: np.ndarray  # [3] along the blades
    length_mm: float  # along `direction`
    width_mm: float  # along normal x direction, the way the blades close


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

    @property
    def blade(self) -> Blade:
        """What the jaws sweep when they close: scissors cut along it. As long and as wide as the jaws' region."""
        _, across, along = self.jaw_axes().T
        size = 2 * self.grip_reach_mm
        return Blade(np.asarray(self.grip_point, float), across, along, size, size)

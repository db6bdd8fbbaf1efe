"""What every instrument offers: rigid links that joints move, keypoints, and its state as the tissue feels it.

Tool frame: z along the shaft towards the tip, origin on the pivot of the jaws or of the wrist, x along the pitch axis;
mm. Jaws open along x, each by half of `opening`; the left jaw is the one towards +x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.geometry import apply, make_transform
from splatscope.meshes.instruments.tool_state import Blade, ToolState
from splatscope.meshes.mesh import Mesh, concatenate
from splatscope.meshes.scene import Part

Joints = Mapping[str, float]  # degrees by name
LinkMeshes = dict[str, list[tuple[Mesh, str]]]  # by link: meshes in the link's frame, each with its material
SIDES = {"jaw_left": 1, "jaw_right": -1}


@dataclass(frozen=True)
class Grip:
    """The region between the jaws, tool frame."""

    point: np.ndarray  # [3] mm, midway between the jaws
    axis: np.ndarray  # [3] unit, the direction in which they close
    reach_mm: float  # half length


class Instrument(ABC):
    """A shape (the fields of the subclass, a frozen dataclass) whose joint angles are passed to its methods.

    Joints left out are at rest; one that is unknown or out of its limits is a ValueError.
    """

    name: ClassVar[str]
    class_id: ClassVar[int]  # of the class table
    verb_name: ClassVar[str | None]  # the instrument of CholecT50's triplets; None: it knows no such instrument
    joints: ClassVar[dict[str, tuple[float, float]]]  # lowest and highest angle, degrees
    rest: ClassVar[dict[str, float]]
    electrode: ClassVar[bool] = False  # whether it can heat tissue
    cuts: ClassVar[bool] = False  # whether it parts what lies between its jaws when they close

    @classmethod
    @abstractmethod
    def varied(cls, rng: np.random.Generator) -> Self:
        """One of the shapes that are on the market; its shaft is long enough to leave through a trocar."""

    @abstractmethod
    def build(self) -> LinkMeshes:
        """Make the closed meshes of the links. Use `links`, which remembers them."""

    @abstractmethod
    def link_poses(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        """tool_from_link [4, 4] by link."""

    @abstractmethod
    def keypoints(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        """Points [3] of the tool frame: `tip`, `jaw_tip_left`, `jaw_tip_right` (with jaws), `wrist`, `shaft_exit`.

        `tip` is where the jaw tips meet when they close: on the surface of closed jaws, between open ones. The jaw tips
        lie on the surface, `wrist` (the pivot) and `shaft_exit` (distal end of the shaft's sleeve) on the axis within.
        """

    @abstractmethod
    def capsules(self, joints: Joints | None = None) -> np.ndarray:
        """What pushes tissue: float64 [C, 7], start and end xyz and radius, tool frame."""

    @abstractmethod
    def grip(self, joints: Joints | None = None) -> Grip:
        """Where tissue is held."""

    def heat_point(self, joints: Joints | None = None) -> np.ndarray | None:
        """Where an electrode heats [3], tool frame."""
        return self.grip(joints).point if self.electrode else None

    @property
    def tip(self) -> np.ndarray:
        """The keypoint `tip` with the joints at rest."""
        return self.keypoints()["tip"]

    def links(self, instance: int = 1) -> dict[str, list[Part]]:
        """Parts of each link in the link's own frame, for a renderer that moves links by their poses.

        The meshes are shared by all users of an equal shape: do not change them.
        """
        return {
            link: [Part(mesh, material, self.class_id, instance) for mesh, material in meshes]
            for link, meshes in _built(self).items()
        }

    def parts(self, joints: Joints | None = None, instance: int = 1) -> list[Part]:
        """Parts in the tool frame, which is that of the link `shaft`."""
        poses = self.link_poses(joints)
        return [
            part if link == "shaft" else replace(part, mesh=part.mesh.transformed(poses[link]))
            for link, parts in self.links(instance).items()
            for part in parts
        ]

    def mesh(self, joints: Joints | None = None) -> Mesh:
        """All parts as one mesh in the tool frame."""
        return concatenate([part.mesh for part in self.parts(joints)])

    def tool_state(
        self, world_from_tool: np.ndarray, joints: Joints | None = None, heating_w: float = 0.0
    ) -> ToolState:
        """The instrument as the tissue feels it; its arrays in the tool frame are shared by all states of equal joints.

        Raises ValueError for joints out of range, heat without electrode.
        """
        if heating_w and not self.electrode:
            raise ValueError(f"{self.name}: expected heating_w 0 (it has no electrode), got {heating_w}")
        state = _at_origin(self, tuple(sorted((joints or {}).items())))
        return replace(state, world_from_tool=np.asarray(world_from_tool, np.float64), heating_w=heating_w)

    def blade(self, joints: Joints | None = None) -> Blade:
        """The rectangle that the jaws sweep when they close: as long and as wide as their gripping region."""
        grip = self.grip(joints)
        along = np.cross(grip.axis, [0.0, 1, 0])
        along = along / np.linalg.norm(along)
        return Blade(grip.point, np.cross(along, grip.axis), along, 2 * grip.reach_mm, 2 * grip.reach_mm)

    def closed(self, joints: Joints | None = None) -> float:
        """How far the jaws are closed: 0 open .. 1; without jaws 0."""
        if "opening" not in self.joints:
            return 0.0
        low, high = self.joints["opening"]
        return (high - self.angles(joints)["opening"]) / (high - low)

    def angles(self, joints: Joints | None = None) -> dict[str, float]:
        """All joint angles in degrees, those left out at rest. Raises ValueError."""
        joints = joints or {}
        unknown = sorted(set(joints) - set(self.joints))
        if unknown:
            raise ValueError(f"{self.name}: expected joints among {sorted(self.joints)}, got {unknown[0]!r}")
        for joint, angle in joints.items():
            low, high = self.joints[joint]
            if not low <= angle <= high:
                raise ValueError(f"{self.name}: expected {joint} within {low:g}..{high:g} degrees, got {angle:g}")
        return self.rest | dict(joints)


@lru_cache(maxsize=32)
def _built(instrument: Instrument) -> LinkMeshes:
    return instrument.build()


@lru_cache(maxsize=64)
def _at_origin(instrument: Instrument, joints: tuple[tuple[str, float], ...]) -> ToolState:
    angles = dict(joints)
    grip = instrument.grip(angles)
    return ToolState(
        np.eye(4),
        instrument.capsules(angles),
        grip.point,
        grip.axis,
        grip.reach_mm,
        instrument.closed(angles),
        heat_point=instrument.heat_point(angles),
        blade=instrument.blade(angles) if instrument.cuts else None,
    )


class StraightJaws(Instrument):
    """An instrument without a wrist: two jaws that turn about the tool frame's y axis."""

    joints = {"opening": (0.0, 60.0)}
    rest = {"opening": 20.0}
    shaft_radius_mm: float
    shaft_length_mm: float
    jaw_length_mm: float
    sleeve_end_mm: float  # where the sleeve of the shaft ends, z

    def jaw_line(self) -> np.ndarray:
        """Points [N, 3] along the middle of the closed jaws, from behind the gripping faces to the tip; x, y, z."""
        return np.array([[0, 0, 0.25 * self.jaw_length_mm], [0, 0, self.jaw_length_mm]])

    @abstractmethod
    def jaw_tip(self, side: int) -> np.ndarray:
        """Point [3] on the tip of a jaw (side +1 left, -1 right) in its link's frame."""

    @abstractmethod
    def jaw_capsules(self, side: int) -> np.ndarray:
        """Capsules [C, 7] of a jaw in its link's frame."""

    def link_poses(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        opening = self.angles(joints)["opening"]
        return {"shaft": np.eye(4)} | {link: turned_about_y(side * opening / 2) for link, side in SIDES.items()}

    def keypoints(self, joints: Joints | None = None) -> dict[str, np.ndarray]:
        poses = self.link_poses(joints)
        return {
            "tip": self.jaw_line()[-1],
            **{
                link.replace("jaw", "jaw_tip"): apply(poses[link], self.jaw_tip(side)[None])[0]
                for link, side in SIDES.items()
            },
            "wrist": np.zeros(3),
            "shaft_exit": np.array([0, 0, self.sleeve_end_mm]),
        }

    def capsules(self, joints: Joints | None = None) -> np.ndarray:
        poses = self.link_poses(joints)
        shaft = chain_of_capsules([[0, 0, -self.shaft_length_mm], [0, 0, 0]], self.shaft_radius_mm)
        return np.vstack([shaft, *(moved_capsules(poses[link], self.jaw_capsules(s)) for link, s in SIDES.items())])

    def grip(self, joints: Joints | None = None) -> Grip:
        self.angles(joints)
        line = self.jaw_line()
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        point = np.array([np.interp(along[-1] / 2, along, line[:, axis]) for axis in range(3)])
        direction = np.diff(line, axis=0)[np.searchsorted(along, along[-1] / 2) - 1]
        axis = np.cross([0, 1.0, 0], direction)
        return Grip(point, axis / np.linalg.norm(axis), along[-1] / 2)


def turned_about_y(angle_deg: float, at=(0.0, 0.0, 0.0)) -> np.ndarray:
    """[4, 4] of a link that turns about its own y axis, which lies at `at` [3]."""
    return make_transform(Rotation.from_euler("y", angle_deg, degrees=True).as_matrix(), np.asarray(at))


def moved_capsules(target_from_source: np.ndarray, capsules: np.ndarray) -> np.ndarray:
    """Capsules [C, 7] in another frame."""
    return np.hstack(
        [apply(target_from_source, capsules[:, :3]), apply(target_from_source, capsules[:, 3:6]), capsules[:, 6:]]
    )


def chain_of_capsules(points: np.ndarray, radii) -> np.ndarray:
    """Capsules [N - 1, 7] along points [N, 3]; radii [N - 1] or one."""
    points = np.asarray(points, np.float64)
    return np.column_stack([points[:-1], points[1:], np.broadcast_to(radii, len(points) - 1)])

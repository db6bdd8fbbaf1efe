"""Where an instrument's shaft must lie so that it passes its trocar and the tip is where it is wanted."""

from __future__ import annotations

import numpy as np

from splatscope.geometry import make_transform

DOWN = np.array([0.0, 0.0, -1.0])
BENEATH = np.diag([1.0, -1.0, -1.0])  # axes of a tool that points along DOWN, roll 0


def through_trocar(
    trocar: np.ndarray, tip_target: np.ndarray, roll_rad: float, tip_offset_mm: float | np.ndarray
) -> np.ndarray:
    """`world_from_tool` [4, 4] of a straight shaft whose axis passes `trocar` [3] and whose tip is at `tip_target` [3].

    `tip_offset_mm`: the tip in the tool frame, as a distance along z or as a point [3] (a hook's tip lies beside the
    axis). Roll turns the tool about the line from trocar to tip; the direction of roll 0 varies smoothly with that line
    (parallel transport from straight down) unless it points straight up. Raises ValueError when the tip's distance from
    the trocar is not greater than its distance from the shaft's axis.
    """
    line = np.asarray(tip_target, np.float64) - trocar
    distance = np.linalg.norm(line)
    tip = np.array([0.0, 0.0, tip_offset_mm]) if np.ndim(tip_offset_mm) == 0 else np.asarray(tip_offset_mm, np.float64)
    beside = np.hypot(tip[0], tip[1])
    if distance <= beside:
        raise ValueError(f"expected a target more than {beside:.3g} mm from the trocar, got {distance:.3g} mm")
    depth = np.sqrt(distance**2 - beside**2)
    tip_direction = np.array([tip[0], tip[1], depth]) / distance  # from the trocar, in the tool frame
    rotation = _line_axes(line / distance, roll_rad) @ _least_rotation(tip_direction, np.array([0.0, 0.0, 1.0]))
    return make_transform(rotation, trocar + rotation[:, 2] * (depth - tip[2]))


def roll_towards(trocar: np.ndarray, tip_target: np.ndarray, tool_axis: np.ndarray, wanted: np.ndarray) -> float:
    """Roll (radians) for `through_trocar` that brings `tool_axis` [3] (tool frame, not z) nearest to `wanted` [3]."""
    line = np.asarray(tip_target, np.float64) - trocar
    seen = _line_axes(line / np.linalg.norm(line), 0.0).T @ np.asarray(wanted, np.float64)
    return float(np.arctan2(seen[1], seen[0]) - np.arctan2(tool_axis[1], tool_axis[0]))


def wrist_through_trocar(
    trocar: np.ndarray,
    tip_target: np.ndarray,
    jaw_direction: np.ndarray,
    closing_direction: np.ndarray,
    yaw_axis_mm: float,
    jaw_length_mm: float,
) -> tuple[np.ndarray, dict[str, float]]:
    """Pose and wrist angles of a shaft through `trocar` [3] whose jaws reach `tip_target` [3] along `jaw_direction`.

    The jaws close along `closing_direction` [3] as far as it is perpendicular to `jaw_direction` [3]. Pitch turns about
    the tool's x axis at its origin, yaw about the wrist's y axis `yaw_axis_mm` beyond, the tip lies `jaw_length_mm`
    beyond that. The pitch axis is perpendicular to the yaw axis and to the line from the trocar to the yaw axis, which
    leaves two solutions; the one that bends the wrist less is returned. Gives `world_from_tool` [4, 4] and pitch and
    yaw in degrees, whatever the limits of the joints. Raises ValueError when directions or points coincide.
    """
    along = _unit(jaw_direction, "a jaw direction that is not zero")
    closing = np.asarray(closing_direction, np.float64)
    closing = _unit(closing - along * (along @ closing), "a closing direction that is not along the jaws")
    yaw_axis = np.cross(along, closing)
    pivot = np.asarray(tip_target, np.float64) - jaw_length_mm * along
    across = _unit(np.cross(yaw_axis, pivot - trocar), "a yaw axis that does not point at the trocar")
    solutions = []
    for pitch_axis in (across, -across):
        wrist_direction = np.cross(pitch_axis, yaw_axis)
        origin = pivot - yaw_axis_mm * wrist_direction
        shaft = _unit(origin - trocar, "a wrist that is not in the trocar")
        rotation = np.stack([pitch_axis, np.cross(shaft, pitch_axis), shaft], axis=1)
        pitch = np.degrees(np.arctan2(-wrist_direction @ rotation[:, 1], wrist_direction @ shaft))
        yaw = np.degrees(np.arctan2(along @ pitch_axis, along @ wrist_direction))
        solutions.append((abs(pitch) + abs(yaw), make_transform(rotation, origin), pitch, yaw))
    _, world_from_tool, pitch, yaw = min(solutions, key=lambda solution: solution[0])
    return world_from_tool, {"pitch": float(pitch), "yaw": float(yaw)}


def _line_axes(direction: np.ndarray, roll_rad: float) -> np.ndarray:
    cosine, sine = np.cos(roll_rad), np.sin(roll_rad)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return _least_rotation(DOWN, direction) @ BENEATH @ turn


def _least_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation [3, 3] by the smallest angle that takes one unit vector to another; about x when they are opposite."""
    cosine = source @ target
    if cosine < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    x, y, z = np.cross(source, target)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _unit(vector: np.ndarray, expected: str) -> np.ndarray:
    length = np.linalg.norm(vector)
    if not length > 1e-9:
        raise ValueError(f"expected {expected}")
    return np.asarray(vector, np.float64) / length

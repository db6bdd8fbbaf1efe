"""Keeping the instruments of different hands apart."""

from __future__ import annotations

import numpy as np

from splatscope.simulate.operation.hand import GIVING_WAY, Hand

GAP_MM = 10.0  # between the axes of two instruments that work
PASSING_GAP_MM = 7.0  # the same while one moves past another
JAWS_MM = 9.0  # how far an instrument goes on beyond its point of work
MOST_MM = 18.0  # that a hand gives way at once
RETREATS_MM = (0.0, 15.0, 30.0, 45.0, 60.0, 80.0)  # how far a hand draws back along the shaft to pass another


def make_room(others: list[Hand], hand: Hand, points: list[np.ndarray], time_s: float) -> float:
    """The other hands give way to an instrument of `hand` that reaches to `points` [3]; returns how long (s)."""
    duration = 0.0
    for other in others:
        point = min(points, key=lambda point: axis_gap(hand, point, other))
        goal = other.goal + _giving_way(other, other.goal, hand, point)
        if axis_gap(hand, point, other) < GAP_MM:
            duration = max(duration, other.move(goal, time_s, 4.0, GIVING_WAY))
    return duration


def kept_clear(others: list[Hand], hand: Hand, goal: np.ndarray) -> np.ndarray:
    """`goal` [3], or a point beside it where the instrument of `hand` stays clear of the others."""
    for other in others:
        goal = goal + _giving_way(hand, goal, other, other.goal)
    return goal


def retreat_to_pass(others: list[Hand], hand: Hand, start: np.ndarray, goal: np.ndarray) -> float:
    """How far (mm) the point of work must draw back along the shaft to pass others from `start` [3] to `goal` [3]."""
    widest, best = 0.0, -np.inf
    for retreat in RETREATS_MM:
        first, last = (hand.drawn_back(point, retreat) for point in (start, goal))
        gap = min(
            (
                axis_gap(hand, first + share * (last - first), other)
                for other in others
                for share in np.linspace(0, 1, 7)
            ),
            default=np.inf,
        )
        if gap >= PASSING_GAP_MM:
            return retreat
        if gap > best:
            widest, best = retreat, gap
    return widest


def axis_gap(hand: Hand, point: np.ndarray, other: Hand) -> float:
    """Distance (mm) between the axes of `hand`, when it reaches to `point` [3], and of `other`, where it rests."""
    return float(np.linalg.norm(np.subtract(*_nearest_on_axes(hand, point, other, other.goal))))


def closest_points(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points [3] of segments a-b and c-d that are nearest to each other (Ericson 2005, section 5.1.9)."""
    first, second, between = b - a, d - c, a - c
    aa, bb, ab = first @ first, second @ second, first @ second
    af, bf = first @ between, second @ between
    determinant = aa * bb - ab * ab
    s = np.clip((ab * bf - af * bb) / determinant, 0, 1) if determinant > 1e-9 * aa * bb else 0.0
    t = np.clip((ab * s + bf) / bb, 0, 1)
    s = np.clip((ab * t - af) / aa, 0, 1)
    return a + s * first, c + t * second


def _giving_way(hand: Hand, point: np.ndarray, other: Hand, other_point: np.ndarray) -> np.ndarray:
    """The way [3] from `point` to where the instrument of `hand` is clear of the other; zero when it is already.

    The instrument turns about its trocar: its point of work moves farther than the place that is too near.
    """
    here, there = _nearest_on_axes(hand, point, other, other_point)
    gap = np.linalg.norm(here - there)
    if gap >= GAP_MM:
        return np.zeros(3)
    away = here - there if gap > 0.5 else np.cross(other.axis_to(other_point), hand.axis_to(point))
    lever = np.linalg.norm(point - hand.trocar) / max(np.linalg.norm(here - hand.trocar), 20.0)
    return min((GAP_MM - gap) * lever, MOST_MM) * away / np.linalg.norm(away)


def _nearest_on_axes(hand: Hand, point: np.ndarray, other: Hand, other_point: np.ndarray):
    tip, other_tip = point + JAWS_MM * hand.axis_to(point), other_point + JAWS_MM * other.axis_to(other_point)
    return closest_points(hand.trocar, tip, other.trocar, other_tip)

"""What a trained hand does without thinking: reach, fetch an instrument, grasp, stroke with the hook, close the jaws.

Each is a generator that yields once for each moment; what it returns says whether it worked. None can go on for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from splatscope.simulate.operation.avoidance import make_room, retreat_to_pass
from splatscope.simulate.operation.hand import LEAVING, LIFTING, PRESSING, Hand, Speed
from splatscope.simulate.operation.vocabulary import IDLE
from splatscope.simulate.operation.workspace import Moments, Workspace

Place = Callable[[], np.ndarray]  # where something is now, [3] mm

CORRECTIONS = 3  # submovements after the first, at most
ENDPOINT_SPREAD = (0.05, 0.02)  # of the first submovement's length, along and across it: standard deviations
OVERLAP = (0.45, 0.65)  # share of the way to the via point at which the hand turns to the goal
WIDE_REACH_MM = 25.0  # from here on a reach passes a via point
CLEARANCE_MM = 12.0  # of a via point from tissue
STAND_OFF_MM = 13.0  # before the jaws go in, along the shaft
CUT_WHILE_CLOSING = 0.6  # share of the time of closing after which the blades meet the tube between them
TIPS_BEYOND_MM = 5.0  # how far the tips of scissors go beyond what they cut, so that they spare what is behind
HOVER_MM = 8.0  # of the hook over the tissue between strokes
LIFT_MM = 3.5  # how far the hook lifts the strand on it
HEATING_S = (0.35, 1.3)  # least and greatest time of heat in a stroke, before `pace`
DIVIDED = ("bond_broken", "vaporise", "tear")  # events that say that the strand is through


def reach(ws: Workspace, hand: Hand, place: Place, width_mm: float = 2.0) -> Moments:
    """Bring the point of work to `place`: a curved path, an imprecise first submovement, then corrections.

    After Meyer et al. (1988): the spread of the first endpoint grows with its length; corrections end within half the
    target's width or are given up, and follow tissue that moves meanwhile.
    """
    start, goal = hand.goal, place()
    for via in _way_points(ws, hand, start, goal):
        duration = hand.move(via, ws.time_s, 12.0)
        yield from until(ws, ws.time_s + duration * ws.rng.uniform(*OVERLAP))
    way = goal - hand.goal
    distance = np.linalg.norm(way)
    along, across = ENDPOINT_SPREAD if distance > 6 else (0.0, 0.0)
    direction = way / max(distance, 1e-9)
    stray = distance * (along * ws.rng.normal() * direction + across * np.cross(direction, ws.rng.normal(size=3)))
    stray *= min(1.0, STAND_OFF_MM / 3 / max(np.linalg.norm(stray), 1e-9))  # never so far as to hit what is behind
    end = ws.time_s + hand.move(place() + stray, ws.time_s, width_mm)
    for _ in range(CORRECTIONS):
        yield from until(ws, end - 0.06 / ws.pace)
        if np.linalg.norm(place() - hand.goal) <= width_mm / 2:
            break
        end = ws.time_s + hand.move(place(), ws.time_s, width_mm)
    yield from until(ws, end)


def room_for(ws: Workspace, hand: Hand, *places: Place) -> Moments:
    """The other hands give way before this one works at `places`."""
    for _ in range(4):  # places may follow a hand that holds tissue
        duration = make_room(others(ws, hand), hand, [place() for place in places], ws.time_s)
        if not duration:
            break
        yield from until(ws, ws.time_s + 0.6 * duration)


def others(ws: Workspace, hand: Hand) -> list[Hand]:
    """The other hands whose instruments are inside."""
    return [other for other in ws.hands.values() if other is not hand and other.instrument is not None]


def until(ws: Workspace, time_s: float) -> Moments:
    while ws.time_s < time_s:
        yield


def press(ws: Workspace, hand: Hand, place: Place, speed: Speed = PRESSING) -> Moments:
    """One slow straight movement in or at the tissue."""
    yield from until(ws, ws.time_s + hand.move(place(), ws.time_s, 2.0, speed))


def fetch(ws: Workspace, hand: Hand, key: str) -> Moments:
    """Have instrument `key` in the hand: put away another one, let the new one appear in the trocar."""
    if hand.key == key:
        return
    yield from put_away(ws, hand)
    hand.take(key, ws.instruments[key], ws.interest, ws.time_s)
    ws.cameraman.notice_change()


def put_away(ws: Workspace, hand: Hand) -> Moments:
    """Let go, close the jaws and take the instrument out."""
    if hand.instrument is None:
        return
    yield from let_go(ws, hand)
    hand.label, hand.heating_w = IDLE, 0.0
    hand.open_to(0.0, ws.time_s)
    yield from until(ws, ws.time_s + hand.move(hand.way_out(), ws.time_s, 20.0))
    hand.put_away()
    yield from ws.wait(0.15)


def let_go(ws: Workspace, hand: Hand) -> Moments:
    hand.retraction = None
    if not hand.holding:
        return
    yield from ws.act("release", hand)
    hand.holding = False
    yield from until(ws, ws.time_s + hand.open_to(0.7, ws.time_s))


def approach(ws: Workspace, hand: Hand, place: Place, closing: np.ndarray | None, opening: float) -> Moments:
    """Come to `place` with open jaws that close along `closing` [3] (None: any way): stop before it, go straight in."""
    yield from ws.hesitate()
    yield from room_for(ws, hand, place)
    if closing is not None:
        hand.turn_to(closing, place(), ws.time_s)
    yield from reach(ws, hand, lambda: place() - STAND_OFF_MM * hand.axis_to(place()), width_mm=5.0)
    yield from until(ws, ws.time_s + hand.open_to(opening, ws.time_s))
    yield from press(ws, hand, place)
    if np.linalg.norm(place() - hand.goal) > 0.7:  # the tissue gave way or was pulled meanwhile
        yield from press(ws, hand, place)


def hover(ws: Workspace, hand: Hand, place: Place, normal: np.ndarray) -> Moments:
    """Come to a stop over `place` with the hook turned towards the tissue; `normal` [3] points out of it."""

    def above() -> np.ndarray:
        return place() + HOVER_MM * normal

    yield from room_for(ws, hand, place, above)
    hand.turn_to(-normal, place(), ws.time_s)
    yield from reach(ws, hand, above, width_mm=4.0)


def back_off(ws: Workspace, hand: Hand, distance_mm: float = STAND_OFF_MM) -> Moments:
    """Straight back along the shaft."""
    goal = hand.drawn_back(hand.goal, distance_mm)
    yield from until(ws, ws.time_s + hand.move(goal, ws.time_s, 8.0, LEAVING))


def grasp(ws: Workspace, hand: Hand, place: Place, normal: np.ndarray, target: str) -> Iterator[None]:
    """Take hold of the tissue at `place`. Returns the event, None when the jaws caught nothing."""
    depth = 1.5 * normal
    yield from approach(ws, hand, lambda: place() - depth, None, opening=0.8)
    ws.name_action(hand, "grasp", target)
    yield from until(ws, ws.time_s + hand.open_to(0.12, ws.time_s))
    event = yield from ws.act("grasp", hand)
    if event is None or event.amount <= 0:
        hand.label = IDLE
        yield from until(ws, ws.time_s + hand.open_to(0.8, ws.time_s))
        yield from back_off(ws, hand)
        return None
    hand.holding, hand.held_class = True, event.class_id
    ws.name_action(hand, "grasp", target, event.class_id)
    yield from ws.wait(0.2)
    return event


def stroke(
    ws: Workspace,
    hand: Hand,
    place: Place,
    normal: np.ndarray,
    onward: np.ndarray,
    heating_w: float,
    target: str,
    force: float,
) -> Iterator[None]:
    """One stroke of the hook at `place`: under the strand, lift it off, burn, let go.

    Returns what became of the strand: "divided", "burnt" or None. `normal` points out of the tissue, `onward` along the
    dissection (unit vectors [3]); `force` is 1, or more for another try, which goes deeper and burns longer.
    """
    yield from hover(ws, hand, place, normal)
    ws.name_action(hand, "dissect", target)
    sideways = onward - (onward @ normal) * normal
    yield from press(ws, hand, lambda: place() - (0.6 + 0.7 * force) * normal)
    yield from press(ws, hand, lambda: hand.goal + ws.rng.uniform(1.0, 2.0) * sideways)
    lift = hand.move(hand.goal + LIFT_MM * normal, ws.time_s, 2.0, LIFTING)
    hand.heating_w = heating_w
    least, greatest = (force * seconds / ws.pace for seconds in HEATING_S)
    begin, divided, burnt = ws.time_s, False, False
    while ws.time_s < begin + least or (not divided and ws.time_s < begin + max(greatest, lift)):
        yield
        burnt = burnt or ws.answered(hand, ("coagulate",), 0.0) is not None
        event = ws.answered(hand, DIVIDED, 10.0)
        if event is not None:
            divided = True
            ws.name_action(hand, "dissect", target, event.class_id)
    hand.heating_w = 0.0
    yield from press(ws, hand, lambda: hand.goal + (HOVER_MM - LIFT_MM) * normal, LEAVING)
    hand.label = IDLE
    return "divided" if divided else "burnt" if burnt else None


def burn(
    ws: Workspace,
    hand: Hand,
    place: Place,
    normal: np.ndarray,
    heating_w: float,
    seconds: float,
    target: str,
    enough: Callable[[], bool],
) -> Moments:
    """Heat `place` with the hook for `seconds` or until it is `enough`; `normal` [3] points out of the tissue."""
    ws.interest = place()
    yield from hover(ws, hand, place, normal)
    ws.name_action(hand, "coagulate", target)
    yield from press(ws, hand, lambda: place() - 0.4 * normal)
    hand.heating_w = heating_w
    end = ws.time_s + seconds
    while ws.time_s < end and not enough():
        yield
        event = ws.answered(hand, ("coagulate",), 6.0)
        if event is not None:
            ws.name_action(hand, "coagulate", target, event.class_id)
    hand.heating_w = 0.0
    yield from press(ws, hand, lambda: place() + HOVER_MM * normal, LEAVING)
    hand.label = IDLE


def close_on(ws: Workspace, hand: Hand, verb: str, place: Place, axis: np.ndarray, target: str) -> Iterator[None]:
    """Close the jaws of scissors or clip applier across a tube along `axis` [3] at `place`. Returns the answer."""
    closing = np.cross(axis, hand.axis_to(place()))
    spare = max(hand.instrument.grip().reach_mm - TIPS_BEYOND_MM, 0.0) if verb == "cut" else 0.0
    yield from approach(ws, hand, lambda: place() - spare * hand.axis_to(place()), closing, opening=1.0)
    yield from ws.wait(0.15)
    ws.name_action(hand, verb, target)
    duration = hand.open_to(0.0, ws.time_s)
    yield from until(ws, ws.time_s + duration * (CUT_WHILE_CLOSING if verb == "cut" else 1.0))
    event = yield from ws.act(verb, hand)
    if event is not None and event.amount > 0:
        ws.name_action(hand, verb, target, event.class_id)
    yield from ws.wait(0.2)
    yield from until(ws, ws.time_s + hand.open_to(0.8, ws.time_s))
    hand.label = IDLE
    yield from back_off(ws, hand)
    return event


def _way_points(ws: Workspace, hand: Hand, start: np.ndarray, goal: np.ndarray) -> list[np.ndarray]:
    """Points to pass on the way: back and over where another instrument is in between, else one in a wide reach."""
    retreat = retreat_to_pass(others(ws, hand), hand, start, goal)
    if retreat:
        return [hand.drawn_back(point, retreat) for point in (start, goal)]
    return [_via_point(ws, hand, start, goal)] if np.linalg.norm(goal - start) > WIDE_REACH_MM else []


def _via_point(ws: Workspace, hand: Hand, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Half way, off the straight line as hands move, and drawn back towards the port until it is clear of tissue."""
    middle, way = (start + goal) / 2, goal - start
    side = np.cross(way, hand.axis_to(middle))
    middle = middle + ws.rng.normal(0, 0.08) * side
    for _ in range(8):
        if not len(ws.positions) or np.min(np.linalg.norm(ws.positions - middle, axis=1)) >= CLEARANCE_MM:
            break
        middle = middle - 5.0 * hand.axis_to(middle)
    return middle

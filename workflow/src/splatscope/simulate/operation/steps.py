"""The steps of a scenario as work of the hands: one generator for each kind of step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from splatscope.simulate.operation import scenario as course
from splatscope.simulate.operation import skills
from splatscope.simulate.operation.avoidance import GAP_MM, axis_gap, kept_clear
from splatscope.simulate.operation.hand import PULLING, Hand
from splatscope.simulate.operation.vocabulary import target_acted_on
from splatscope.simulate.operation.workspace import Moments, Workspace

TUBE_TARGET = {"cystic duct": ("duct", "cystic_duct"), "cystic artery": ("artery", "cystic_artery")}
TORN_NEAR_MM = 30.0  # of the jaws: a hand that pulls notices the tear
OPEN_MM = 3.5  # distance of tissue from a shaft's axis at which it passes
HOLLOW = (8, 10, 13)  # classes whose wall must not tear: duct, gallbladder, artery
MAX_BLEEDINGS = 4  # bleeding points that are burnt in one go


def perform(ws: Workspace, step: course.Step) -> Moments:
    """Do a step of any kind; notes carry its name, whatever runs meanwhile."""
    work = _BY_KIND[type(step)](ws, step)
    while True:
        ws.step = step.do
        try:
            next(work)
        except StopIteration:
            return
        yield


def expose(ws: Workspace, step: course.Expose) -> Moments:
    """Grasp a landmark of the gallbladder and retract it; what slips before it is there is grasped again."""
    hand = ws.hands[step.hand]
    yield from skills.fetch(ws, hand, step.instrument)
    for attempt in range(ws.scenario.attempts):
        held = yield from skills.grasp(
            ws, hand, lambda: ws.landmark(step.landmark), ws.outward(step.landmark, hand), "gallbladder"
        )
        if held is not None:
            yield from retract(ws, hand, hand.goal + ws.ports.vector(step.pull_mm))
            if hand.holding:
                hand.retraction = step
                ws.note("done", f"{step.landmark} held")
                return
        if attempt + 1 < ws.scenario.attempts:
            ws.note("retried", f"{step.landmark}: {'the jaws caught nothing' if held is None else 'it slipped'}")
    ws.note("aborted", f"{step.landmark} could not be held")


def retract(ws: Workspace, hand: Hand, goal: np.ndarray) -> Moments:
    """Pull what is held to `goal` [3], or beside it where another instrument is, and stay."""
    goal = kept_clear(skills.others(ws, hand), hand, goal)
    ws.name_action(hand, "retract", "gallbladder", hand.held_class)
    end = ws.time_s + hand.move(goal, ws.time_s, 6.0, PULLING)
    while ws.time_s < end and hand.holding:
        yield
        tear = ws.answered(hand, ("tear",), TORN_NEAR_MM)
        if tear is not None and tear.class_id in HOLLOW:
            hand.move(hand.position(ws.time_s), ws.time_s, 6.0, PULLING)
            ws.note("done", "stopped pulling when the wall tore")
            return


def dissect(ws: Workspace, step: course.Dissect) -> Moments:
    yield from _strokes(ws, step, step.along)


def peel(ws: Workspace, step: course.Peel) -> Moments:
    hand, grasper = ws.hands["right"], ws.hands[step.hand]
    outward: list[np.ndarray] = []

    def traction(name: str) -> Moments:
        outward.append(ws.outward(name, hand))
        goal = grasper.goal + step.traction_mm * outward[-1]
        if axis_gap(grasper, goal, hand) < GAP_MM:
            yield from skills.back_off(ws, hand, 2 * skills.STAND_OFF_MM)
        if grasper.holding:
            yield from retract(ws, grasper, goal)

    yield from _strokes(ws, step, "bed", traction)
    if step.pull_off_mm and not grasper.holding:
        ws.note("aborted", "nothing was held that could be pulled off the bed")
    elif step.pull_off_mm and outward:
        away = np.mean(outward, axis=0)
        yield from skills.back_off(ws, hand)
        yield from retract(ws, grasper, grasper.goal + step.pull_off_mm * away / np.linalg.norm(away))
        ws.note("done" if grasper.holding else "aborted", "pulled at what still held the gallbladder")


def clip(ws: Workspace, step: course.Clip) -> Moments:
    """Clips on either side of the place of the cut first."""
    hand = ws.hands["right"]
    prefix, target = TUBE_TARGET[step.tube]
    axis, cut = ws.axis(f"{prefix}_cut"), ws.landmark(f"{prefix}_cut")
    side = {name: float((ws.landmark(name) - cut) @ axis) for name in ws.numbered(f"{prefix}_clip")}
    nearest = sorted(side, key=lambda name: abs(side[name]))
    either_side = [next((name for name in nearest if sign * side[name] > 0), None) for sign in (1, -1)]
    order = [name for name in either_side if name] + [name for name in nearest if name not in either_side]
    yield from skills.fetch(ws, hand, step.instrument)
    for name in order[: step.count]:
        yield from _close_until(ws, hand, "clip", name, target, lambda event: event.amount > 0)


def cut(ws: Workspace, step: course.Cut) -> Moments:
    hand = ws.hands["right"]
    prefix, target = TUBE_TARGET[step.tube]
    yield from skills.fetch(ws, hand, step.instrument)
    yield from _close_until(ws, hand, "cut", f"{prefix}_cut", target, lambda event: event.severed)


def coagulate(ws: Workspace, step: course.Coagulate) -> Moments:
    """Every bleeding point, the oldest first; else the landmark that may ooze."""
    hand = ws.hands["right"]
    if not ws.bleedings and step.otherwise is None:
        ws.note("skipped", "nothing bled")
        return
    yield from skills.fetch(ws, hand, step.instrument)
    if ws.bleedings:
        yield from stop_bleedings(ws, hand, step.heating_w, step.seconds, step.target)
        return
    normal, end = ws.outward(step.otherwise, hand), step.seconds / ws.pace
    yield from skills.burn(
        ws, hand, lambda: ws.landmark(step.otherwise), normal, step.heating_w, end, step.target, lambda: False
    )
    ws.note("done", f"touched up {step.otherwise}; nothing bled")


def stop_bleedings(ws: Workspace, hand: Hand, heating_w: float, seconds: float, target: str) -> Moments:
    """Burn the bleeding points that there are now: so many at most, each a bounded number of times."""
    for source in ws.bleedings[:MAX_BLEEDINGS]:
        normal = -hand.axis_to(source.point(ws.positions))
        named = target_acted_on(hand.instrument.verb_name, "coagulate", source.class_id, target)
        for _ in range(ws.scenario.attempts):
            if source in ws.bleedings:
                yield from skills.burn(
                    ws,
                    hand,
                    lambda s=source: s.point(ws.positions),
                    normal,
                    heating_w,
                    seconds / ws.pace,
                    named,
                    lambda s=source: s not in ws.bleedings,
                )
        if source in ws.bleedings:
            ws.bleedings.remove(source)  # nobody tries it for ever
            ws.note("aborted", "bleeding went on")
        else:
            ws.note("done", "bleeding stopped")


def inspect(ws: Workspace, step: course.Inspect) -> Moments:
    ws.cameraman.request_distance(step.distance_mm)
    ws.interest = ws.landmark(step.landmark)
    yield from ws.wait(step.seconds)
    ws.note("done", f"looked at {step.landmark}")


def change(ws: Workspace, step: course.Change) -> Moments:
    hand = ws.hands[step.hand]
    if step.instrument is None:
        yield from skills.put_away(ws, hand)
    else:
        yield from skills.fetch(ws, hand, step.instrument)


def _strokes(
    ws: Workspace, step: course.Dissect | course.Peel, prefix: str, between: Callable[[str], Moments] | None = None
) -> Moments:
    """Strokes of the hook at numbered landmarks, in their order; `between` is done after each."""
    hand = ws.hands["right"]
    yield from skills.fetch(ws, hand, step.instrument)
    names = ws.numbered(prefix)
    wanted = np.linspace(0, len(names) - 1, step.strokes or len(names)) if names else []
    divided, done = 0, set()
    for index in wanted:
        index = _accessible(ws, hand, names, index, len(names) / len(wanted), done)
        done.add(index)
        name = names[index]
        onward = ws.landmark(names[(index + 1) % len(names)]) - ws.landmark(name)
        onward = onward / max(np.linalg.norm(onward), 1e-9)
        ws.interest = ws.landmark(name)
        for attempt in range(ws.scenario.attempts):
            force = 1 + 0.6 * attempt
            effect = yield from skills.stroke(
                ws,
                hand,
                lambda n=name: ws.landmark(n),
                ws.outward(name, hand),
                onward,
                step.heating_w,
                step.target,
                force,
            )
            divided += effect == "divided"
            if effect is not None:
                break
        if between is not None:
            yield from between(name)
        if ws.scenario.react_to_bleeding and ws.bleedings:
            yield from stop_bleedings(ws, hand, step.heating_w, 1.2, "blood_vessel")
        yield from ws.hesitate()
    ws.note("done" if divided else "aborted", f"{divided} of {len(wanted)} strokes divided tissue")


def _accessible(ws: Workspace, hand: Hand, names: list[str], wanted: float, reach: float, done: set[int]) -> int:
    """The landmark nearest to number `wanted` that a straight shaft gets at; the most open one if none is."""
    near = [index for index in range(len(names)) if abs(index - wanted) <= reach] or [round(wanted)]
    order = sorted(near, key=lambda index: (index in done, abs(index - wanted)))
    access = {index: ws.access(names[index], hand) for index in order}
    return next((index for index in order if access[index] >= OPEN_MM), max(order, key=access.__getitem__))


def _close_until(
    ws: Workspace, hand: Hand, verb: str, name: str, target: str, worked: Callable[[object], bool]
) -> Moments:
    ws.interest = ws.landmark(name)
    for attempt in range(ws.scenario.attempts):
        event = yield from skills.close_on(ws, hand, verb, lambda: ws.landmark(name), ws.axis(name), target)
        if event is not None and worked(event):
            ws.note("done", f"{verb} at {name}")
            return
        if attempt + 1 < ws.scenario.attempts:
            ws.note("retried", f"{verb} at {name} had no effect")
    ws.note("aborted", f"{verb} at {name} had no effect")


_BY_KIND = {
    course.Expose: expose,
    course.Dissect: dissect,
    course.Peel: peel,
    course.Clip: clip,
    course.Cut: cut,
    course.Coagulate: coagulate,
    course.Inspect: inspect,
    course.Change: change,
}

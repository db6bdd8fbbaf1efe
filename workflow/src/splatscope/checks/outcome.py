"""What a check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

MOST_SHOWN = 24  # offenders of a check that are named, and of all checks that are drawn


@dataclass(frozen=True)
class Offender:
    """What breaks a limit: a frame, an instance in it, or a frame and what it is too close to."""

    frame: str  # name of the image in the dataset
    value: float
    text: str  # one line for people
    instance: int | None = None
    twin: str | None = None  # the other frame, or the real frame's file
    twin_is_real: bool = False


@dataclass(frozen=True)
class Outcome:
    """One check of one dataset."""

    name: str  # of its limit in the section `checks`
    measure: str  # what is compared with the limit, with its unit
    limit: float | dict[str, float]
    at_least: bool  # whether the limit is the least or the greatest value that passes
    checked: int  # how many instances, frames or classes
    worst: float | None  # None where there was nothing to check
    offenders: int
    shown: list[Offender] = field(default_factory=list)  # the worst first, at most MOST_SHOWN

    @property
    def passed(self) -> bool:
        return self.offenders == 0

    def to_dict(self) -> dict:
        return asdict(self) | {"passed": self.passed}


def limit_text(limit: float | dict[str, float]) -> str:
    """A limit for people; of class floors, each one."""
    return ", ".join(f"{name} {floor:g}" for name, floor in limit.items()) if isinstance(limit, dict) else f"{limit:g}"


def judge(
    name: str, measure: str, limit: float, values: np.ndarray, describe: Callable[[int], Offender], *, at_least: bool
) -> Outcome:
    """Compare values [N] with the limit; NaN is nothing to check. `describe(index)` is asked about offenders only."""
    signed = values if at_least else -values
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(signed[known], kind="stable")]
    bad = order[signed[order] < (limit if at_least else -limit)]
    worst = round(float(values[order[0]]), 4) if len(order) else None
    shown = [describe(int(index)) for index in bad[:MOST_SHOWN]]
    return Outcome(name, measure, limit, at_least, len(known), worst, len(bad), shown)

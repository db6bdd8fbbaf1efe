"""Whether every class is seen often enough."""

from __future__ import annotations

import numpy as np

from splatscope.checks.measures import Measures
from splatscope.checks.outcome import MOST_SHOWN, Offender, Outcome
from splatscope.config.checks import CheckLimits


def check(measures: Measures, limits: CheckLimits) -> Outcome:
    """Classes below their floors. An offender is a class; frames without it, evenly spread, are shown for it."""
    shares = dict(zip(limits.class_floors, measures.classes.mean(0).tolist()))
    below = [name for name, floor in limits.class_floors.items() if shares[name] < floor]
    shown = []
    for name in below:
        missing = np.flatnonzero(~measures.classes[:, list(limits.class_floors).index(name)])
        places = np.linspace(0, len(missing) - 1, min(len(missing), MOST_SHOWN // len(below) or 1)).astype(int)
        text = f"no {name}, which is in {shares[name]:.1%} of the frames"
        shown += [Offender(measures.names[index], round(shares[name], 4), text) for index in missing[places]]
    return Outcome(
        "class_floors",
        "share of the frames that show a class",
        dict(limits.class_floors),
        True,
        len(shares),
        round(min(shares.values()), 4),
        len(below),
        shown[:MOST_SHOWN],
    )

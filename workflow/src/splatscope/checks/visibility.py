"""Whether every annotated instance is seen well enough."""

from __future__ import annotations

from splatscope.checks.measures import Measures
from splatscope.checks.outcome import Offender, Outcome, judge
from splatscope.config.checks import CheckLimits


def check(measures: Measures, limits: CheckLimits) -> Outcome:
    """Instances that are hidden too far."""

    def describe(row: int) -> Offender:
        value = round(float(measures.visibility[row]), 4)
        name, instance = measures.instance_at(row)
        return Offender(name, value, f"{value:.1%} of instance {instance} is seen", instance)

    return judge(
        "min_visibility",
        "visible over amodal area of an annotated instance",
        limits.min_visibility,
        measures.visibility,
        describe,
        at_least=True,
    )

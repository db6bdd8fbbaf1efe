"""Two sides put beside each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import ks_2samp

from splatscope.differences.samples import Samples
from splatscope.inspection.description import rounded

LEAST_VALUES = 2  # on each side, for a distance between distributions


@dataclass(frozen=True)
class Distribution:
    """One quantity on both sides."""

    quantity: str  # unit in the name
    count_a: int
    count_b: int
    median_a: float | None
    median_b: float | None
    kolmogorov_smirnov: float | None  # statistic, 0 to 1; None where a side has no values


@dataclass(frozen=True)
class Comparison:
    """What `splatscope diff` says."""

    images: tuple[int, int]
    annotations: dict[str, tuple[int, int]]  # by class
    distributions: list[Distribution]
    settings: dict[str, tuple]  # that differ
    provenance: dict[str, tuple]  # that differs
    same_bytes: int  # images of B whose bytes some image of A has
    same_name_and_bytes: int
    same_name: int

    def to_dict(self) -> dict:
        return asdict(self)


def compare(a: Samples, b: Samples) -> Comparison:
    """Counts, two-sample distances, what was set otherwise, which images are the same."""
    labels = sorted(a.annotations.keys() | b.annotations.keys())
    quantities = sorted(a.values.keys() | b.values.keys())
    known = set(a.digests.values())
    shared = a.digests.keys() & b.digests.keys()
    return Comparison(
        images=(a.images, b.images),
        annotations={label: (a.annotations[label], b.annotations[label]) for label in labels},
        distributions=[distribution(name, a.values.get(name, []), b.values.get(name, [])) for name in quantities],
        settings=_other(a.settings, b.settings),
        provenance=_other(a.provenance, b.provenance),
        same_bytes=sum(digest in known for digest in b.digests.values()),
        same_name_and_bytes=sum(a.digests[name] == b.digests[name] for name in shared),
        same_name=len(shared),
    )


def distribution(quantity: str, a: list[float], b: list[float]) -> Distribution:
    """Medians and the two-sample Kolmogorov-Smirnov statistic: the greatest distance between the two cumulative
    distributions. No p-value: consecutive frames are not independent."""
    enough = min(len(a), len(b)) >= LEAST_VALUES
    statistic = rounded(ks_2samp(a, b, method="asymp").statistic) if enough else None
    medians = [rounded(np.median(values)) if values else None for values in (a, b)]
    return Distribution(quantity, len(a), len(b), *medians, statistic)


def _other(a: dict, b: dict) -> dict[str, tuple]:
    return {key: (a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)}

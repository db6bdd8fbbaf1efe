"""What is said of an artefact, and helpers that several kinds share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from splatscope.errors import InputError

DIGITS = 6  # significant
LONGEST_LIST = 12


@dataclass(frozen=True)
class Description:
    """A kind in words, figures by name (plain values, as JSON has them; units in the names), and how to draw it."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    draw: Callable[[], np.ndarray] | None = None  # uint8 [H, W, 3]; None: there is nothing to see


def value_range(values: np.ndarray | Sequence[float]) -> dict[str, float | int | None]:
    """Least, median and greatest of the finite values, and how many others there are."""
    values = np.asarray(values, np.float64).ravel()
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"min": None, "median": None, "max": None, "not_finite": len(values)}
    found = {"min": rounded(finite.min()), "median": rounded(np.median(finite)), "max": rounded(finite.max())}
    return found | ({"not_finite": len(values) - len(finite)} if len(finite) < len(values) else {})


def rounded(value: float) -> float | None:
    """Six significant digits; None for what JSON cannot say."""
    value = float(value)
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def plain(value: Any, depth: int = 5) -> Any:
    """A JSON value to be shown: numbers rounded, long lists and deep parts told by their size."""
    if isinstance(value, bool) or value is None or isinstance(value, int | str):
        return value
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, dict):
        if depth == 0 or len(value) > 5 * LONGEST_LIST:
            return f"{len(value)} keys"
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        simple = all(isinstance(item, int | float | str) or item is None for item in value)
        if len(value) == 1 and isinstance(value[0], dict):
            return plain(value[0], depth)
        if len(value) > LONGEST_LIST or not simple:
            return f"{len(value)} entries"
        return [plain(item) for item in value]
    return str(value)


def wrong_kind(path: str | Path, found: str, expected: str) -> InputError:
    return InputError(
        path, found=found, expected=expected, remedy="name a file or folder that SplatScope makes or reads"
    )

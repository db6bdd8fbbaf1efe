"""Numbers as people read them."""

from __future__ import annotations

import math

MISSING = "–"


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """A number with thousands separated by narrow spaces, or a dash when there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")
    if unit == "°":
        return f"{text}°"
    return f"{text}\u00a0{unit}" if unit else text


def spread(mean: float | None, std: float | None, digits: int) -> str:
    """Mean ± standard deviation."""
    if mean is None:
        return MISSING
    return number(mean, digits) if std is None else f"{number(mean, digits)}\u00a0±\u00a0{number(std, digits)}"


def duration(seconds: float | None) -> str:
    """Seconds as s, min s, or h min."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s" if seconds < 10 else f"{seconds:.0f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60:02d}\u00a0min"

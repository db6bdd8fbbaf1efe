"""One finding about this installation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How a finding bears on a default run."""

    OK = "ok"
    NOTE = "note"  # it runs, but slower, or without something that is not needed by default
    MISSING = "missing"  # it will not run


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do about it."""

    name: str  # stable, for scripts
    state: State
    found: str
    remedy: str = ""

    def to_dict(self) -> dict:
        return asdict(self)

"""What the formats have in common: what they say of themselves, and how JSON is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Advance = Callable[[], None]
"""Called after each image."""


@dataclass(frozen=True)
class Written:
    """What a format's `write` has put into its folder."""

    annotations: int | None  # instances whose annotations are in it; None: the format knows no instances
    files: dict[str, str]  # for the card: what is what, by file or folder
    head: dict = field(default_factory=dict)  # for the card's YAML head

    def card_lines(self) -> list[str]:
        rows = (f"| {file} | {content} |" for file, content in self.files.items())
        return ["| file | content |", "|---|---|", *rows]


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """JSON with sorted keys; without NaN, which other languages cannot read."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(content, indent=indent, sort_keys=True, allow_nan=False, separators=separators)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")

"""What commands print: tables and notes for people, plain in a pipe, and JSON for scripts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

LONGEST_WORD = 13  # characters: longer ones may be broken
PIPE_WIDTH = 1000  # characters: lines in a pipe are not to be folded


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def print_json(document: dict[str, Any]) -> None:
    """Keys in a fixed order; NaN is refused, because other languages cannot read it."""
    print(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Rows under their columns; on a terminal with lines and colours, where words are only broken when they are long.
    Numbers are aligned at their right; columns without anything in them are left out.

    A cell may hold anything, also names that a hostile file chose: control characters are shown as escapes.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=PIPE_WIDTH, color_system=None)
    frame = box.SIMPLE_HEAD if terminal else None
    table = Table(title=title or None, title_justify="left", box=frame, padding=(0, 1, 0, 0), pad_edge=False)
    shown = [index for index in range(len(columns)) if any(row[index] is not None for row in rows)]
    for index in shown:
        numeric = all(isinstance(row[index], int | float) for row in rows)
        words = " ".join([columns[index], *(printable(row[index]) for row in rows)]).split()
        width = min(max(map(len, words), default=1), LONGEST_WORD)
        justify = "right" if numeric else "left"
        table.add_column(Text(columns[index]), justify=justify, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(Text(printable(row[index])) for index in shown))
    if terminal:
        console.print(table, crop=False)  # lines that the terminal folds rather than lines cut off
        return
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def printable(value: object) -> str:
    """The text of a cell, on one line: floats with four significant digits, "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def spent(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 3600:
        return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def size(count: float) -> str:
    """A number of bytes in the unit that suits it."""
    power, unit = next(((10**p, u) for p, u in ((12, "TB"), (9, "GB")) if count >= 10**p), (10**6, "MB"))
    return f"{count / power:,.0f} {unit}" if unit == "MB" else f"{count / power:,.1f} {unit}"

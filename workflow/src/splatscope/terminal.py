"""What commands print: tables and notes for people, plain in a pipe, and JSON for scripts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

PIPE_WIDTH = 1000  # characters: lines in a pipe are not to be folded


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def print_json(document: dict[str, Any]) -> None:
    """Keys in a fixed order; NaN is refused, because other languages cannot read it."""
    print(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Rows under their columns; on a terminal with lines and colours. Numbers are aligned at their right.

    A cell may hold anything, also names that a hostile file chose: control characters are shown as escapes.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=PIPE_WIDTH, color_system=None)
    frame = box.SIMPLE_HEAD if terminal else None
    table = Table(title=title or None, title_justify="left", box=frame, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    if terminal:
        console.print(table)
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

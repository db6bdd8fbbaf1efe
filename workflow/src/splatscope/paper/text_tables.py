"""The tables as plain text, for the end of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from splatscope.paper.comparison import Cell, Claim, Comparison, Measure
from splatscope.paper.published import Value

WIDTH = 118
NONE = "-"


def plain_text(tables: Sequence[Comparison], claims: Sequence[Claim]) -> str:
    """Every table with the paper's figures beside ours, what differs, and the verdicts; lines of up to 118 signs."""
    parts = [_table(table) for table in tables]
    parts.append("\n".join(["Claims", "------", *(_claim(claim) for claim in claims)]))
    return "\n\n".join(parts) + "\n"


def _table(table: Comparison) -> str:
    title = f"{table.title} ({table.source.short}, {table.place})"
    heads = ["", *(f"{column.title} {name}" for column in table.columns for name in ("paper", "here"))]
    lines = [heads]
    for row in table.rows:
        line = [row.label]
        for column in table.columns:
            cell = row.cells.get(column.key, Cell())
            line += [_figure(cell.published, column.digits), _figure(cell.ours, column.digits)]
        lines.append(line)
    # a column that says nothing anywhere is left out
    shown = [0, *(i for i in range(1, len(heads)) if any(line[i] != NONE for line in lines[1:]))]
    widths = [max(len(line[index]) for line in lines) for index in shown]
    text = [title, "-" * len(title)]
    for line in lines:
        cells = [
            line[index].ljust(width) if index == 0 else line[index].rjust(width) for index, width in zip(shown, widths)
        ]
        text.append("  ".join(cells).rstrip())
    text.append(f"Same protocol: {table.same_protocol}.")
    text += [f"  differs: {line}" for line in table.differences if table.measured]
    return "\n".join(_wrapped(line) if line.startswith("  differs") else line for line in text)


def _claim(claim: Claim) -> str:
    return _wrapped(f"[{claim.verdict}] {claim.text} Paper: {claim.published}. Here: {claim.ours}.")


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ")


def _figure(value: Value | Measure | None, digits: int) -> str:
    if value is None:
        return NONE
    spread = "" if value.std is None else f" ± {value.std:.{digits}f}"
    return f"{value.mean:.{digits}f}{spread}"

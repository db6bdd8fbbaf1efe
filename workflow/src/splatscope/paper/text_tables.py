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
    heads, lines = [""], [[row.label] for row in table.rows]
    for column, published in table.shown:
        heads += [f"{column.title} {name}" for name in (("paper", "here") if published else ("here",))]
        for line, row in zip(lines, table.rows):
            cell = row.cells.get(column.key, Cell())
            line += [_figure(cell.published, column.digits)] * published + [_figure(cell.ours, column.digits)]
    lines.insert(0, heads)
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = [title, "-" * len(title)]
    for label, *cells in lines:
        padded = [label.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:]))]
        text.append("  ".join(padded).rstrip())
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

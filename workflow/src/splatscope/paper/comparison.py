"""A published table beside ours: what every rendering of it (page, CSV, terminal) is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splatscope.paper.published import Source, Value


@dataclass(frozen=True)
class Measure:
    """A figure of ours: mean, and what is known of its spread."""

    mean: float
    std: float | None = None  # over images or folds
    low: float | None = None  # 95 % confidence interval of the mean
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    published: Value | None = None
    ours: Measure | None = None


@dataclass(frozen=True)
class Column:
    key: str
    title: str
    better: str  # "↑" or "↓"
    digits: int = 3


@dataclass(frozen=True)
class Row:
    label: str
    cells: Mapping[str, Cell]  # by column key
    ours: bool = False  # the row of the method that the table argues for
    note: str = ""  # training time and the like


@dataclass(frozen=True)
class Aspect:
    """One point of a protocol."""

    what: str
    theirs: str
    ours: str
    same: bool | None  # None: the paper does not say

    @property
    def verdict(self) -> str:
        """ "yes", "no" or "not stated"."""
        return {True: "yes", False: "no", None: "not stated"}[self.same]


@dataclass(frozen=True)
class Comparison:
    """A table of a paper, measured again."""

    key: str
    title: str
    source: Source
    place: str  # where in the paper
    spread: str  # what follows ± in our figures
    columns: Sequence[Column]
    rows: Sequence[Row]
    protocol: Sequence[Aspect]
    notes: Sequence[str] = ()

    @property
    def shown(self) -> list[tuple[Column, bool]]:
        """The columns that hold a figure, and whether the paper has one there."""
        found = []
        for column in self.columns:
            cells = [row.cells.get(column.key, Cell()) for row in self.rows]
            if any(cell.published or cell.ours for cell in cells):
                found.append((column, any(cell.published for cell in cells)))
        return found

    @property
    def measured(self) -> bool:
        """Whether there is any figure of ours."""
        return any(cell.ours for row in self.rows for cell in row.cells.values())

    @property
    def differences(self) -> list[str]:
        """What of the protocol is not the paper's."""
        return [
            f"{aspect.what}: {aspect.ours} (paper: {aspect.theirs})" for aspect in self.protocol if aspect.same is False
        ]

    @property
    def same_protocol(self) -> str:
        """ "not run", "no", "as far as stated" or "yes"."""
        if not self.measured:
            return "not run"
        if self.differences:
            return "no"
        return "as far as stated" if any(aspect.same is None for aspect in self.protocol) else "yes"


@dataclass(frozen=True)
class Claim:
    """What a paper concludes from a table, and what our figures say."""

    text: str
    source: Source
    published: str
    ours: str
    verdict: str  # "reproduced", "contradicted", "undecided", "not run"
    basis: str = field(default="")  # how the verdict is reached


def records(tables: Sequence[Comparison]) -> list[dict]:
    """One flat record per figure, for tables.csv."""
    return [
        {
            "table": table.key,
            "row": row.label,
            "metric": column.key,
            "paper_mean": cell.published and cell.published.mean,
            "paper_std": cell.published and cell.published.std,
            "ours_mean": cell.ours and cell.ours.mean,
            "ours_std": cell.ours and cell.ours.std,
            "ours_low": cell.ours and cell.ours.low,
            "ours_high": cell.ours and cell.ours.high,
            "same_protocol": table.same_protocol,
            "differs": "; ".join(table.differences),
        }
        for table in tables
        for row in table.rows
        for column in table.columns
        if (cell := row.cells.get(column.key, Cell())).published or cell.ours
    ]

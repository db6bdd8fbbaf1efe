"""The table that the benches print and write."""

from __future__ import annotations

from pathlib import Path

from splatscope.files import write_json


class Table:
    """The rows measured so far; printed and written as they come, so that an interrupted run keeps them."""

    def __init__(self, path: Path):
        self.path, self.rows = path, []

    def add(
        self,
        work: str,
        ours: float,
        peer: float | None,
        version: str,
        unit: str,
        at_least: float | None,
        ratio: float | None = None,
        **more,
    ) -> None:
        """`ratio` says how good ours is; when absent, how many times less than the peer's."""
        times = "x" if ratio is None else ""
        ratio = peer / ours if ratio is None else ratio
        short = " (short)" if at_least is not None and ratio < at_least else ""
        other = "" if peer is None else f", {version} {peer:.4g} {unit}"
        print(f"{work}: ours {ours:.4g} {unit}{other}: {ratio:.4g}{times}{short} {more or ''}", flush=True)
        row = {"work": work, "ours": ours, "peer": peer, "peer_version": version, "ratio": ratio, "unit": unit}
        self.rows.append({**row, "at_least": at_least, **more})
        write_json(self.path, self.rows)

    def missing(self, work: str, why: str) -> None:
        print(f"{work}: not measured, {why}", flush=True)
        self.rows.append({"work": work, "not_measured": why})
        write_json(self.path, self.rows)

"""Tables: poses, scene lists, metrics, and tracker logs, which are tables of a kind of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.errors import InputError
from splatscope.geometry import POSE_FIELDS, poses_from_columns
from splatscope.inspection.description import Description, rounded, value_range
from splatscope.inspection.pictures import plot

MOST_CELLS = 100_000_000
MOST_COLUMNS = 60  # that are told one by one
FEW_VALUES = 12


def describe_parquet(file: Path) -> Description:
    """Rows, columns and ranges. Raises InputError for what is no parquet, or too large to look at."""
    import pyarrow.parquet as parquet

    try:
        metadata = parquet.read_metadata(file)
        if metadata.num_rows * metadata.num_columns > MOST_CELLS:
            raise ValueError(f"{metadata.num_rows} rows of {metadata.num_columns} columns: too many to look at")
        table = pd.read_parquet(file)
    except (OSError, ValueError, MemoryError, NotImplementedError) as error:  # pyarrow's errors are kinds of these
        raise InputError(
            file, found=str(error)[:300], expected="a parquet table", remedy="run the stage that makes it again"
        ) from error
    return describe_table(table)


def describe_text(file: Path) -> Description:
    """A tracker log, else a table of comma- or tab-separated values."""
    from splatscope.ingest.trackers import read_tracker_log
    from splatscope.inspection.recordings import describe_log
    from splatscope.recordings import REQUIRED_COLUMNS, read_recordings

    if file.suffix.lower() == ".tsv" and _header(file)[: len(REQUIRED_COLUMNS)] == list(REQUIRED_COLUMNS):
        rows = read_recordings(file, made_here="results/phantom")
        return Description("table of recordings", {row.name: f"{row.role}: {row.video}" for row in rows})
    try:
        return describe_log(read_tracker_log(file))
    except InputError as refused:
        if "no header of a known layout" not in refused.found or file.suffix.lower() not in (".csv", ".tsv"):
            raise
    try:
        table = pd.read_csv(file, sep="\t" if file.suffix.lower() == ".tsv" else ",", comment="#", nrows=1_000_000)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(file, found=str(error)[:300], expected="a table", remedy="write the file again") from error
    return describe_table(table)


def describe_table(table: pd.DataFrame) -> Description:
    """Rows, and each column's range or values; transforms as distances travelled."""
    poses = pose_names(table)
    facts: dict = {"rows": len(table), "columns": len(table.columns)}
    hidden = {f"{name}_{field}" for name in poses for field in POSE_FIELDS}
    for name in poses:
        facts[name] = _pose_facts(poses_from_columns(table, name))
    others = [column for column in table.columns if column not in hidden]
    for column in others[:MOST_COLUMNS]:
        facts[str(column)] = _column_facts(table[column])
    kind = "table of poses" if poses and "tools" not in table else "scene list" if poses else "table"

    def draw() -> np.ndarray:
        def tracks(figure):
            axes = figure.subplots(len(poses), sharex=True, squeeze=False)[:, 0]
            for axis, name in zip(axes, poses):
                for column, label in enumerate("xyz"):
                    axis.plot(poses_from_columns(table, name)[:, column, 3], label=label, lw=1)
                axis.set(title=name, ylabel="mm")
            axes[0].legend(ncol=3)
            axes[-1].set_xlabel("row")

        return plot(tracks, 9, 2 + 2.2 * len(poses))

    return Description(kind, facts, draw if poses and len(table) else None)


def pose_names(table: pd.DataFrame) -> list[str]:
    """Names of the transforms in a table (see geometry.pose_columns)."""
    first = f"_{POSE_FIELDS[0]}"
    names = [column.removesuffix(first) for column in map(str, table.columns) if column.endswith(first)]
    return [name for name in names if all(f"{name}_{field}" in table.columns for field in POSE_FIELDS)]


def _pose_facts(transforms: np.ndarray) -> dict:
    positions = transforms[np.isfinite(transforms).all((1, 2)), :3, 3]
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    facts = {"valid": len(positions), "invalid": len(transforms) - len(positions)}
    if len(positions):
        facts |= {"path_mm": rounded(steps.sum()), "extent_mm": [rounded(side) for side in np.ptp(positions, axis=0)]}
    return facts


def _column_facts(column: pd.Series) -> object:
    if pd.api.types.is_bool_dtype(column):
        return {"true": int(column.sum()), "false": int((~column).sum())}
    if pd.api.types.is_numeric_dtype(column):
        return value_range(column.to_numpy(np.float64))
    counts = column.astype(str).value_counts()
    if len(counts) > FEW_VALUES:
        return f"{len(counts)} different values"
    return {value: int(count) for value, count in counts.items()}


def _header(file: Path) -> list[str]:
    with open(file, "rb") as handle:
        for line in handle.read(65_536).decode("utf-8", "replace").lstrip("\ufeff").splitlines():
            if line.strip() and not line.startswith("#"):
                return line.split("\t")
    return []

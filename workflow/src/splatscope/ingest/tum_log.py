"""TUM trajectories: `t tx ty tz qx qy qz qw` in a line, the quaternion's scalar last; lines with # are comments.

One sensor, which is named `camera`. The layout prescribes metres; the config says which unit the file has.
"""

from __future__ import annotations

import re

from splatscope.errors import InputError
from splatscope.ingest.tracker_log import RawLog, parse_number

SENSOR = "camera"
_COLUMNS = ["timestamp", "tx", "ty", "tz", "qx", "qy", "qz", "qw"]


def is_tum_trajectory(text: str) -> bool:
    """Whether the first line that is no comment holds numbers only, between blanks."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            cells = line.split()
            return len(cells) > 1 and all(re.fullmatch(r"[-+.\deEnNaAiIfF]+", cell) for cell in cells)
    return False


def read_tum_trajectory(file: str, text: str) -> RawLog:
    """Read a TUM trajectory."""
    raw = RawLog(file, "tum", "timestamp")
    raw.poses[SENSOR] = []
    raw.columns[SENSOR] = ["qw", "qx", "qy", "qz", "tx", "ty", "tz"]
    lines = [(row, line.strip()) for row, line in enumerate(text.splitlines(), 1) if line.strip()]
    for row, line in lines:
        if line.startswith("#"):
            _check_comment(file, row, line)
            continue
        cells = line.split()
        if len(cells) != len(_COLUMNS):
            if row == lines[-1][0] and len(cells) < len(_COLUMNS) and raw.rows:
                raw.cut_rows = 1
                break
            raise InputError(
                file,
                f"row {row}",
                found=f"{len(cells)} numbers",
                expected=f"8: {' '.join(_COLUMNS)}",
                remedy="write the trajectory in TUM layout, or export the tracker's own log",
            )
        time, tx, ty, tz, qx, qy, qz, qw = (parse_number(raw, row, c, cell) for c, cell in zip(_COLUMNS, cells))
        raw.rows.append(row)
        raw.time_s.append(time)
        raw.poses[SENSOR].append([qw, qx, qy, qz, tx, ty, tz])
    return raw


def _check_comment(file: str, row: int, line: str) -> None:
    """A comment that names the columns in another order contradicts the layout."""
    names = re.findall(r"\bq[wxyz]\b", line.lower())
    if len(names) == 4 and names != _COLUMNS[4:]:
        raise InputError(
            file,
            f"row {row}",
            found=f"quaternion order {' '.join(names)}",
            expected="qx qy qz qw: TUM trajectories have the scalar last",
            remedy="reorder the columns to t tx ty tz qx qy qz qw",
        )

"""Tracker logs of every layout that SplatScope reads; the layout is found from the file's content."""

from __future__ import annotations

from pathlib import Path

from splatscope.errors import InputError
from splatscope.ingest import ndi_logs, plus_log, tum_log
from splatscope.ingest.tracker_log import TrackerLog, check_log, read_text


def read_tracker_log(file: str | Path, *, unit: str = "mm", rate_hz: float = 40.0) -> TrackerLog:
    """Read and check a tracker log: NDI ToolBox CSV/TSV, NDI wall-clock table, PLUS metafile or TUM trajectory.

    `unit` ("mm" or "m") is the file's unit of length; `rate_hz` turns frame numbers into seconds where the log has
    no time. Raises InputError naming file, row and column of anything that cannot be used.
    """
    name = str(file)
    if _starts_like_metafile(file):
        raw = plus_log.read_plus_metafile(name)
    else:
        text = read_text(file)
        if ndi_logs.is_toolbox(text):
            raw = ndi_logs.read_toolbox(name, text, rate_hz)
        elif ndi_logs.is_wall_clock_table(text):
            raw = ndi_logs.read_wall_clock_table(name, text)
        elif tum_log.is_tum_trajectory(text):
            raw = tum_log.read_tum_trajectory(name, text)
        else:
            raise InputError(
                name,
                "row 1",
                found=f"no header of a known layout: {text.strip().splitlines()[0][:120]!r}",
                expected="NDI ToolBox CSV/TSV (Tools,Port ...), an NDI wall-clock table (Sample:,Hour,Minutes,...), "
                "a PLUS .mha sequence, or a TUM trajectory (t tx ty tz qx qy qz qw)",
                remedy="export the log in one of these layouts, with its header line",
            )
    return check_log(raw, unit)


def _starts_like_metafile(file: str | Path) -> bool:
    try:
        with open(file, "rb") as handle:
            return plus_log.is_plus_metafile(handle.read(64))
    except OSError:
        return False  # read_text says what is wrong

"""What a tracker recorded, whatever the file's layout, and the checks that every log must pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from splatscope.documents import read_file
from splatscope.errors import InputError
from splatscope.geometry import interpolate_poses, pose_from_quaternion

QUATERNION_NORM_TOLERANCE = 0.02  # logs round to 4 decimals or more; anything beyond is not a rotation
SMALLEST_RANGE_MM = 3.0  # no tracker measures within 3 mm of its own origin: such values are metres
LARGEST_RANGE_MM = 20_000.0
DAY_S = 86_400.0


@dataclass
class RawLog:
    """Samples as read from a file, before any check. Row numbers are line numbers of the file, from 1."""

    file: str
    layout: str
    time_column: str
    rows: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    poses: dict[str, list[list[float] | None]] = field(default_factory=dict)  # qw qx qy qz tx ty tz; None is missing
    columns: dict[str, list[str]] = field(default_factory=dict)  # the names of these seven in the file
    cut_rows: int = 0


@dataclass(frozen=True)
class TrackerLog:
    """Poses of every sensor over time. Lengths in mm, times in seconds of the tracker's own clock."""

    file: str
    layout: str
    time_s: np.ndarray  # [N], strictly increasing
    tracker_from_sensor: dict[str, np.ndarray]  # name -> [N, 4, 4]; all NaN where the sensor was not seen
    cut_rows: int = 0  # last rows that were cut off in the file and are left out

    def valid(self, sensor: str) -> np.ndarray:
        """bool [N]: where this sensor was seen."""
        return np.isfinite(self.tracker_from_sensor[sensor]).all((1, 2))

    def require(self, sensor: str, key: str) -> np.ndarray:
        """Transforms [N, 4, 4] of a sensor that `key` of the config names.

        Raises InputError when the log has no such sensor or saw it fewer than twice.
        """
        if sensor not in self.tracker_from_sensor:
            raise InputError(
                self.file,
                f"sensor {sensor!r} of {key}",
                found=f"sensors {', '.join(map(repr, self.tracker_from_sensor))}",
                expected=f"one named {sensor!r}",
                remedy=f"set {key} to one of the names in the log",
            )
        count = int(self.valid(sensor).sum())
        if count < 2:
            raise InputError(
                self.file,
                f"sensor {sensor!r} of {key}",
                found=f"{count} valid poses in {len(self.time_s)} rows",
                expected="at least 2",
                remedy=f"record again with the sensor inside the tracker's volume, or set {key} to another sensor",
            )
        return self.tracker_from_sensor[sensor]

    def poses_at(self, sensor: str, time_s: np.ndarray, max_gap_s: float) -> np.ndarray:
        """Transforms [M, 4, 4] at tracker times [M]: interpolated between valid samples at most `max_gap_s` apart.

        Slerp of the rotation, linear in translation; all NaN elsewhere.
        """
        seen = self.valid(sensor)
        times, transforms = self.time_s[seen], self.tracker_from_sensor[sensor][seen]
        result = np.full((len(time_s), 4, 4), np.nan)
        if len(times) < 2:
            return result
        after = np.clip(np.searchsorted(times, time_s, side="right"), 1, len(times) - 1)
        inside = (time_s >= times[0]) & (time_s <= times[-1])
        inside &= times[after] - times[after - 1] <= max_gap_s * (1 + 1e-9)
        if inside.any():
            result[inside] = interpolate_poses(times, transforms, time_s[inside])
        return result

    def statistics(self) -> dict:
        """Counts for the record: rows, rate, and per sensor how often it was seen or missing."""
        sensors = {name: int(self.valid(name).sum()) for name in self.tracker_from_sensor}
        return {
            "layout": self.layout,
            "rows": len(self.time_s),
            "cut_rows": self.cut_rows,
            "duration_s": round(float(self.time_s[-1] - self.time_s[0]), 6),
            "rate_hz": round(float(1 / np.median(np.diff(self.time_s))), 3),
            "sensors": {name: {"valid": n, "missing": len(self.time_s) - n} for name, n in sensors.items()},
        }


def check_log(raw: RawLog, unit: str = "mm") -> TrackerLog:
    """The log in mm, or an InputError that names the row and column that cannot be true."""
    if not raw.rows:
        raise InputError(
            raw.file,
            found="a header and no complete row after it" if raw.cut_rows else "a header and no rows",
            expected="tracker samples",
            remedy="record or export the log again",
        )
    time_s = np.array(raw.time_s, np.float64)
    _check_times(raw, time_s)
    scale = {"mm": 1.0, "m": 1000.0}[unit]
    tracker_from_sensor = {}
    for sensor, poses in raw.poses.items():
        seen = np.array([pose is not None for pose in poses])
        values = np.array([pose or [np.nan] * 7 for pose in poses], np.float64)
        _check_values(raw, sensor, values, seen, scale)
        transforms = np.full((len(poses), 4, 4), np.nan)
        transforms[seen] = pose_from_quaternion(values[seen, :4], values[seen, 4:] * scale)
        tracker_from_sensor[sensor] = transforms
    log = TrackerLog(raw.file, raw.layout, time_s, tracker_from_sensor, raw.cut_rows)
    counts = {sensor: int(log.valid(sensor).sum()) for sensor in tracker_from_sensor}
    if max(counts.values(), default=0) < 2:
        raise InputError(
            raw.file,
            found=f"valid poses per sensor {counts} in {len(raw.rows)} rows",
            expected="at least 2 valid poses of some sensor",
            remedy="record again with the sensors inside the tracker's volume",
        )
    _check_unit(log, unit)
    return log


def _check_times(raw: RawLog, time_s: np.ndarray) -> None:
    where = f"column {raw.time_column!r}"
    bad = np.flatnonzero(~np.isfinite(time_s))
    if len(bad):
        raise InputError(
            raw.file,
            f"row {raw.rows[bad[0]]}, {where}",
            found=str(time_s[bad[0]]),
            expected="a finite time",
            remedy="export the log again",
        )
    bad = np.flatnonzero(np.diff(time_s) <= 0)
    if len(bad):
        first, second = bad[0], bad[0] + 1
        same = time_s[first] == time_s[second]
        raise InputError(
            raw.file,
            f"rows {raw.rows[first]} and {raw.rows[second]}, {where}",
            found=f"{'the same time twice' if same else 'time going backwards'}: "
            f"{time_s[first]:.6f} s, then {time_s[second]:.6f} s (in {len(bad)} places)",
            expected="times that increase from row to row",
            remedy="remove the duplicated rows, or export one continuous recording",
        )


def _check_values(raw: RawLog, sensor: str, values: np.ndarray, seen: np.ndarray, scale: float) -> None:
    names = raw.columns[sensor]
    bad = np.argwhere(seen[:, None] & ~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            raw.file,
            f"row {raw.rows[row]}, column {names[column]!r} of sensor {sensor!r}",
            found=f"{values[row, column]} in a sample that is marked valid",
            expected="a finite number, or a state that says the sensor was missing",
            remedy="export the log again, or mark these samples as missing",
        )
    norm = np.linalg.norm(values[:, :4], axis=1)
    bad = np.flatnonzero(seen & (np.abs(norm - 1) > QUATERNION_NORM_TOLERANCE))
    if len(bad):
        row = bad[0]
        raise InputError(
            raw.file,
            f"row {raw.rows[row]}, columns {', '.join(names[:4])} of sensor {sensor!r}",
            found=f"a quaternion of length {norm[row]:.4g} (in {len(bad)} of {int(seen.sum())} samples)",
            expected="length 1, in the order scalar, x, y, z by these column names",
            remedy="check the column order: rotation and translation, or scalar and vector part, are likely swapped",
        )
    bad = np.flatnonzero(seen & (np.abs(values[:, 4:]).max(1) * scale > LARGEST_RANGE_MM))
    if len(bad):
        row = bad[0]
        raise InputError(
            raw.file,
            f"row {raw.rows[row]}, columns {', '.join(names[4:])} of sensor {sensor!r}",
            found=f"a position of {values[row, 4:].tolist()} {'mm' if scale == 1 else 'm'}",
            expected=f"positions within {LARGEST_RANGE_MM / 1000:.0f} m of the tracker",
            remedy="set ingest.tracker_unit to the log's unit of length, or mark these samples as missing",
        )


def _check_unit(log: TrackerLog, unit: str) -> None:
    positions = np.concatenate([poses[:, :3, 3] for poses in log.tracker_from_sensor.values()])
    largest = float(np.nanmax(np.abs(positions)))
    if unit == "mm" and largest < SMALLEST_RANGE_MM:
        raise InputError(
            log.file,
            found=f"positions of at most {largest:.4g} from the tracker's origin: these look like metres",
            expected="millimetres",
            remedy="set ingest.tracker_unit: m, or export the log in millimetres",
        )


def read_text(file: str | Path) -> str:
    """The text of a log. Raises InputError when there is no such file, it is empty, or it is not text."""
    content = read_file(file, "a tracker log")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            file, found="bytes that are not UTF-8 text", expected="a tracker log", remedy="export it as CSV"
        ) from error
    if not text.strip():
        raise InputError(file, found="an empty file", expected="a tracker log", remedy="record or export it again")
    return text


def parse_number(raw: RawLog, row: int, column: str, cell: str) -> float:
    """The number in a cell; InputError naming row and column otherwise."""
    try:
        return float(cell)
    except ValueError:
        raise InputError(
            raw.file,
            f"row {row}, column {column!r}",
            found=repr(cell) if cell else "an empty cell",
            expected="a number",
            remedy="mend or remove this row, or export the log again",
        ) from None

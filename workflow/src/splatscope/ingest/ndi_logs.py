"""Logs of NDI's Aurora and Polaris: the ToolBox export, and the table that the API samples are often made to write.

ToolBox, new and old form (comma or tab between cells):
    Tools,Port 0x01: NAME s/n:SERIAL,Frame,Time [sec],Face,State,Q0,Qx,Qy,Qz,Tx,Ty,Tz,Error,Markers,...,Port 0x02: ...
    Tools,Port 1,Frame,Face,State,Q0,Qx,Qy,Qz,Tx,Ty,Tz,Error,Port 2,...
A sample counts as missing unless its State is OK. Wall-clock table:
    Sample:,Hour,Minutes,Seconds,ms,Xa,Ya,Za,qoa,qxa,qya,qza,Xb,...
A sample whose seven values are all zero is missing.
"""

from __future__ import annotations

import re
from collections import Counter

from splatscope.errors import InputError
from splatscope.ingest.tracker_log import DAY_S, RawLog, parse_number

_POSE = ("Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz")
_PORT_COLUMNS = {"Frame", "Time [sec]", "Face", "State", *_POSE, "Error", "Markers"}
_MARKER_COLUMNS = {"State", "Tx", "Ty", "Tz"}  # repeated for each marker after `Markers`
_OK_STATES = {"ok", "enabled"}  # every other state, as Missing or Too Few Markers, is a missing sample
_BAD_FLOAT = -3.0e28  # NDI writes -3.697314E28 for a value that is not there


def is_toolbox(text: str) -> bool:
    """Whether the first line is a ToolBox header."""
    cells = _split(text.lstrip().splitlines()[0])
    return cells[0] == "Tools" or ("State" in cells and any(cell.startswith("Port ") for cell in cells))


def is_wall_clock_table(text: str) -> bool:
    """Whether one of the first lines is the header of a wall-clock table."""
    return _find_wall_clock_header(text.splitlines()) is not None


def read_toolbox(file: str, text: str, rate_hz: float) -> RawLog:
    """Read a ToolBox export; without a time column, time is the frame number divided by `rate_hz`."""
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.strip())
    header = _split(lines[first])
    ports = _toolbox_ports(file, first + 1, header)
    leading = next(iter(ports.values()))
    time_column = "Time [sec]" if "Time [sec]" in leading else "Frame"
    raw = RawLog(file, "ndi-toolbox", time_column)
    raw.poses = {name: [] for name in ports}
    raw.columns = {name: list(_POSE) for name in ports}
    needed = max(max(columns[name] for name in (*_POSE, "State")) for columns in ports.values()) + 1
    body = [(row, _split(line)) for row, line in enumerate(lines[first + 1 :], first + 2) if line.strip()]
    for row, cells in body:
        if len(cells) < needed:
            if row == body[-1][0]:
                raw.cut_rows = 1
                break
            raise _short_row(file, row, len(cells), len(header))
        time = parse_number(raw, row, time_column, cells[leading[time_column]])
        raw.rows.append(row)
        raw.time_s.append(time if time_column != "Frame" else time / rate_hz)
        for name, columns in ports.items():
            raw.poses[name].append(_toolbox_pose(raw, row, cells, columns))
    return raw


def _toolbox_pose(raw: RawLog, row: int, cells: list[str], columns: dict[str, int]) -> list[float] | None:
    state = cells[columns["State"]]
    parse_number(raw, row, "Frame", cells[columns["Frame"]])
    if re.fullmatch(r"[-+.\deE]*", state):
        raise InputError(
            raw.file,
            f"row {row}, column 'State'",
            found=repr(state),
            expected="a state such as OK or Missing: the cells of this row are shifted",
            remedy="mend or remove this row, or export the log again",
        )
    if state.lower() not in _OK_STATES:
        return None
    values = [parse_number(raw, row, column, cells[columns[column]]) for column in _POSE]
    for column, value in zip(_POSE, values):
        if value < _BAD_FLOAT:
            raise InputError(
                raw.file,
                f"row {row}, column {column!r}",
                found=f"NDI's mark for a missing value ({value:g}) in a sample whose state is OK",
                expected="a state such as Missing",
                remedy="mark the sample as missing, or export the log again",
            )
    return values


def _toolbox_ports(file: str, row: int, header: list[str]) -> dict[str, dict[str, int]]:
    """Sensor name -> column name -> position in a row."""
    starts = [index for index, cell in enumerate(header) if cell.startswith("Port ")]
    if not starts:
        raise InputError(
            file,
            f"row {row}",
            found=f"columns {', '.join(header)}",
            expected="a column 'Port 0x01: NAME s/n:SERIAL' or 'Port 1' at the head of each sensor's columns",
            remedy="export the log from NDI ToolBox with its header",
        )
    names = _port_names([header[start] for start in starts])
    if len(set(names)) < len(names):
        raise InputError(
            file,
            f"row {row}",
            found=f"ports {', '.join(names)}",
            expected="different ports",
            remedy="export the log again",
        )
    ports = {}
    for name, start, end in zip(names, starts, [*starts[1:], len(header)]):
        columns = {"Port": start}
        for index in range(start + 1, end):
            cell = header[index]
            if cell in columns and "Markers" in columns and cell in _MARKER_COLUMNS:
                continue
            if cell not in _PORT_COLUMNS or cell in columns:
                raise InputError(
                    file,
                    f"row {row}, column {index + 1} of sensor {name!r}",
                    found=f"{'a second' if cell in columns else 'an unknown'} column {cell!r}",
                    expected=f"each once of {', '.join(sorted(_PORT_COLUMNS))}",
                    remedy="export the log from NDI ToolBox with quaternions, or rename the column",
                )
            columns[cell] = index
        lacking = {"Frame", "State", *_POSE} - set(columns)
        if lacking:
            raise InputError(
                file,
                f"row {row}, sensor {name!r}",
                found=f"no column {', '.join(sorted(lacking))}",
                expected=f"columns Frame, State, {', '.join(_POSE)}",
                remedy="export the log from NDI ToolBox with quaternions and positions",
            )
        ports[name] = columns
    return ports


def _port_names(cells: list[str]) -> list[str]:
    """`Port 0x01: NAME s/n:SERIAL` -> NAME (with the serial number where names repeat); `Port 1` stays."""
    labels = [" ".join(cell.partition(":")[2].split()) for cell in cells]
    names = [_without_serial(label) or cell for label, cell in zip(labels, cells)]
    count = Counter(names)
    return [label if count[name] > 1 else name for name, label in zip(names, labels)]


def _without_serial(label: str) -> str:
    name, mark, serial = label.rpartition("s/n:")
    return name.rstrip() if mark and len(serial.split()) < 2 else label


def read_wall_clock_table(file: str, text: str) -> RawLog:
    """Read a table of hour, minute, second, millisecond and seven values per sensor; sensors are named a, b, ..."""
    lines = text.splitlines()
    first = _find_wall_clock_header(lines)
    header = [cell.lower() for cell in _split(lines[first])]
    raw = RawLog(file, "ndi-wall-clock", "Hour, Minutes, Seconds, ms")
    sensors = _wall_clock_sensors(file, first + 1, header)
    raw.poses = {name: [] for name in sensors}
    raw.columns = {name: [header[index] for index in columns] for name, columns in sensors.items()}
    clock = [header.index(name) for name in ("hour", "minutes", "seconds", "ms")]
    body = [(row, _split(line)) for row, line in enumerate(lines[first + 1 :], first + 2) if line.strip()]
    days = 0
    for row, cells in body:
        cells = cells[:-1] if cells[-1] == "" else cells  # rows end in a comma
        if len(cells) < len(header):
            if row == body[-1][0]:
                raw.cut_rows = 1
                break
            raise _short_row(file, row, len(cells), len(header))
        hour, minute, second, ms = (parse_number(raw, row, header[index], cells[index]) for index in clock)
        time = hour * 3600 + minute * 60 + second + ms / 1000 + days * DAY_S
        if raw.time_s and raw.time_s[-1] - time > DAY_S / 2:  # past midnight
            days, time = days + 1, time + DAY_S
        raw.rows.append(row)
        raw.time_s.append(time)
        for name, columns in sensors.items():
            values = [parse_number(raw, row, header[index], cells[index]) for index in columns]
            raw.poses[name].append(values if any(values) else None)
    return raw


def _find_wall_clock_header(lines: list[str]) -> int | None:
    for index, line in enumerate(lines[:20]):
        if {"hour", "minutes", "seconds", "ms"} <= {cell.lower() for cell in _split(line)}:
            return index
    return None


def _wall_clock_sensors(file: str, row: int, header: list[str]) -> dict[str, list[int]]:
    known = {"sample:", "sample", "hour", "minutes", "seconds", "ms"}
    patterns = ("qo{}", "qx{}", "qy{}", "qz{}", "x{}", "y{}", "z{}")
    names = [cell[2:] for cell in header if cell.startswith("qo")]
    count, place = Counter(header), {cell: index for index, cell in enumerate(header)}
    sensors = {}
    for name in names:
        columns = [pattern.format(name) for pattern in patterns]
        if any(count[column] != 1 for column in columns):
            break
        sensors[name or "sensor"] = [place[column] for column in columns]
    used = known | {header[index] for columns in sensors.values() for index in columns}
    unknown = [cell for cell in header if cell not in used and cell]
    if unknown or not sensors:
        raise InputError(
            file,
            f"row {row}",
            found=f"unknown or incomplete columns {', '.join(unknown) or '(none)'}",
            expected="Sample, Hour, Minutes, Seconds, ms and per sensor a: Xa Ya Za qoa qxa qya qza",
            remedy="rename the columns, or export the log from NDI ToolBox",
        )
    return sensors


def _split(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.rstrip("\r\n").split("\t" if "\t" in line else ",")]


def _short_row(file: str, row: int, found: int, expected: int) -> InputError:
    return InputError(
        file,
        f"row {row}",
        found=f"{found} cells",
        expected=f"{expected}, as in the header",
        remedy="mend or remove this row, or export the log again (only a last row may be cut off)",
    )

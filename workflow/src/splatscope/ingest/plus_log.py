"""PLUS sequence metafiles (.mha, .igs.mha): a text header with poses, followed by images that are not read here.

    Seq_Frame0000_ProbeToTrackerTransform = 16 numbers, row by row
    Seq_Frame0000_ProbeToTrackerTransformStatus = OK
    Seq_Frame0000_Timestamp = 345.627957
`TrackerToProbeTransform` is inverted; transforms between other frames are left aside. Lengths are mm.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.geometry import invert, matrix_to_quaternion
from splatscope.ingest.tracker_log import RawLog, parse_number

ORTHONORMAL_TOLERANCE = 0.01
_FIELD = re.compile(r"Seq_Frame(\d{1,9})_(\w+)$")
_TRANSFORM = re.compile(r"(?:(\w+)ToTracker|TrackerTo(\w+))Transform$")


def is_plus_metafile(start: bytes) -> bool:
    """Whether these first bytes of a file are a MetaImage header."""
    return start.lstrip().startswith((b"ObjectType", b"NDims"))


def read_plus_metafile(file: str) -> RawLog:
    """Read the header of a PLUS sequence metafile."""
    raw = RawLog(file, "plus-metafile", "Timestamp")
    frames: dict[int, dict[str, tuple[int, str]]] = {}  # frame -> field -> (line, value)
    complete = False
    with Path(file).open("rb") as handle:
        for row, line in enumerate(handle, 1):
            key, equals, value = line.decode("latin-1").partition("=")
            key, value = key.strip(), value.strip()
            if key == "ElementDataFile":
                complete = True
                break
            match = _FIELD.match(key)
            if match and equals:
                frames.setdefault(int(match[1]), {})[match[2]] = (row, value)
    if not frames:
        raise InputError(
            file,
            found="a MetaImage header without any Seq_Frame... field",
            expected="a PLUS sequence with transforms of every frame",
            remedy="record with PLUS's VirtualCapture or DiskDataCollector, which write the tracker's transforms",
        )
    names = sorted({name for fields in frames.values() for name in fields if _TRANSFORM.match(name)})
    sensors = {name: next(filter(None, _TRANSFORM.match(name).groups())) for name in names}
    if not sensors or len(set(sensors.values())) < len(sensors):
        others = sorted({name for fields in frames.values() for name in fields if name.endswith("Transform")})
        raise InputError(
            file,
            found=f"transforms {', '.join(others) or '(none)'}",
            expected="one named <Tool>ToTrackerTransform or TrackerTo<Tool>Transform for every tool",
            remedy="record the raw transforms to the frame 'Tracker' with PLUS",
        )
    raw.poses = {sensor: [] for sensor in sensors.values()}
    raw.columns = {sensor: [name] * 7 for name, sensor in sensors.items()}
    last = max(frames)
    for number in sorted(frames):
        fields = frames[number]
        if not complete and number == last:
            raw.cut_rows = 1
            break
        if "Timestamp" not in fields:
            raise InputError(
                file,
                f"Seq_Frame{number:04d}",
                found="no Timestamp",
                expected=f"Seq_Frame{number:04d}_Timestamp in seconds",
                remedy="record again with time stamps",
            )
        row, value = fields["Timestamp"]
        raw.rows.append(row)
        raw.time_s.append(parse_number(raw, row, f"Seq_Frame{number:04d}_Timestamp", value))
        for name, sensor in sensors.items():
            raw.poses[sensor].append(_pose(raw, number, name, fields))
    return raw


def _pose(raw: RawLog, number: int, name: str, fields: dict[str, tuple[int, str]]) -> list[float] | None:
    if name not in fields or fields.get(f"{name}Status", (0, "OK"))[1] != "OK":
        return None
    row, text = fields[name]
    key = f"Seq_Frame{number:04d}_{name}"
    values = [parse_number(raw, row, key, cell) for cell in text.split()]
    matrix = np.array(values).reshape(4, 4) if len(values) == 16 else None
    if matrix is None or not np.isfinite(matrix).all() or not _is_rigid(matrix):
        raise InputError(
            raw.file,
            f"row {row}, {key}",
            found=f"{len(values)} numbers {text[:60]}...",
            expected="16 numbers of a rigid transform, row by row, the last row 0 0 0 1",
            remedy="set its status to INVALID, or record again",
        )
    if name.startswith("TrackerTo"):
        matrix = invert(matrix)
    return [*matrix_to_quaternion(matrix[:3, :3]).tolist(), *matrix[:3, 3].tolist()]


def _is_rigid(matrix: np.ndarray) -> bool:
    rotation = matrix[:3, :3]
    return (
        np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6)
        and np.allclose(rotation @ rotation.T, np.eye(3), atol=ORTHONORMAL_TOLERANCE)
        and np.linalg.det(rotation) > 0
    )

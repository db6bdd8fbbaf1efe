"""What the user brings: the rows of recordings.tsv."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from splatscope.documents import read_file
from splatscope.errors import InputError

REQUIRED_COLUMNS = ("name", "role", "video")
OPTIONAL_COLUMNS = ("tracker", "calibration", "poses")
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")  # it becomes a wildcard, and the name of files and folders
RESERVED_NAMES = ("site", "truth")  # names of folders that stages make beside the recordings' own


class Role(StrEnum):
    """What a recording is for."""

    BACKGROUND = "background"  # the site without tools; teaches the site splat
    TOOL = "tool"  # one tool alone, the camera circling it; teaches the tool splat. Its name is the tool's name
    SCENE = "scene"  # site and tools together; ground truth that the replay is compared with, never trained on
    TEST = "test"  # like scene; the unseen real test set of downstream experiments


@dataclass(frozen=True)
class Recording:
    """One row of recordings.tsv; paths are relative to the working directory, None where the row has '-' or nothing."""

    name: str
    role: Role
    video: Path  # a video file, or a folder of images
    tracker: Path | None = None  # NDI CSV/TSV, PLUS .mha, or TUM trajectory
    calibration: Path | None = None  # OpenCV YAML/JSON, COLMAP cameras, or a checkerboard video
    poses: Path | None = None  # known camera poses: a COLMAP model folder or a nerfstudio transforms.json

    @property
    def files(self) -> dict[str, Path]:
        """The files this recording consists of, by column."""
        columns = ("video", *OPTIONAL_COLUMNS)
        return {column: path for column in columns if (path := getattr(self, column)) is not None}

    def as_plain(self) -> dict[str, str | None]:
        """The row as JSON has it."""
        return {name: None if value is None else str(value) for name, value in vars(self).items()}

    @classmethod
    def from_plain(cls, row: dict[str, str | None]) -> Recording:
        """The recording that `as_plain` told of."""
        files = {column: None if row[column] is None else Path(row[column]) for column in ("video", *OPTIONAL_COLUMNS)}
        return cls(row["name"], Role(row["role"]), **files)


def read_recordings(path: str | Path, made_here: str | None = None) -> list[Recording]:
    """Read and check recordings.tsv.

    Files must exist, except below the folder `made_here` (the phantom's, which a rule makes).
    Raises InputError naming file, line and column.
    """
    content = read_file(path, "a table of recordings: `recordings` in the config names it")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(path, found="bytes that are no UTF-8", expected="text", remedy="save it as UTF-8") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        raise InputError(
            path, found="an empty table", expected="a header and one row per recording", remedy="add your recordings"
        )
    header = _cells(path, *numbered[0])
    _check_header(path, numbered[0][0], header)
    recordings: list[Recording] = []
    for number, line in numbered[1:]:
        cells = _cells(path, number, line)
        recordings.append(_read_row(path, number, header, cells, recordings, made_here))
    _check_roles(path, recordings)
    return recordings


def _cells(path: str | Path, number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter="\t"))
    except csv.Error as error:
        raise InputError(
            path, f"line {number}", found=str(error), expected="cells between tabs", remedy="correct this line"
        ) from error


def _exists(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def _check_header(path: str | Path, number: int, header: list[str]) -> None:
    known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
    unknown = [column for column in header if column not in known]
    missing = [column for column in REQUIRED_COLUMNS if column not in header]
    twice = [column for column in header if header.count(column) > 1]
    if unknown or missing or twice:
        problem = f"unknown {unknown}" if unknown else f"missing {missing}" if missing else f"twice {twice}"
        raise InputError(
            path,
            f"line {number} (header)",
            found=f"columns {', '.join(header)}: {problem}",
            expected=f"tab-separated {', '.join(REQUIRED_COLUMNS)}, optionally {', '.join(OPTIONAL_COLUMNS)}",
            remedy="correct the header; separate the columns by tabs, not spaces",
        )


def _read_row(
    path: str | Path, number: int, header: list[str], cells: list[str], before: list[Recording], made_here: str | None
) -> Recording:
    if len(cells) != len(header):
        raise InputError(
            path,
            f"line {number}",
            found=f"{len(cells)} cells",
            expected=f"{len(header)}, one per column",
            remedy="separate cells by one tab; write '-' where there is nothing",
        )
    row = {column: cell.strip() for column, cell in zip(header, cells)}
    name = row["name"]
    if not NAME_PATTERN.fullmatch(name) or name in RESERVED_NAMES:
        raise InputError(
            path,
            f"line {number}, column name",
            found=repr(name),
            expected=f"at most 64 lower-case letters, digits and _, none of {', '.join(RESERVED_NAMES)}",
            remedy="rename the recording: results are filed under this name",
        )
    if name in [recording.name for recording in before]:
        raise InputError(
            path,
            f"line {number}, column name",
            found=f"{name} a second time",
            expected="a name of its own for each recording",
            remedy="rename one of them",
        )
    if row["role"] not in list(Role):
        raise InputError(
            path,
            f"line {number}, column role",
            found=repr(row["role"]),
            expected=" | ".join(Role),
            remedy="choose one of these roles; workflow/README.md says what each is for",
        )
    files: dict[str, Path | None] = {}
    for column in ("video", *OPTIONAL_COLUMNS):
        cell = row.get(column, "-")
        if cell in ("", "-"):
            files[column] = None
            continue
        files[column] = Path(cell)
        made = made_here is not None and Path(made_here) in Path(cell).parents
        if not made and not _exists(Path(cell)):
            raise InputError(
                path,
                f"line {number}, column {column}",
                found=f"{cell}, which does not exist",
                expected="an existing file or folder",
                remedy="correct the path (it is relative to the folder in which snakemake is started)",
            )
    if files["video"] is None:
        raise InputError(
            path,
            f"line {number}, column video",
            found="nothing",
            expected="a video file or a folder of images",
            remedy="fill in the path",
        )
    return Recording(name, Role(row["role"]), **files)


def _check_roles(path: str | Path, recordings: list[Recording]) -> None:
    roles = [recording.role for recording in recordings]
    if Role.BACKGROUND not in roles:
        raise InputError(
            path,
            "column role",
            found=f"roles {', '.join(sorted(set(roles))) or 'none'}",
            expected="at least one background recording",
            remedy="add the recording of the site without tools",
        )

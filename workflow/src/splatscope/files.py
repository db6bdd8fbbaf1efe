"""Writing results so that a reader never sees half a file, and equal content is equal bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splatscope.documents import parse_json, read_file
from splatscope.errors import InputError
from splatscope.storage import storage_error

if TYPE_CHECKING:  # it takes a second to import, which every start of the workflow would pay
    import pandas as pd


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed into place, on failure removed.

    Raises InputError when the disk is full or must not be written.
    """
    path = Path(path)
    # the suffix stays last: image and video libraries choose the format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except Exception as error:
        problem = None if isinstance(error, InputError) else storage_error(error, path)
        if problem is None:
            raise
        raise problem from error
    finally:
        with suppress(OSError):  # on a disk that cannot be written there is none
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove temporary files that killed processes left of `path`; nobody else may be writing it now."""
    path = Path(path)
    mine = re.compile(rf"\.{re.escape(path.stem)}\.\d+{re.escape(path.suffix)}")
    if path.parent.is_dir():
        for entry in os.scandir(path.parent):
            if mine.fullmatch(entry.name):
                os.unlink(entry.path)


def write_bytes(path: str | Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with sorted keys; NaN is refused, because other languages cannot read it."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; raises InputError when there is no such file, and naming the line when it is not JSON."""
    return parse_json(read_file(path, "a JSON document"), path)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as parquet (or csv, by the suffix), without its index."""
    with atomic_path(path) as temporary:
        if temporary.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def write_sealed(path: str | Path, content: bytes) -> None:
    """Write bytes behind their own SHA-256, for files that no record speaks of."""
    write_bytes(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: str | Path) -> bytes:
    """The bytes that `write_sealed` wrote. Raises InputError when they are others."""
    stored = Path(path).read_bytes()
    seal, content = stored[:32], stored[32:]
    if hashlib.sha256(content).digest() != seal:
        raise InputError(
            path,
            found="bytes other than those written",
            expected="a whole and undamaged file",
            remedy="delete it and run the same command again",
        )
    return content


def sha256(path: str | Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

"""What a job reads and writes, held against the records."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from splatscope.errors import InputError
from splatscope.records import FOLDER_MANIFEST, Record, Records
from splatscope.storage import storage_error


class JobInputs:
    """The files that a job reads. Raises InputError, and moves the file aside, when one is not what was written."""

    def __init__(self, paths: Iterable[str], records: Records):
        self.records = records
        self.seen = {path: self._check(path) for path in dict.fromkeys(map(str, paths))}

    def check_again(self) -> None:
        """Raise InputError when a file changed while the job read it."""
        for path, (times, record) in self.seen.items():
            if record is not None:
                self._check(path)
            elif _times(path) != times:
                raise InputError(
                    path,
                    found="a file that changed while it was read",
                    expected="the same file from beginning to end of the job",
                    remedy="run the same command again when nothing writes to it any more",
                )

    def _check(self, path: str) -> tuple[tuple, Record | None]:
        try:
            record = self.records.read(path)
        except InputError as error:
            raise self._set_aside(path, f"{error.file}: {error.found}") from None
        if record is None:
            return _times(path), None
        if record.set_aside and not Path(path).exists():
            raise InputError(
                path,
                found="nothing: it was damaged and has been moved to results/damaged",
                expected="the bytes that its job wrote",
                remedy="run the same command again: it will be made anew",
            )
        if not record.is_untouched(path):
            reason, record = record.compare(path)
            if reason:
                raise self._set_aside(path, reason)
            # Snakemake touches outputs when their job has ended; noted, so that the next reader need not hash them
            with suppress(OSError, InputError):
                self.records.write(path, record)
        return _times(path), record

    def _set_aside(self, path: str, reason: str) -> InputError:
        try:
            place = self.records.set_aside(path)
        except OSError as error:
            return storage_error(error, path) or error
        return InputError(
            path,
            found=f"{reason}: it is damaged",
            expected="the bytes that its job wrote",
            remedy=f"run the same command again: it was moved to {place} and will be made anew",
        )


def record_outputs(paths: Iterable[str], rule: str, records: Records) -> None:
    """Record what a job wrote; the manifest of a dataset last, as it speaks of the files that have no record."""
    for path in sorted(map(str, paths), key=lambda path: Path(path).name == FOLDER_MANIFEST):
        records.add(path, rule)


def _times(path: str) -> tuple:
    if not os.path.exists(path):
        return ()
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

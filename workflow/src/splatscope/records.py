"""Records of results: what is known of every file that a job made, so that damage to it is found.

The record of `results/a/b.tar` is `results/digests/a/b.tar.json`: SHA-256, size, and the two times that the file system
keeps. Nobody can set back the time of the last change (ctime), so a file of the recorded size and times is as it was
written; any other is read and hashed. What only reading finds is a disk that forgets by itself: see splatscope.verify.

A dataset has more files than may each have a record; its manifest.json knows their SHA-256, and the manifest's record
has one digest over the sizes and times of them all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from splatscope.errors import InputError
from splatscope.files import read_json, sha256, write_json

DIGESTS, DAMAGED = "digests", "damaged"  # folders in results/
UNRECORDED = (DIGESTS, DAMAGED, "logs", "benchmarks")  # what a rerun need not give back byte for byte
FOLDER_MANIFEST = "manifest.json"
MAX_MEMBERS = 200_000  # of a dataset whose files' times are looked at before every run; more takes seconds


@dataclass(frozen=True)
class Record:
    """What a file was like when its job ended."""

    rule: str
    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int
    members: str = ""  # of a dataset's manifest: digest over sizes and times of the files it names
    set_aside: bool = False  # it was found damaged and moved away, or its job did not finish: to be made again

    @classmethod
    def of(cls, path: str | Path, rule: str) -> Record:
        stat = os.stat(path)  # before reading: a change in between is found the next time
        return cls(rule, sha256(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def is_untouched(self, path: str | Path) -> bool:
        stat = os.stat(path)
        return (self.size, self.mtime_ns, self.ctime_ns) == (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def compare(self, path: str | Path) -> tuple[str, Record]:
        """Read the file: what is wrong with its bytes, nothing when they are those written; and the record with the
        times that it had before it was read."""
        stat = os.stat(path)
        seen = replace(self, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns, set_aside=False)
        if stat.st_size != self.size:
            return f"{stat.st_size} bytes, but {self.size} were written", seen
        found = sha256(path)
        return ("" if found == self.sha256 else f"SHA-256 {found[:16]}, but {self.sha256[:16]} was written"), seen


_NOTHING_KNOWN = Record("", "", -1, 0, 0)


class Records:
    """The records in one folder of results. Files are named by paths that begin with that folder."""

    def __init__(self, results: str | Path = "results"):
        self.results = Path(results)

    def place(self, file: str | Path) -> Path | None:
        """Where the record of a file is; None for files that have none, because no job of ours wrote them here.

        Links lead into a cache that several folders share, where another may have written.
        """
        file = Path(file)
        if self.results not in file.parents or file.is_symlink():
            return None
        inside = file.relative_to(self.results)
        return None if inside.parts[0] in UNRECORDED else self.results / DIGESTS / f"{inside}.json"

    def read(self, file: str | Path) -> Record | None:
        """The record of a file, None when it has none. Raises InputError for a record that cannot be read."""
        place = self.place(file)
        return None if place is None or not place.exists() else _read(place)

    def write(self, file: str | Path, record: Record) -> None:
        if (place := self.place(file)) is not None:
            write_json(place, asdict(record))

    def begin(self, file: str | Path) -> None:
        """Note, before a file is written anew, that it is to be made: should the job fail, that is not forgotten."""
        try:
            record = self.read(file)
        except InputError:
            record = _NOTHING_KNOWN
        if record is not None:
            self.write(file, replace(record, set_aside=True))

    def all(self) -> Iterator[tuple[Path, Record | None]]:
        """Every file that has a record, and the record; None for one that cannot be read."""
        root = self.results / DIGESTS
        for folder, _, names in os.walk(root):
            inside = Path(folder).relative_to(root)
            for name in names:
                if name.endswith(".json") and not name.startswith("."):
                    try:
                        record = _read(os.path.join(folder, name))
                    except InputError:
                        record = None
                    yield self.results / inside / name.removesuffix(".json"), record

    def add(self, file: str | Path, rule: str) -> None:
        """Record a file that a job has just written; a file that is not there has no record."""
        if self.place(file) is None or not Path(file).is_file():
            return
        record = Record.of(file, rule)
        if Path(file).name == FOLDER_MANIFEST and len(read_json(file)["files"]) <= MAX_MEMBERS:
            record = replace(record, members=self.members_digest(file))
        self.write(file, record)

    def members_digest(self, manifest: str | Path) -> str:
        """Digest over the names, sizes and times of all files in a manifest's folder but those with a record."""
        folder = Path(manifest).parent
        recorded = self.results / DIGESTS / folder.relative_to(self.results)
        digest = hashlib.sha256()
        for place, folders, names in os.walk(folder):
            folders.sort()
            top = place == str(folder)
            for name in sorted(names):
                if not (top and (name == FOLDER_MANIFEST or (recorded / f"{name}.json").exists())):
                    stat = os.stat(os.path.join(place, name))
                    line = (os.path.relpath(place, folder), name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                    digest.update(repr(line).encode())
        return digest.hexdigest()

    def set_aside(self, file: str | Path, *, remake: bool = True) -> Path:
        """Move a damaged file to results/damaged/, and note whether it is to be made again; where it is now."""
        file = Path(file)
        inside = file.relative_to(self.results)
        target = self.results / DAMAGED / inside
        number = 1
        while target.exists():
            number += 1
            target = self.results / DAMAGED / inside.with_name(f"{inside.name}.{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            record = self.read(file)
        except InputError:
            record = None
        try:
            shutil.move(file, target)
        except FileNotFoundError:
            return target  # another job that reads it was quicker
        if remake:
            self.write(file, replace(record or _NOTHING_KNOWN, set_aside=True))
        return target


def _read(place: str | Path) -> Record:
    try:
        with open(place, "rb") as handle:
            return Record(**json.load(handle))
    except (ValueError, TypeError) as error:
        raise InputError(
            place,
            found=f"no record ({error})",
            expected="the record of a result",
            remedy="run the same command again: the result will be made anew",
        ) from error

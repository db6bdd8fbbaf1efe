"""Looking for damage among results: quickly before every run, by every byte on demand.

find_damage(records)                      files that changed since they were recorded are hashed, the others trusted
find_damage(records, every_byte=True)     everything is hashed: what a disk lost without a trace is found too
repair(records, findings)                 damaged files are moved aside, so that the next run makes them again
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from splatscope.errors import InputError
from splatscope.files import read_json, sha256
from splatscope.records import FOLDER_MANIFEST, UNRECORDED, Record, Records

HASHERS = min(8, os.cpu_count() or 1)  # hashing lets other threads run


@dataclass
class Findings:
    """What was found among results."""

    damaged: dict[Path, str] = field(default_factory=dict)  # why, by file
    remake: set[Path] = field(default_factory=set)  # recorded files whose job must run again
    missing: list[Path] = field(default_factory=list)  # recorded, but not there
    unrecorded: list[Path] = field(default_factory=list)  # there, but nothing says what they should be
    left_out: list[Path] = field(default_factory=list)  # manifests of datasets that are too large for a quick look
    changed: dict[Path, Record] = field(default_factory=dict)  # sound, but with other times than recorded
    recorded: int = 0


def find_damage(records: Records, *, every_byte: bool = False) -> Findings:
    """Compare all results with their records; changes nothing.

    `every_byte` also reads files whose times are those recorded, datasets of any size, shards without a record
    (against their own manifests), and lists unrecorded files.
    """
    findings = Findings()
    doubtful: list[tuple[Path, Record]] = []
    known = set()
    for file, record in records.all():
        findings.recorded += 1
        known.add(file)
        if file.is_symlink():
            continue  # into the cache that several folders share; see Records.place
        if not file.exists():
            if record is None or record.set_aside:
                findings.remake.add(file)
            findings.missing.append(file)
        elif record is None:
            findings.damaged[file] = "its record cannot be read"
        else:
            if file.name == FOLDER_MANIFEST:
                _look_into_dataset(records, file, record, every_byte, findings)
            if every_byte or record.set_aside or not record.is_untouched(file):
                doubtful.append((file, record))
    with ThreadPoolExecutor(HASHERS) as pool:
        compared = pool.map(lambda pair: pair[1].compare(pair[0]), doubtful)
        for (file, record), (reason, seen) in zip(doubtful, compared):
            if reason:
                findings.damaged[file] = "left by a job that did not finish" if record.set_aside else reason
            elif seen != record:
                findings.changed[file] = seen
        if every_byte:
            _look_at_unrecorded(records, known, findings, pool.map)
    findings.remake |= known & findings.damaged.keys()
    return findings


def mend_times(records: Records, findings: Findings) -> None:
    """Note the new times of files whose bytes are right, so that they need not be hashed again.

    Times in the future, which would have everything after them made again for ever, are set to now; times before that
    of the writing, as a clock that was set back or a careless copy leaves them, to that of the writing.
    """
    now = time.time_ns()
    for file, seen in findings.changed.items():
        recorded = records.read(file)
        right = min(max(seen.mtime_ns, recorded.mtime_ns), now)
        if right != seen.mtime_ns and seen.is_untouched(file):
            os.utime(file, ns=(right, right))
            seen = replace(seen, mtime_ns=right, ctime_ns=os.stat(file).st_ctime_ns)
        if seen.members:
            seen = replace(seen, members=records.members_digest(file))
        records.write(file, seen)


def repair(records: Records, findings: Findings) -> None:
    """Move damaged files, and the manifests of datasets that have some, to results/damaged."""
    for file in sorted(findings.damaged.keys() | findings.remake):
        if file.exists():
            records.set_aside(file, remake=file in findings.remake)


def give_back_times(records: Records, before: dict[Path, Record | None]) -> None:
    """Give results that were made again with the bytes of `before` the time that they had, so that nothing that was
    made from them seems out of date."""
    now = time.time_ns()
    for file, old in before.items():
        new = records.read(file)
        if old is not None and new is not None and new.sha256 == old.sha256 and file.exists():
            time_of_old = min(old.mtime_ns, now)
            if os.stat(file).st_mtime_ns != time_of_old and new.compare(file)[0] == "":
                os.utime(file, ns=(time_of_old, time_of_old))
                records.write(file, new.compare(file)[1])


def _look_into_dataset(records: Records, manifest: Path, record: Record, every_byte: bool, findings: Findings) -> None:
    if not every_byte and not record.members:
        findings.left_out.append(manifest)
        return
    if every_byte or records.members_digest(manifest) != record.members:
        before = len(findings.damaged)
        findings.damaged.update(damaged_members(manifest))
        if len(findings.damaged) > before:
            findings.remake.add(manifest)
        elif records.members_digest(manifest) != record.members:
            findings.changed[manifest] = record


def damaged_members(manifest: Path) -> dict[Path, str]:
    """Files of a dataset that are not what its manifest says: why, by file."""
    try:
        expected = read_json(manifest)["files"]
    except (InputError, KeyError, TypeError):
        return {}  # the manifest's own digest will tell

    def reason(name: str) -> str:
        file = manifest.parent / name
        if not file.is_file():
            return "missing"
        found = sha256(file)
        return "" if found == expected[name] else f"SHA-256 {found[:16]}, but {expected[name][:16]} in {manifest.name}"

    with ThreadPoolExecutor(HASHERS) as pool:
        return {manifest.parent / name: why for name, why in zip(expected, pool.map(reason, expected)) if why}


def _look_at_unrecorded(records: Records, known: set[Path], findings: Findings, in_parallel: Callable) -> None:
    in_datasets = {manifest.parent for manifest in known if manifest.name == FOLDER_MANIFEST}
    files = [file for file in _all_files(records.results, in_datasets) if file not in known]
    for file, reason in zip(files, in_parallel(_shard_damage, files)):
        if reason:
            findings.damaged[file] = reason
            findings.remake.add(file)
        else:
            findings.unrecorded.append(file)


def _all_files(results: Path, datasets: Iterable[Path]) -> Iterator[Path]:
    """All results but the files in datasets, which their manifests name."""
    for place, folders, names in os.walk(results):
        if place == str(results):
            folders[:] = [name for name in folders if name not in UNRECORDED]
        folders[:] = [] if Path(place) in datasets else sorted(name for name in folders if not name.startswith("."))
        if Path(place) not in datasets:
            yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def _shard_damage(file: Path) -> str:
    """What is wrong with a shard, by its own manifest; nothing for other files and shards without one."""
    manifest = file.with_suffix(".json")
    if file.suffix != ".tar" or not manifest.is_file():
        return ""
    try:
        expected = read_json(manifest)["sha256"]
    except (InputError, KeyError, TypeError):
        return "its manifest cannot be read"
    found = sha256(file)
    return "" if found == expected else f"SHA-256 {found[:16]}, but {expected[:16]} in its manifest"


def describe(findings: Findings) -> list[str]:
    """A line for each file of note."""
    lines = [f"damaged: {file}: {why}" for file, why in sorted(findings.damaged.items())]
    lines += [f"missing: {file}" for file in sorted(findings.missing)]
    return lines + [f"unrecorded: {file}" for file in findings.unrecorded]

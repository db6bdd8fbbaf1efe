"""Where a result comes from: the record that was made when it was written."""

from __future__ import annotations

from pathlib import Path

from splatscope.files import sha256
from splatscope.project import results_of
from splatscope.records import Records

WHAT = {"dataset": "manifest.json", "ingested": "ingest.json"}


def describe_origin(path: Path) -> dict:
    """Size and SHA-256 of a file, and what the records of the results around it say. Of a folder: of its manifest."""
    if path.is_dir():
        stated = [path / name for name in WHAT.values() if (path / name).is_file()]
        return {"record": _record(stated[0])} if stated else {}
    digest = sha256(path)
    return {"size_bytes": path.stat().st_size, "sha256": digest, "record": _record(path, digest)}


def _record(file: Path, digest: str | None = None) -> str:
    results = results_of(file)
    if results is None:
        return "none: not among the results of a run"
    record = Records(results).read(file.absolute())
    if record is None:
        return "none: no job of this run wrote it"
    same = (digest or sha256(file)) == record.sha256
    return f"written by {record.rule}, {'unchanged since' if same else 'CHANGED since: run splatscope verify'}"

"""The run that nothing disturbed: what every result's bytes should be, and which jobs made them."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from pathlib import Path

from splatscope.records import UNRECORDED

# How long something took is told by these files, which are compared without it.
TIMES = {
    "summary.json": rb'"run.wall_s": [\d.]+',
    "splat.json": rb'"seconds": [\d.]+',
    "sfm.json": rb'"seconds": {.*?}',
    "curve.csv": rb",[\d.]+$",
    "report.html": b"|".join(
        [
            rb'<section id="costs">.*?</section>',
            rb'<p class="time">.*?</p>',
            rb'<dt>Time</dt><dd class="value">.*?</dd>',
            rb"<code>run.wall_s</code></th><td>[\d.]+",
            rb"iterations, [^<]*</span>",
        ]
    ),
}


@dataclass(frozen=True)
class Job:
    """One job of the finished run."""

    rule: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    seconds: float


class Undisturbed:
    """A finished working directory, its jobs and the SHA-256 of every result."""

    def __init__(self, folder: Path, starting_s: float):
        self.folder, self.starting_s = folder, starting_s  # what snakemake takes to find that there is nothing to do
        self.jobs = read_jobs(folder / ".snakemake" / "metadata")
        self.digests = digests(folder)
        self.readers: dict[str, list[Job]] = {}
        for job in self.jobs:
            for path in job.inputs:
                self.readers.setdefault(path, []).append(job)

    def downstream(self, job: Job) -> set[Job]:
        """The job and all that need what it makes."""
        found, queue = {job}, [job]
        while queue:
            for output in queue.pop().outputs:
                queue += [reader for reader in self.readers.get(output, []) if reader not in found]
                found.update(self.readers.get(output, []))
        return found

    def choose_unfinished(self, rng: random.Random, seconds: float) -> set[Job]:
        """Jobs whose results are to be missing, with all that depends on them: as many as take about `seconds`."""

        def cost(jobs: set[Job]) -> float:
            return sum(job.seconds for job in jobs)

        chosen: set[Job] = set()
        for job in rng.sample(self.jobs, len(self.jobs)):
            more = chosen | self.downstream(job)
            if cost(more) <= seconds:
                chosen = more
        return chosen or min((self.downstream(job) for job in self.jobs), key=cost)

    def copy(self, target: Path, unfinished: set[Job]) -> None:
        """The working directory as it was before these jobs ran."""
        shutil.copytree(self.folder, target, symlinks=True, dirs_exist_ok=True)
        for job in unfinished:
            for output in job.outputs:
                (target / output).unlink()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every result by its path, without times; logs and benchmarks tell of nothing else and are none."""
    results = folder / "results"
    files = (path for path in results.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(without_times(path)).hexdigest()
        for path in files
        if path.relative_to(results).parts[0] not in UNRECORDED
    }


def without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name in TIMES:
        content = re.sub(TIMES[path.name], b"", content, flags=re.MULTILINE | re.DOTALL)
    return content


def read_jobs(metadata: Path) -> list[Job]:
    """The jobs of a run, from Snakemake's notes: a file for each output, named by its path in base 64."""
    outputs: dict[tuple, list[str]] = {}
    seconds: dict[tuple, float] = {}
    for file in sorted(path for path in metadata.rglob("*") if path.is_file()):
        name = "".join(part.removeprefix("@") for part in file.relative_to(metadata).parts)
        note = json.loads(file.read_text())
        key = (note["rule"], note["job_hash"], tuple(note["input"]))
        outputs.setdefault(key, []).append(urlsafe_b64decode(name).decode())
        seconds[key] = note["endtime"] - note["starttime"]
    return [Job(key[0], tuple(sorted(paths)), key[2], seconds[key]) for key, paths in outputs.items()]

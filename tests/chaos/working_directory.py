"""A working directory in which `snakemake` runs and is disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DYING_S = 10  # in which every process of a killed run must be gone


@dataclass
class WorkingDirectory:
    """A folder, and the one command that is run in it again and again."""

    folder: Path
    arguments: tuple[str, ...]
    outputs: list[str] = field(default_factory=list)  # of the runs, in their order
    orphans: int = 0

    def start(self) -> subprocess.Popen:
        """Start the command in a session of its own."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        log = open(self.folder.with_suffix(f".{len(self.outputs)}.log"), "w+")  # noqa: SIM115 (read in `finish`)
        process = subprocess.Popen(
            [*command, "--directory", str(self.folder), *self.arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow" / "src"), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        process.log = log
        return process

    def finish(self, process: subprocess.Popen, timeout: float = 3600) -> int:
        """Wait for a run, and for all processes that it started; its exit code."""
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = -1
        deadline = time.monotonic() + DYING_S
        while (left := members(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.orphans += len(left)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        process.log.seek(0)
        self.outputs.append(process.log.read())
        process.log.close()
        return code

    def run(self) -> int:
        return self.finish(self.start())

    def result(self, path: str) -> Path:
        return self.folder / path


def members(session: int) -> list[int]:
    """Living processes of a session but its leader."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != session:
            try:
                with open(f"/proc/{entry.name}/stat") as file:
                    state, _, _, its_session = file.read().rsplit(")", 1)[1].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(its_session) == session and state != "Z":
                found.append(int(entry.name))
    return found


def jobs_of(process: subprocess.Popen) -> list[int]:
    """Processes of a run that run a job's script."""
    found = []
    for pid in members(process.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(b"/.snakemake/scripts/" in word or b"colmap_process" in word for word in words):
            found.append(pid)
    return found

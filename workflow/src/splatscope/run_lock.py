"""One run at a time in a folder.

Snakemake's own lock is a file, which outlives a killed run and then wants `--unlock`. The kernel's lock on an open file
ends with the process, whatever ends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from splatscope.errors import InputError

LOCK_FILE = "splatscope.lock"  # in .snakemake


@dataclass
class RunLock:
    """Held from `claim_folder` to `release`, or to the end of the process."""

    file: IO[str]

    def release(self) -> None:
        self.file.close()


def claim_folder(snakemake_folder: str | Path) -> RunLock:
    """Make this process the only run in a working directory, whose `.snakemake` is given, and remove the locks that
    a killed run left in there.

    Raises InputError naming the other run when there is one.
    """
    folder = Path(snakemake_folder)
    folder.mkdir(exist_ok=True)
    file = open(folder / LOCK_FILE, "a+")  # noqa: SIM115 (held beyond this function)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with file:
            raise InputError(
                folder.absolute().parent,
                found=f"another run at work here ({_holder(file)})",
                expected="one run at a time in a folder",
                remedy="wait for it or stop it; runs in other folders (--directory) do not disturb it",
            ) from None
    file.truncate(0)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}))
    file.flush()
    shutil.rmtree(folder / "locks", ignore_errors=True)
    return RunLock(file)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        said = json.loads(file.read())
        return f"process {said['pid']} on {said['host']}, since {said['started']}"
    except (ValueError, KeyError):
        return "which has just begun"

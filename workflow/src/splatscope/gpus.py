"""Which GPUs a job may use, told without loading a GPU library, and taking one of several for itself."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import IO

VISIBLE = "CUDA_VISIBLE_DEVICES"  # schedulers set it to what they hand out
WAIT_S = 1.0


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU that this process may use."""
    return os.environ.get(VISIBLE) not in ("", "-1") and bool(glob("/dev/nvidia[0-9]*"))


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, each by a name that CUDA_VISIBLE_DEVICES takes."""
    if VISIBLE in os.environ:
        return [name for part in os.environ[VISIBLE].split(",") if (name := part.strip()) not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    ask = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


@contextmanager
def hold_gpu() -> Iterator[None]:
    """Let the body see one GPU that no other job of this user has, waiting for it if need be.

    Does nothing unless there are several: Snakemake says how many jobs may use GPUs at a time, but not which GPU. To be
    entered before anything in this process initialises CUDA. The lock is the kernel's, and goes with the process.
    """
    names = visible_gpus()
    if len(names) < 2:
        yield
        return
    before = os.environ.get(VISIBLE)
    name, lock = _take_one(names)
    os.environ[VISIBLE] = name
    print(f"GPU {name}", flush=True)
    try:
        yield
    finally:
        lock.close()
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def _take_one(names: list[str]) -> tuple[str, IO[str]]:
    folder = Path(tempfile.gettempdir()) / f"splatscope_gpus_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    waiting = False
    while True:
        for name in names:
            lock = open(folder / name.replace("/", "_"), "w")  # noqa: SIM115 - the caller closes it
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return name, lock
            except BlockingIOError:
                lock.close()
        if not waiting:
            print(f"waiting for one of {len(names)} GPUs, all taken by other jobs", flush=True)
            waiting = True
        time.sleep(WAIT_S)

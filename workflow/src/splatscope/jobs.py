"""What every job script does first: die with its parent, compute the same on any core count, log, fail clearly."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from threadpoolctl import threadpool_limits

from splatscope.errors import InputError
from splatscope.gpus import hold_gpu

PR_SET_PDEATHSIG = 1


@contextmanager
def run_job(snakemake: Any) -> Iterator[None]:
    """Run the body as a Snakemake job: output goes to the job's log; an InputError ends it with its message alone.

    Numerical libraries are held to one thread, because sums over several threads depend on their number; code of ours
    that gives equal bytes for any thread count is told `snakemake.threads` explicitly. A job that asks for a GPU gets
    one of several for itself (splatscope.gpus).
    """
    die_with_parent()
    terminal = os.dup(2)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(snakemake.log[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        with threadpool_limits(limits=1), hold_gpu() if snakemake.resources.get("gpu") else nullcontext():
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            if "cv2" in sys.modules:
                sys.modules["cv2"].setNumThreads(1)
            yield
    except InputError as error:
        message = f"\n{snakemake.rule} stopped:\n{error}\n"
        print(message, flush=True)
        os.write(terminal, message.encode())
        sys.exit(1)


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it dies: no orphan is to overwrite a resumed run."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)

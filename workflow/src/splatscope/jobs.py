"""What every job script does: die with its run, compute the same on any core count, log, fail clearly; see that what it
reads is what was written, and record what it wrote."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from threadpoolctl import threadpool_limits

from splatscope.errors import InputError
from splatscope.files import remove_leftovers
from splatscope.gpus import hold_gpu
from splatscope.job_files import JobInputs, record_outputs
from splatscope.records import Records
from splatscope.storage import storage_error

PR_SET_PDEATHSIG = 1
RUN_VARIABLE = "SPLATSCOPE_RUN"  # which snakemake process the jobs belong to: process@host


@contextmanager
def run_job(snakemake: Any) -> Iterator[None]:
    """Run the body as a Snakemake job: output goes to the job's log; an InputError ends it with its message alone, as
    does a full disk or one that cannot be written.

    Inputs are compared with their records before and after, outputs recorded at the end (see splatscope.records).

    Numerical libraries are held to one thread, because sums over several threads depend on their number; code of ours
    that gives equal bytes for any thread count is told `snakemake.threads` explicitly. A job that asks for a GPU gets
    one of several for itself (splatscope.gpus).
    """
    die_with_parent()
    die_with_run()
    terminal = os.dup(2)
    try:
        _log_to(snakemake.log[0])
        records = Records()
        for path in snakemake.output:
            records.begin(path)
            remove_leftovers(path)
        inputs = JobInputs(snakemake.input, records)
        with threadpool_limits(limits=1), hold_gpu() if snakemake.resources.get("gpu") else nullcontext():
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            if "cv2" in sys.modules:
                sys.modules["cv2"].setNumThreads(1)
            yield
        inputs.check_again()
        record_outputs(snakemake.output, snakemake.rule, records)
    except Exception as error:
        place = getattr(error, "filename", None) or next(iter(snakemake.output), snakemake.log[0])
        problem = error if isinstance(error, InputError) else storage_error(error, place)
        if problem is None:
            raise
        message = f"\n{snakemake.rule} stopped:\n{problem}\n"
        os.write(terminal, message.encode())
        with suppress(OSError):  # the log may be on the full disk
            print(message, flush=True)
        sys.exit(1)


def _log_to(path: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it dies: no orphan is to overwrite a resumed run."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)


def name_run() -> None:
    """Tell the jobs that this process will start which one to die with."""
    os.environ[RUN_VARIABLE] = f"{os.getpid()}@{socket.gethostname()}"


def die_with_run() -> None:
    """Kill this process when the snakemake process that it belongs to dies: shells in between may survive that."""
    pid, _, host = os.environ.get(RUN_VARIABLE, "").partition("@")
    if host != socket.gethostname() or not hasattr(os, "pidfd_open"):
        return
    try:
        run = os.pidfd_open(int(pid))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return

    def wait() -> None:
        select.select([run], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()

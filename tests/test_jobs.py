"""What a job script does when it fails, is killed, or is well."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

SCRIPT = """
import sys
from types import SimpleNamespace
from splatscope.errors import InputError
from splatscope.jobs import run_job
snakemake = SimpleNamespace(rule="ingest_recording", log=[sys.argv[1]], resources={{}})
with run_job(snakemake):
    print("working")
    {body}
"""


def run(tmp_path, body: str) -> SimpleNamespace:
    log = tmp_path / "job.log"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body), str(log)], capture_output=True, text=True, timeout=60
    )
    return SimpleNamespace(code=done.returncode, terminal=done.stderr, log=log.read_text())


def test_output_goes_to_the_log(tmp_path):
    job = run(tmp_path, "pass")
    assert (job.code, job.log, job.terminal) == (0, "working\n", "")


def test_input_error_has_no_traceback(tmp_path):
    job = run(tmp_path, "raise InputError('a.csv', 'line 3', found='x', expected='y', remedy='write y')")
    assert job.code == 1
    for text in (job.log, job.terminal):
        assert "ingest_recording stopped:\na.csv, line 3\n  found:    x" in text
        assert "Traceback" not in text


def test_other_errors_keep_their_traceback_in_the_log(tmp_path):
    job = run(tmp_path, "1 / 0")
    assert job.code == 1 and "ZeroDivisionError" in job.log


def test_job_dies_with_its_parent(tmp_path):
    log = tmp_path / "job.log"
    body = "import os, time; print(os.getpid(), flush=True); time.sleep(120)"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]])",
            SCRIPT.format(body=body),
            str(log),
        ]
    )
    for _ in range(300):
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) == 2:
            break
        time.sleep(0.1)
    child = int(lines[1])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if not running(child):
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the job outlived its parent")


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False

"""What a job script does when it fails, is killed, or is well; what it thinks of its inputs."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from splatscope.records import Records

SCRIPT = """
import sys
from types import SimpleNamespace
from splatscope.errors import InputError
from splatscope.jobs import run_job
snakemake = SimpleNamespace(
    rule="ingest_recording",
    log=[sys.argv[1]],
    input=["results/a/in.bin"],
    output=["results/a/out.bin"],
    resources={{}},
)
with run_job(snakemake):
    print("working")
    {body}
"""


def run(tmp_path, body: str, **environment: str) -> SimpleNamespace:
    log = tmp_path / "job.log"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body), str(log)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | environment,
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


WRITE = "open('results/a/out.bin', 'wb').write(b'made')"


@pytest.fixture
def records(tmp_path):
    """Records of results in `tmp_path`, where in.bin was written by another job."""
    (tmp_path / "results" / "a").mkdir(parents=True)
    (tmp_path / "results" / "a" / "in.bin").write_bytes(b"given")
    records = Records(tmp_path / "results")
    records.add(tmp_path / "results" / "a" / "in.bin", "earlier_rule")
    return records


def test_what_a_job_wrote_is_recorded(tmp_path, records):
    assert run(tmp_path, WRITE).code == 0
    record = records.read(tmp_path / "results" / "a" / "out.bin")
    assert (record.rule, record.size) == ("ingest_recording", 4)
    assert record.sha256 == hashlib.sha256(b"made").hexdigest()


def test_of_a_job_that_fails_is_noted_only_what_it_should_have_made_anew(tmp_path, records):
    out = tmp_path / "results" / "a" / "out.bin"
    assert run(tmp_path, f"{WRITE}; 1 / 0").code == 1
    assert records.read(out) is None
    assert run(tmp_path, WRITE).code == 0
    assert not records.read(out).set_aside
    assert run(tmp_path, f"{WRITE}; 1 / 0").code == 1
    assert records.read(out).set_aside


@pytest.mark.parametrize(
    "content, reason", [(b"givex", "SHA-256"), (b"giv", "3 bytes, but 5 were written"), (b"", "0 b")]
)
def test_a_damaged_input_is_moved_aside(tmp_path, records, content, reason):
    damaged = tmp_path / "results" / "a" / "in.bin"
    damaged.write_bytes(content)
    job = run(tmp_path, WRITE)
    assert job.code == 1 and "Traceback" not in job.terminal
    assert "results/a/in.bin" in job.terminal and reason in job.terminal
    assert "run the same command again" in job.terminal
    assert not damaged.exists() and not (tmp_path / "results" / "a" / "out.bin").exists()
    assert (tmp_path / "results" / "damaged" / "a" / "in.bin").read_bytes() == content
    second = run(tmp_path, WRITE)
    assert second.code == 1 and "moved to results/damaged" in second.terminal


def test_an_input_with_new_times_but_its_own_bytes_is_taken(tmp_path, records):
    file = tmp_path / "results" / "a" / "in.bin"
    os.utime(file, (1e9, 1e9))
    assert not records.read(file).is_untouched(file)
    assert run(tmp_path, WRITE).code == 0
    assert records.read(file).is_untouched(file)


def test_an_input_that_changes_while_it_is_read_stops_the_job(tmp_path, records):
    job = run(tmp_path, f"open('results/a/in.bin', 'r+b').write(b'G'); {WRITE}")
    assert job.code == 1 and "it is damaged" in job.terminal
    assert records.read(tmp_path / "results" / "a" / "out.bin") is None


def test_a_users_file_that_changes_while_it_is_read_stops_the_job(tmp_path, records):
    (tmp_path / "results" / "digests" / "a" / "in.bin.json").unlink()
    job = run(tmp_path, f"open('results/a/in.bin', 'ab').write(b'G'); {WRITE}")
    assert job.code == 1 and "a file that changed while it was read" in job.terminal
    assert (tmp_path / "results" / "a" / "in.bin").read_bytes() == b"givenG"


def test_leftovers_of_a_killed_job_are_removed(tmp_path, records):
    folder = tmp_path / "results" / "a"
    (folder / ".out.4711.bin").write_bytes(b"half")
    (folder / ".other.4711.bin").write_bytes(b"of a job at work")
    assert run(tmp_path, WRITE).code == 0
    assert sorted(path.name for path in folder.iterdir()) == [".other.4711.bin", "in.bin", "out.bin"]


def test_a_full_disk_is_said_without_a_traceback(tmp_path, records):
    job = run(tmp_path, "open('/dev/full', 'wb', 0).write(b'x')")
    assert job.code == 1 and "Traceback" not in job.log + job.terminal
    assert "no space left" in job.terminal and "free some space" in job.terminal


STARTS_A_JOB = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]])"
SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(120)"


def test_job_dies_with_its_parent(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_JOB, SCRIPT.format(body=SLEEP), str(tmp_path / "job.log")]
    )
    child = pid_in(tmp_path / "job.log")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends(child), "the job outlived its parent"


def test_job_dies_with_its_run_though_a_shell_survives(tmp_path):
    """main -> shell -> job: killing main leaves the shell, as shells that do not replace themselves by the job do."""
    start = """
import subprocess, sys
from splatscope.jobs import name_run
name_run()
shell = subprocess.Popen(["sh", "-c", '"$0" -c "$1" "$2"; true', sys.executable, *sys.argv[1:]])
print(shell.pid, flush=True)
shell.wait()
"""
    main = subprocess.Popen(
        [sys.executable, "-c", start, SCRIPT.format(body=SLEEP), str(tmp_path / "job.log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    shell, job = int(main.stdout.readline()), pid_in(tmp_path / "job.log")
    assert running(shell) and running(job)
    main.send_signal(signal.SIGKILL)
    main.wait()
    assert ends(job), "the job outlived its run"


def test_a_run_on_another_machine_is_none_of_a_jobs_business(tmp_path, records):
    assert run(tmp_path, WRITE, SPLATSCOPE_RUN="1@elsewhere").code == 0


def pid_in(log) -> int:
    for _ in range(300):
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) == 2:
            return int(lines[1])
        time.sleep(0.1)
    raise AssertionError("the job has not begun")


def ends(pid: int) -> bool:
    for _ in range(100):
        if not running(pid):
            return True
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return False


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False

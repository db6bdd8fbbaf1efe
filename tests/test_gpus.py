"""Taking one of several GPUs; the GPUs are names, for nothing is computed on them."""

import os
import subprocess
import sys

import pytest

from splatscope import gpus
from splatscope.gpus import has_gpu, hold_gpu, visible_gpus

HOLD = """
import sys
from splatscope.gpus import hold_gpu
with hold_gpu():
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(gpus.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpus, "WAIT_S", 0.01)


def start_holding() -> subprocess.Popen:
    """Another job that holds a GPU until it is told otherwise; its first line of output names it."""
    return subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_the_scheduler_hands_out_is_visible(monkeypatch):
    for setting, expected in {"2, 3": ["2", "3"], "GPU-ab": ["GPU-ab"], "": [], "-1": []}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
        assert visible_gpus() == expected


def test_a_hidden_gpu_is_none(monkeypatch):
    monkeypatch.setattr(gpus, "glob", lambda pattern: ["/dev/nvidia0"])
    for setting, expected in {"0": True, "": False, "-1": False}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
        assert has_gpu() is expected


def test_devices_are_listed_by_the_driver(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho GPU-first\necho GPU-second\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == ["GPU-first", "GPU-second"]
    tool.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    assert visible_gpus() == []


def test_jobs_take_different_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with start_holding() as other, hold_gpu():
        assert {other.stdout.readline().split()[1], os.environ["CUDA_VISIBLE_DEVICES"]} == {"0", "1"}
        other.communicate("\n")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_killed_job_frees_its_gpu(monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with start_holding() as first, start_holding() as second:
        taken = {job.stdout.readline().split()[1] for job in (first, second)}
        assert taken == {"0", "1"}
        monkeypatch.setattr(gpus.time, "sleep", lambda seconds: (first.kill(), first.wait()))
        with hold_gpu():
            assert "waiting for one of 2 GPUs" in capsys.readouterr().out
        second.communicate("\n")


def test_one_gpu_is_shared_without_waiting(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-only")
    with hold_gpu(), hold_gpu():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-only"

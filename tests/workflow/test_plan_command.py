"""`splatscope plan` counts what `snakemake` would run, and says what it takes."""

import os
import re
import subprocess
import sys


def test_the_plan_counts_snakemakes_jobs(tmp_path, repository, run_snakemake):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/recordings.tsv").write_text((repository / "config/recordings.tsv").read_text())
    target = "results/dataset/simulated/annotations.json"
    (tmp_path / "few.yaml").write_text("simulate: {episodes: 3}\n")
    jobs = run_snakemake(tmp_path, "--dry-run", target, "--configfile", "few.yaml").jobs
    command = [sys.executable, "-m", "splatscope", "plan", target, "--configfile", "few.yaml", "--cores", "4"]
    environment = os.environ | {"PYTHONPATH": str(repository / "workflow" / "src")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    planned = {row[1]: int(row[2]) for row in re.finditer(r"^(\w+) +(\d+) ", done.stdout, re.MULTILINE)}
    assert planned.pop("together") == sum(planned.values())
    assert planned == jobs == {"simulate_episode": 3, "annotate_dataset": 1}
    assert re.search(r"^[\d.]+ (s|min|h) on 1 x 4 cores, [\d.]+ (MB|GB) of disk$", done.stdout, re.MULTILINE)
    assert "guess" not in done.stdout


def test_a_plan_that_cannot_be_is_explained(tmp_path, repository):
    command = [sys.executable, "-m", "splatscope", "plan", "--config", "seed"]
    environment = os.environ | {"PYTHONPATH": str(repository / "workflow" / "src")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2 and "KEY=VALUE" in done.stderr and "Traceback" not in done.stderr

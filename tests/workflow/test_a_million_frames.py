"""Planning a large run: a million frames are few jobs, and planning them takes little time and memory."""

import json
import re
import subprocess
import sys

import pytest

FRAMES = 1_000_000
MEASURE = (  # runs its arguments; processor seconds and memory (MB) of them on the last line
    "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:]); "
    "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024); sys.exit(status)"
)
SAMPLED = {"compose": {"recipe": {"frames": FRAMES}}}
RESTYLED = SAMPLED | {"restyle": {"datasets": ["sampled"]}}
MIXED = SAMPLED | {"simulate": {"episodes": 0}}
SIMULATED = {"simulate": {"episodes": FRAMES // 750, "scenario": "cholecystectomy"}}  # of 150 s, 5 frames a second


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings, target, frames_of",
    [
        (SAMPLED, "all", "render_shard"),
        (RESTYLED, "results/dataset/sampled_restyled/annotations.json", "restyle_shard"),
        (MIXED, "mix", "mix_captured"),
        (SIMULATED, "simulate", "simulate_episode"),
    ],
    ids=["sampled", "restyled", "mixed", "simulated"],
)
def test_a_million_frames(tmp_path, repository, settings, target, frames_of):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/recordings.tsv").write_text((repository / "config/recordings.tsv").read_text())
    (tmp_path / "many.yaml").write_text(json.dumps(settings))
    planned = [*("snakemake", "--dry-run", "--quiet", "rules", "--snakefile", str(repository / "Snakefile")), target]
    command = [sys.executable, "-c", MEASURE, *planned, "--configfile", "many.yaml"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    seconds, memory_mb = map(float, done.stdout.splitlines()[-1].split())
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert int(jobs[frames_of]) >= FRAMES / 750 - 1
    assert int(jobs["total"]) < 10_000
    assert seconds < 30 and memory_mb < 1500, f"{seconds:.0f} processor seconds, {memory_mb:.0f} MB"

"""Measures the costs that ship with the project, on a finished run: `python -m splatscope.plan.reference FOLDER`.

The run must be of the present settings: results are taken for what they are, however old.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from splatscope.files import read_json, write_json
from splatscope.plan.costs import Costs, costs_document, measure_costs
from splatscope.plan.jobs import list_jobs
from splatscope.plan.work import Work

REPOSITORY = Path(__file__).resolve().parents[4]
CHILD_SECONDS = "import resource; used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="working directory of the finished run")
    parser.add_argument("--configfile", nargs="+", default=[], help="that it was started with")
    parser.add_argument("--targets", nargs="+", default=["all"], help="that it was started with")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "resources" / "costs.json")
    arguments = parser.parse_args()
    workflow = list_jobs(REPOSITORY / "Snakefile", arguments.folder, arguments.targets, arguments.configfile, cores=4)
    lengths = _episode_lengths(arguments.folder, workflow.config.simulate.frames_per_second)
    episode_s = {workflow.config.simulate.scenario: lengths} if lengths else {}
    work = Work(workflow, episode_s, arguments.folder)
    rules = {job.rule for job in workflow.jobs if job.benchmark and (arguments.folder / job.benchmark).is_file()}
    starts = {rule: start_seconds(REPOSITORY / "workflow" / "scripts" / f"{rule}.py") for rule in sorted(rules)}
    rates = measure_costs(workflow, work, arguments.folder, starts, trusting=True)
    write_json(arguments.output, costs_document(Costs(rates, _machine(), episode_s)))


def start_seconds(script: Path) -> float:
    """Processor seconds until a script has imported what it needs; 0 for a rule without a script of its name."""
    if not script.is_file():
        return 0.0
    body = ast.parse(script.read_text()).body
    imports = [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "\n".join([*imports, CHILD_SECONDS])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _episode_lengths(folder: Path, frames_per_second: int) -> float | None:
    """Mean length in s of the simulated operations."""
    manifests = sorted((folder / "results/simulate").glob("episode_*.json"))
    frames = [len(read_json(path)["frames"]) for path in manifests if re.fullmatch(r"episode_\d+", path.stem)]
    return round(sum(frames) / len(frames) / frames_per_second, 2) if frames else None


def _machine() -> str:
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.exists() else ""
    models = defaultdict(int)
    for name in re.findall(r"model name\s*: (.*)", text):
        models[name.strip()] += 1
    return ", ".join(f"{count} cores of {name}" for name, count in models.items()) or f"{os.cpu_count()} cores"


if __name__ == "__main__":
    main()

"""Measures the costs that ship with the project, on a finished run: `python -m splatscope.plan.reference FOLDER`.

The run must be of the present settings: results are taken for what they are, however old. Rules that it did not run
keep the costs that the output file has.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import defaultdict
from pathlib import Path

from splatscope.files import read_json, write_json
from splatscope.plan.costs import Costs, costs_document, load_costs, measure_costs, measured_seconds
from splatscope.plan.jobs import list_jobs
from splatscope.plan.work import Work

REPOSITORY = Path(__file__).resolve().parents[4]


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
    tables = [arguments.folder / job.benchmark for job in workflow.jobs if job.benchmark]
    # the quickest job of a run does little but start
    start = min(measured_seconds(path)[0] for path in tables if path.is_file())
    starts = dict.fromkeys({job.rule for job in workflow.jobs}, start)
    rates = measure_costs(workflow, work, arguments.folder, starts, trusting=True)
    known = load_costs(arguments.output) if arguments.output.exists() else Costs({}, "", {})
    kept = {rule: cost for rule, cost in known.rules.items() if rule not in rates}
    machine = _machine() + (f", some rules on {known.machine.rpartition('some rules on ')[2]}" if kept else "")
    write_json(arguments.output, costs_document(Costs(kept | rates, machine, {**known.episode_s, **episode_s})))


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

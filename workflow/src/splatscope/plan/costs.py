"""What a unit of work costs, from Snakemake's benchmark tables and the sizes of outputs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.plan.jobs import Job, Workflow
from splatscope.plan.work import Work

# Snakemake looks at a job's processor time every half second 32 times, then every 30 seconds; what is in the table is
# what it saw last.
FIRST_LOOKS_S, LATER_LOOKS_S = 16.0, 30.0


@dataclass(frozen=True)
class Cost:
    """What a rule's jobs cost."""

    start_s: float  # processor seconds before the work begins: interpreter, imports
    cpu_s_per_unit: float
    bytes_per_unit: float
    memory_mb: float  # the most that any of them took
    gpu_s_per_unit: float | None = None  # None: not measured
    jobs: int = 0  # that it was measured on; 0: a guess


@dataclass(frozen=True)
class Costs:
    """Costs by rule, where they were measured, and how long operations last by scenario."""

    rules: Mapping[str, Cost]
    machine: str
    episode_s: Mapping[str, float]


def load_costs(path: str | Path) -> Costs:
    """Read costs that `Costs` wrote as JSON (`costs_document`). Raises InputError for anything else."""
    content = read_json(path)
    try:
        rules = {rule: Cost(**values) for rule, values in content["rules"].items()}
        return Costs(rules, str(content["machine"]), dict(content["episode_s"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            path, found=f"{type(error).__name__}: {error}", expected="costs by rule", remedy="take resources/costs.json"
        ) from error


def costs_document(costs: Costs) -> dict:
    """As JSON, rounded to what measuring gives."""

    def rounded(value):
        return float(f"{value:.4g}") if isinstance(value, float) else value

    rules = {rule: {key: rounded(value) for key, value in asdict(cost).items()} for rule, cost in costs.rules.items()}
    return {"machine": costs.machine, "episode_s": dict(costs.episode_s), "rules": dict(sorted(rules.items()))}


def measured_seconds(benchmark: str | Path) -> tuple[float, float, float]:
    """Processor seconds, wall seconds and memory (MB) of a job from its benchmark table.

    The processor time of a long job is that of the last look at it, carried on at the same rate to the job's end.
    Raises InputError when the table cannot be read.
    """
    try:
        row = pd.read_csv(benchmark, sep="\t").iloc[-1]
        wall, seen, memory = float(row["s"]), float(row["cpu_time"]), float(row["max_rss"])
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            benchmark, found=str(error), expected="a table that Snakemake wrote", remedy="delete the file"
        ) from error
    late = max(0.0, wall - FIRST_LOOKS_S)
    looked = min(wall, FIRST_LOOKS_S) + LATER_LOOKS_S * math.floor(late / LATER_LOOKS_S)
    return (seen * wall / looked if looked else 0.0), wall, memory


def measure_costs(
    workflow: Workflow, work: Work, folder: str | Path, starts: Mapping[str, float], *, trusting: bool = False
) -> dict[str, Cost]:
    """Costs by rule of the finished jobs of a working directory that have a benchmark table.

    `starts` are processor seconds that a job of a rule takes before its work begins, where they are known. `trusting`
    takes whatever results lie there for those of the present settings.
    """
    finished: dict[str, list[Job]] = defaultdict(list)
    for job in workflow.jobs:
        there = all(Path(folder, path).exists() for path in job.outputs) if trusting else not job.needed
        if there and job.benchmark and Path(folder, job.benchmark).is_file():
            finished[job.rule].append(job)
    costs = {}
    for rule, jobs in finished.items():
        rows = [row for job in jobs if math.isfinite((row := measured_seconds(Path(folder, job.benchmark)))[0])]
        units = sum(work.of(job) for job in jobs)
        if not rows or not units:
            continue
        processor, wall = sum(row[0] for row in rows), sum(row[1] for row in rows)
        # a short job may take less than starting one took when that was measured
        start = min(starts.get(rule, 0.0), 0.9 * processor / len(rows))
        costs[rule] = Cost(
            start_s=start,
            cpu_s_per_unit=(processor - start * len(rows)) / units,
            bytes_per_unit=sum(_size(Path(folder), job.outputs) for job in jobs) / units,
            memory_mb=max(row[2] for row in rows),
            gpu_s_per_unit=wall / units if any(job.gpus for job in jobs) else None,
            jobs=len(rows),
        )
    return costs


def _size(folder: Path, outputs: Iterable[str]) -> int:
    """Bytes of a job's outputs. Those of a dataset name its other files, which lie beside them."""
    paths = [folder / path for path in outputs]
    if any(path.name == "data.yaml" for path in paths):
        paths = [path for path in paths[0].parent.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in paths if path.exists())

"""Jobs and costs put together: what `splatscope plan` prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splatscope.plan.costs import Cost
from splatscope.plan.jobs import Job, Workflow
from splatscope.plan.schedule import makespan
from splatscope.plan.work import Work
from splatscope.terminal import size, spent

SMALL_JOB = Cost(start_s=5.0, cpu_s_per_unit=0.0, bytes_per_unit=0.0, memory_mb=1000.0)  # where nothing was measured


@dataclass(frozen=True)
class RuleEstimate:
    """What the jobs of one rule will take together."""

    rule: str
    jobs: int
    cpu_s: float
    gpu_s: float | None  # None: not measured
    size_bytes: float
    memory_mb: float  # of one job
    frames: int  # that come out; 0 for rules that make none
    measured_on: int  # jobs; 0: a guess


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    rules: list[RuleEstimate]
    hours: float  # on the nodes that were asked for

    @property
    def jobs(self) -> int:
        return sum(rule.jobs for rule in self.rules)

    @property
    def cpu_s(self) -> float:
        return sum(rule.cpu_s for rule in self.rules)

    @property
    def size_bytes(self) -> float:
        return sum(rule.size_bytes for rule in self.rules)


def estimate(workflow: Workflow, work: Work, costs: Mapping[str, Cost], nodes: int, cores_per_node: int) -> Estimate:
    """What the jobs that are still to run will take; `costs` by rule."""
    grouped: dict[str, list[Job]] = defaultdict(list)
    seconds, cores = [], []
    for job in workflow.jobs:
        processor = _processor_seconds(job, work, costs) if job.needed else 0.0
        seconds.append(processor / max(1, job.threads))
        cores.append(job.threads)
        if job.needed:
            grouped[job.rule].append(job)
    rules = [_of_rule(rule, jobs, work, costs) for rule, jobs in grouped.items()]
    wall = makespan(seconds, cores, [job.after for job in workflow.jobs], nodes, cores_per_node)
    return Estimate(rules, wall / 3600)


def _processor_seconds(job: Job, work: Work, costs: Mapping[str, Cost]) -> float:
    if not job.outputs:
        return 0.0  # a target that only gathers
    cost = costs.get(job.rule, SMALL_JOB)
    return cost.start_s + cost.cpu_s_per_unit * work.of(job)


def _of_rule(rule: str, jobs: Sequence[Job], work: Work, costs: Mapping[str, Cost]) -> RuleEstimate:
    cost = costs.get(rule, SMALL_JOB)
    units = sum(work.of(job) for job in jobs)
    gpu = any(job.gpus for job in jobs)
    return RuleEstimate(
        rule=rule,
        jobs=len(jobs),
        cpu_s=sum(_processor_seconds(job, work, costs) for job in jobs),
        gpu_s=0.0 if not gpu else None if cost.gpu_s_per_unit is None else cost.gpu_s_per_unit * units,
        size_bytes=cost.bytes_per_unit * units,
        memory_mb=cost.memory_mb,
        frames=sum(work.frames_made(job) for job in jobs),
        measured_on=cost.jobs,
    )


COLUMNS = ("rule", "jobs", "CPU time", "GPU time", "disk", "memory", "frames", "CPU/1k", "disk/1k", "basis")


def rows(plan: Estimate) -> list[tuple]:
    """The estimate for people: a row of `COLUMNS` for each rule, and one of what it takes together.

    Memory is a job's; processor time and disk are also given for 1,000 frames; the basis: how many were measured.
    """
    made = []
    for rule in plan.rules:
        gpu = "?" if rule.gpu_s is None else spent(rule.gpu_s) if rule.gpu_s else None
        thousand = [None, None]
        if rule.frames:
            thousand = [spent(1000 * rule.cpu_s / rule.frames), size(1000 * rule.size_bytes / rule.frames)]
        basis = rule.measured_on or "guess"
        sizes = size(rule.size_bytes), size(1e6 * rule.memory_mb)
        made.append((rule.rule, rule.jobs, spent(rule.cpu_s), gpu, *sizes, rule.frames or None, *thousand, basis))
    return [*made, ("together", plan.jobs, spent(plan.cpu_s), None, size(plan.size_bytes), *[None] * 5)]

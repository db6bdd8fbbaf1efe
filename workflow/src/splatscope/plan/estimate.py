"""Jobs and costs put together: the table that `splatscope plan` prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splatscope.plan.costs import Cost
from splatscope.plan.jobs import Job, Workflow
from splatscope.plan.schedule import makespan
from splatscope.plan.work import Work

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


def table(plan: Estimate) -> str:
    """The estimate as text, a line for each rule, and what it takes together."""
    lines = [
        f"{'rule':26}{'jobs':>7}{'CPU h':>9}{'GPU h':>8}{'GB':>9}{'MB/job':>8}{'frames':>10}{'CPU-s/1000':>12}"
        f"{'GB/1000':>9}  measured on"
    ]
    for rule in plan.rules:
        gpu = "?" if rule.gpu_s is None else f"{rule.gpu_s / 3600:.2f}" if rule.gpu_s else "-"
        per_frame = ["-", "-"]
        if rule.frames:
            per_frame = [f"{1000 * rule.cpu_s / rule.frames:.0f}", f"{rule.size_bytes / 1e6 / rule.frames:.2f}"]
        basis = f"{rule.measured_on} jobs" if rule.measured_on else "guess"
        lines.append(
            f"{rule.rule:26}{rule.jobs:7,}{rule.cpu_s / 3600:9.2f}{gpu:>8}{rule.size_bytes / 1e9:9.2f}"
            f"{rule.memory_mb:8.0f}{rule.frames or '-':>10}{per_frame[0]:>12}{per_frame[1]:>9}  {basis}"
        )
    lines.append(f"{'together':26}{plan.jobs:7,}{plan.cpu_s / 3600:9.2f}{'':8}{plan.size_bytes / 1e9:9.2f}")
    return "\n".join(lines)

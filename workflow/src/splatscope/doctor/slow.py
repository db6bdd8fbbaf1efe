"""What will be slow here, by what a default run is known to cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from splatscope.plan.estimate import Estimate, RuleEstimate
from splatscope.terminal import spent

MINUTE_S = 60.0
WHAT = {
    "simulate_episode": "simulating operations",
    "restyle_shard": "restyling frames",
    "train_splat": "training splats",
    "render_shard": "rendering frames",
    "render_phantom_recording": "rendering the embedded phantom",
    "reconstruct_group": "structure from motion",
    "ingest_recording": "reading recordings",
    "train_segmenter": "training segmenters",
    "evaluate_replay": "evaluating the replay",
    "train_detector": "training detectors",
    "ablate_case": "ablations",
}


@dataclass(frozen=True)
class SlowRule:
    """A rule that takes long."""

    rule: str
    what: str
    jobs: int
    cpu_minutes: float
    cpu_s_per_1000_frames: float | None  # None: it makes no frames

    def to_dict(self) -> dict:
        return asdict(self)

    def sentence(self) -> str:
        jobs = f"{self.jobs} job{'s' if self.jobs > 1 else ''}"
        per_frame = ""
        if self.cpu_s_per_1000_frames is not None:
            per_frame = f", {spent(self.cpu_s_per_1000_frames)} for each 1,000 frames"
        return f"{self.what}: {spent(60 * self.cpu_minutes)} of processor time ({jobs}){per_frame}"


def slow_rules(plan: Estimate, least_s: float = MINUTE_S) -> list[SlowRule]:
    """The rules that take longest, each at least `least_s` seconds of processor time, the slowest first."""
    return [_of(rule) for rule in sorted(plan.rules, key=lambda rule: -rule.cpu_s) if rule.cpu_s >= least_s]


def _of(rule: RuleEstimate) -> SlowRule:
    per_frame = round(1000 * rule.cpu_s / rule.frames, 1) if rule.frames else None
    return SlowRule(rule.rule, WHAT.get(rule.rule, rule.rule), rule.jobs, round(rule.cpu_s / 60, 2), per_frame)

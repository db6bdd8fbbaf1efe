"""What each stage took: time, processor time and memory of its jobs, from Snakemake's benchmark tables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from splatscope.plan.costs import measured_seconds

RULES = {  # those that are measured, by stage, in flow order
    "phantom": ("write_phantom_rig", "render_phantom_recording"),
    "ingest": ("ingest_recording",),
    "poses": ("reconstruct_group", "solve_poses"),
    "splat": ("train_splat",),
    "extract": ("extract_tool",),
    "simulate": ("simulate_episode",),
    "compose": ("compose_replay", "sample_scenes"),
    "render": ("render_shard",),
    "mix": ("mix_captured", "mix_simulated"),
    "restyle": ("train_style", "train_segmenter", "restyle_shard"),
    "annotate": ("annotate_dataset",),
    "check": ("check_dataset",),
    "evaluate": ("evaluate_replay", "evaluate_truth", "evaluate_restyling"),
    "baselines": ("train_baseline", "render_baseline", "compare_baselines"),
    "proof": ("train_detector", "train_proof_segmenter"),
    "ablation": ("train_fewer_views", "extract_from_fewer_views", "ablate_case", "gather_ablation"),
}
STAGE_OF_RULE = {rule: stage for stage, rules in RULES.items() for rule in rules}


def stage_costs(benchmarks: Iterable[Path]) -> list[dict]:
    """Of each stage with finished jobs `name`, `jobs`, their `wall_s` and `processor_s` together, `memory_mb` of the
    largest, and its `share` of all stages' processor time, 0..1.

    Jobs too short to be looked at count with no processor time. Raises InputError for a table that cannot be read.
    """
    rows = {stage: {"name": stage, "jobs": 0, "wall_s": 0.0, "processor_s": 0.0, "memory_mb": 0.0} for stage in RULES}
    for path in benchmarks:
        rule = path.stem if path.stem in STAGE_OF_RULE else path.parent.name
        if rule not in STAGE_OF_RULE:
            continue
        processor, wall, memory = (value if math.isfinite(value) else 0.0 for value in measured_seconds(path))
        row = rows[STAGE_OF_RULE[rule]]
        row["jobs"] += 1
        row["wall_s"] += wall
        row["processor_s"] += processor
        row["memory_mb"] = max(row["memory_mb"], memory)
    ran = [row for row in rows.values() if row["jobs"]]
    total = sum(row["processor_s"] for row in ran) or 1.0
    return [row | {"share": row["processor_s"] / total} for row in ran]

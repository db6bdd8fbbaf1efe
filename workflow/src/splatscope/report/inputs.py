"""Where the report finds what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReportInputs:
    """Files and folders by stage; what is None, empty or not there is said to be missing in the report."""

    summary: Path  # summary.json
    recordings: Sequence[Mapping[str, str]] = ()  # name and role, in the order of recordings.tsv
    ingest: Mapping[str, Path] = field(default_factory=dict)  # results/ingest/<name> by recording
    sfm: Mapping[str, Path] = field(default_factory=dict)  # sfm.json by group
    poses: Path | None = None  # results/poses
    splats: Mapping[str, Path] = field(default_factory=dict)  # results/splat/<model> by model
    extracts: Mapping[str, Path] = field(default_factory=dict)  # results/extract/<tool> by tool
    compose: Mapping[str, Path] = field(default_factory=dict)  # results/compose/<dataset>.json by dataset
    datasets: Mapping[str, Path] = field(default_factory=dict)  # results/dataset/<dataset> by dataset
    shards: Mapping[str, Sequence[Path]] = field(default_factory=dict)  # frame shards (.tar) by dataset, for depth
    episodes: Sequence[Path] = ()  # results/simulate/episode_<number>.tar; tables and videos beside them
    restyled: Mapping[str, Path] = field(default_factory=dict)  # results/restyle/<dataset> by dataset
    checks: Sequence[Path] = ()  # results/check/<dataset>.json
    evaluate: Path | None = None  # results/evaluate
    benchmarks: Sequence[Path] = ()  # results/benchmarks/<rule>.tsv or <rule>/<job>.tsv
    provenance: Mapping[str, str] = field(default_factory=dict)  # what to state: seed, configuration digest, ...

"""Where the page finds what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from splatscope.files import read_json
from splatscope.paper.comparison import Measure


@dataclass(frozen=True)
class PaperInputs:
    """Folders by stage; what is None or empty was not run, which the page says."""

    phantom: bool  # whether the recordings are the embedded ones
    settings: Mapping[str, Mapping[str, Any]]  # the configuration, section by section, as plain values
    evaluate: Path | None = None  # results/evaluate, with the replay's figures
    baselines: Path | None = None  # results/baselines
    proof: Path | None = None  # results/proof
    restyled: tuple[str, Path] | None = None  # a restyled dataset's name and results/restyle/<name>
    ablation: Path | None = None  # results/ablation
    extracts: Mapping[str, Path] = field(default_factory=dict)  # results/extract/<tool> by tool
    splats: Mapping[str, Path] = field(default_factory=dict)  # results/splat/<model> by model
    provenance: Mapping[str, str] = field(default_factory=dict)  # what to state: seed, configuration digest, ...

    def json(self, stage: str, name: str) -> dict | None:
        """The content of a stage's JSON file; None when the stage was not run or made no such file."""
        path = self.file(stage, name)
        return None if path is None else read_json(path)

    def file(self, stage: str, name: str) -> Path | None:
        """A file of a stage ("evaluate", "baselines", ...); None as for `json`."""
        folder = getattr(self, stage)
        return folder / name if folder is not None and (folder / name).is_file() else None


def over_images(figures: Mapping | None) -> Measure | None:
    """A metric as evaluate_replay writes it: mean and standard deviation over the images."""
    if not figures or figures.get("mean") is None:
        return None
    return Measure(figures["mean"], figures.get("std"))

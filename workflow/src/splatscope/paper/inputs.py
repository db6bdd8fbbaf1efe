"""Where the page finds what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

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

    def table(self, stage: str, name: str) -> pd.DataFrame | None:
        """A stage's parquet table; None as above."""
        path = self.file(stage, name)
        return None if path is None else pd.read_parquet(path)

    def file(self, stage: str, name: str) -> Path | None:
        """A file of a stage ("evaluate", "baselines", ...); None as above."""
        folder = getattr(self, stage)
        return folder / name if folder is not None and (folder / name).is_file() else None


def over_images(figures: Mapping | None) -> Measure | None:
    """A metric as evaluate_replay writes it: mean and standard deviation over the images."""
    if not figures or figures.get("mean") is None:
        return None
    return Measure(figures["mean"], figures.get("std"))


def over_folds(values: Sequence[float]) -> Measure | None:
    """Mean and standard deviation over folds, with the t interval of the mean; None when there are none."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    mean = float(values.mean())
    if len(values) == 1:
        return Measure(mean)
    std = float(values.std(ddof=1))
    reach = float(t.ppf(0.975, len(values) - 1)) * std / np.sqrt(len(values))
    return Measure(mean, std, mean - reach, mean + reach)

"""Reading what several sections need."""

from __future__ import annotations

from pathlib import Path

from splatscope.files import read_json
from splatscope.report.inputs import ReportInputs

REASONS = {
    "": "kept",
    "not_sampled": "not needed",
    "blurred": "blurred",
    "duplicate": "duplicate",
    "no_pose": "no valid pose",
}


def evaluated_file(inputs: ReportInputs, name: str) -> Path | None:
    """The file of this name that evaluate made; None when it did not."""
    path = inputs.evaluate / name if inputs.evaluate is not None else None
    return path if path is not None and path.is_file() else None


def read_truth(inputs: ReportInputs) -> dict | None:
    """The truth-based errors, when there is a truth."""
    path = evaluated_file(inputs, "truth.json")
    return read_json(path) if path else None


def extract_counts(folder: Path) -> list[tuple[str, int]]:
    """(filter, Gaussians left after it) of a tool; empty when it was not extracted."""
    path = folder / "extract.json"
    content = read_json(path).get("counts", []) if path.is_file() else []
    return [(entry["step"], entry["gaussians"]) for entry in content]


def percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction

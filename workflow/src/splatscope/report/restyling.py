"""Restyled frames on the page: before and after, and what was kept of labels and realism."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from splatscope.config.report import ReportConfig
from splatscope.files import read_json
from splatscope.images import decode_image
from splatscope.report.inputs import ReportInputs
from splatscope.report.pictures import embed

LABELS = {
    "raw": "before restyling",
    "default": "as configured",
    "gate_off": "without fidelity gate",
    "per_frame": "without gate, each frame alone",
}


def restyled(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """For each restyled dataset frames before and after, the video, and the table of figures."""
    if inputs.evaluate is None:
        return []
    return [
        _dataset(name, folder, inputs.evaluate / f"restyle_{name}_proof.json", config)
        for name, folder in inputs.restyled.items()
    ]


def _dataset(name: str, folder: Path, figures_json: Path, config: ReportConfig) -> dict:
    figures = read_json(figures_json)
    strip = folder / "before_after.jpg"
    rows = np.vsplit(decode_image(strip.read_bytes(), str(strip)), 2)
    before, after = (np.hsplit(row, figures["strip_columns"]) for row in rows)
    return {
        "name": name,
        "pairs": [[embed(picture, config.jpeg_quality) for picture in pair] for pair in zip(before, after)],
        "video": base64.b64encode((folder / "before_after.mp4").read_bytes()).decode("ascii"),
        "figures": figures,
        "rows": [row | {"label": LABELS[row["variant"]]} for row in figures["rows"]],
    }

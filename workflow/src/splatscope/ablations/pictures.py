"""The plot of what tracker errors cost."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from splatscope.files import write_bytes

STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "#d9dee3",
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
}


@matplotlib.rc_context(STYLE)
def draw_error_budget(table: pd.DataFrame, out: str | Path) -> None:
    """PNG with mask IoU and PSNR over the position error: a line for each rotation error, and the field distortion.

    `table` as gather_cases makes it. Bars are the standard error of the mean over the frames. The run without added
    error is ringed.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4))
    baseline = table[table["study"] == "baseline"].iloc[0]
    for axes, metric, label in zip(panels, ("mask_iou", "psnr"), ("mask IoU", "PSNR, dB")):
        jitter = table[table["study"].isin(["jitter", "baseline"])]
        degrees = sorted(jitter["error_deg"].unique())
        for number, degree in enumerate(degrees):
            line = jitter[jitter["error_deg"] == degree].sort_values("error_mm")
            colour = plt.cm.viridis(0.85 * number / max(1, len(degrees) - 1))
            name = f"jitter, {degree:g}°"
            _line(axes, line, metric, color=colour, marker="o", markersize=4, label=name)
        distorted = pd.concat([baseline.to_frame().T, table[table["study"] == "distortion"]])
        if len(distorted) > 1:
            style = {"color": "#c2571a", "marker": "s", "markersize": 4, "linestyle": "--"}
            _line(axes, distorted, metric, **style, label="distortion")
        if pd.notna(baseline[f"{metric}_mean"]):
            axes.plot(0, baseline[f"{metric}_mean"], "o", ms=11, mfc="none", mec="black", label="as tracked")
        axes.set_xlabel("added position error, RMS mm")
        axes.set_ylabel(label)
    panels[0].legend(fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
    write_bytes(out, stream.getvalue())


def _line(axes, rows: pd.DataFrame, metric: str, **style) -> None:
    columns = rows[["error_mm", f"{metric}_mean", f"{metric}_std", "images"]].astype(float)
    place, mean, spread, count = columns.to_numpy().T
    axes.errorbar(place, mean, spread / np.sqrt(count), linewidth=1.5, elinewidth=0.8, capsize=2, **style)

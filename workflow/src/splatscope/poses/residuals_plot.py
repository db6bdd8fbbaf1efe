"""The picture of how tracker and structure from motion agree."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from splatscope.files import atomic_path

COLORS = ("#2a6f97", "#e07a3f", "#4f9d69", "#8b5fbf", "#c44e52", "#7f7f7f")


def plot_residuals(path: str | Path, tables: dict[str, pd.DataFrame], title: str) -> None:
    """Residuals (mm, degrees) of each recording over time and their distributions, as PNG.

    `tables`: by recording, with columns time_s, residual_mm, residual_deg (NaN where one of the two has no pose).
    """
    shown = {name: table for name, table in tables.items() if table["residual_mm"].notna().any()}
    figure, axes = plt.subplots(2, 2, figsize=(10, 5.2), width_ratios=(3, 1), sharey="row", layout="constrained")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    for row, (column, label) in enumerate((("residual_mm", "mm"), ("residual_deg", "degrees"))):
        line_axis, histogram_axis = axes[row]
        values = [table[column].dropna().to_numpy() for table in shown.values()]
        top = max((np.quantile(value, 0.99) for value in values), default=1.0) * 1.5 or 1.0
        for index, (name, table) in enumerate(shown.items()):
            color = COLORS[index % len(COLORS)]
            median = table[column].median()
            line_axis.plot(
                table["time_s"], table[column].clip(upper=top), ".", ms=4, color=color, label=f"{name} ({median:.2f})"
            )
        if values:
            histogram_axis.hist(
                [np.clip(value, 0, top) for value in values],
                bins=np.linspace(0, top, 31),
                orientation="horizontal",
                stacked=True,
                color=[COLORS[index % len(COLORS)] for index in range(len(values))],
            )
            line_axis.legend(title="recording (median)", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
        else:
            line_axis.text(0.5, 0.5, "no frame has both poses", ha="center", va="center", transform=line_axis.transAxes)
        line_axis.set_ylim(0, top)
        line_axis.set_ylabel(f"residual, {label}")
        for axis in (line_axis, histogram_axis):
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25, linewidth=0.6)
    axes[1, 0].set_xlabel("time in the recording, s")
    axes[1, 1].set_xlabel("frames")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)

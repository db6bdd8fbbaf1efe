"""The ablations on the page: error budget, parts of the method, views."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.ablations.cases import BASELINE
from splatscope.ablations.gather import jitter_grid
from splatscope.config.paper import PaperConfig
from splatscope.paper.inputs import PaperInputs
from splatscope.report import plots
from splatscope.report.pictures import embed_file
from splatscope.report.text import number

METRICS = {"mask_iou": ("Mask IoU", 3), "psnr": ("PSNR, dB", 2)}


def ablation(inputs: PaperInputs, config: PaperConfig) -> dict | None:
    """Rows, grids and sentences of ablation.json; None when it was not run."""
    content = inputs.json("ablation", "ablation.json")
    if content is None:
        return None
    table = pd.DataFrame(content["cases"])
    folder = inputs.ablation / "cases"
    return {
        "frames": content["frames"],
        "sentences": sentences(content["budget"], content["mask_iou_loss"]),
        "grids": [_grid(table, metric) for metric in METRICS if table[f"{metric}_mean"].notna().any()],
        "curves": _curves(table),
        "parts": _rows(table, ("baseline", "parts"), folder, config),
        "views": _rows(table, ("views", "baseline"), folder, config) if (table["study"] == "views").any() else [],
        "shown": _shown_errors(table, folder, config),
    }


def sentences(budget: Mapping, mask_iou_loss: float) -> list[str]:
    """The error budget in words."""
    return [text for axis, unit, error in _AXES if (text := _in_words(budget[axis], unit, error, mask_iou_loss))]


_AXES = (("mm", "mm", "position"), ("deg", "°", "rotation"))


def _in_words(part: Mapping, unit: str, error: str, mask_iou_loss: float) -> str:
    """What one kind of error costs; empty when the grid does not reach 1 mm or degree."""
    costs = []
    if part["mask_iou_change_at_1"] is not None:
        costs.append(f"{number(-part['mask_iou_change_at_1'], 3)} of mask IoU")
    if part["psnr_change_at_1"] is not None:
        costs.append(f"{number(-part['psnr_change_at_1'], 1, 'dB')} of PSNR")
    if not costs:
        return ""
    said = f"{number(1, 0, unit)} (RMS) of {error} jitter costs {' and '.join(costs)}."
    if part["mask_iou_change_at_1"] is None:
        return said
    if part["tolerable"] is None:
        reach = f"{number(part['greatest_tried'], 1, unit)}, the most that was tried,"
    else:
        reach = number(part["tolerable"], 2, unit)
    return f"{said} Up to {reach} it costs no more than {number(mask_iou_loss, 2)}."


def _grid(table: pd.DataFrame, metric: str) -> dict:
    """Means over the jitter grid, with each cell's loss as a share of the greatest one."""
    title, digits = METRICS[metric]
    means, changes = jitter_grid(table, f"{metric}_mean"), jitter_grid(table, f"{metric}_change")
    worst = max(float(np.nanmax(-changes.to_numpy())), 1e-9)
    return {
        "title": title,
        "sampling_error": number(_sampling_error(table, metric), digits),
        "degrees": [f"{value:g}" for value in means.columns],
        "rows": [
            {
                "mm": f"{mm:g}",
                "cells": [
                    {
                        "text": number(float(means.loc[mm, degree]), digits),
                        "loss": round(100 * min(1, max(0, -float(changes.loc[mm, degree])) / worst))
                        if np.isfinite(changes.loc[mm, degree])
                        else 0,
                        "baseline": mm == 0 and degree == 0,
                    }
                    for degree in means.columns
                ],
            }
            for mm in means.index
        ],
    }


def _sampling_error(table: pd.DataFrame, metric: str) -> float:
    """The greatest standard error of a cell's mean over the frames."""
    jitter = table[table["study"] == "jitter"]
    return float((jitter[f"{metric}_std"] / np.sqrt(jitter["images"])).max())


def _curves(table: pd.DataFrame) -> dict[str, str]:
    """Figures over the position error: a line per rotation error, and the field distortion."""
    curves = {}
    baseline = table[table["study"] == "baseline"]
    distorted = pd.concat([baseline, table[table["study"] == "distortion"]])
    for metric, (title, _) in METRICS.items():
        if table[f"{metric}_mean"].isna().all():
            continue
        grid = jitter_grid(table, f"{metric}_mean")
        lines = {f"{degree:g}°": (grid.index.to_numpy(), grid[degree].to_numpy()) for degree in grid.columns}
        if len(distorted) > 1:
            lines["distortion"] = (distorted["error_mm"].to_numpy(), distorted[f"{metric}_mean"].to_numpy(float))
        curves[title] = plots.line_plot(lines, "added position error, RMS mm", title)
    return curves


def _rows(table: pd.DataFrame, studies: tuple[str, ...], folder: Path, config: PaperConfig) -> list[dict]:
    """Rows of some studies with the picture of each, in the order of the table."""
    rows = []
    for record in table[table["study"].isin(studies)].to_dict("records"):
        row = {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in record.items()}
        rows.append(row | {"picture": embed_file(folder / f"{row['case']}.png", config.jpeg_quality)})
    return rows


def _shown_errors(table: pd.DataFrame, folder: Path, config: PaperConfig) -> list[dict]:
    """The same frame without added error and with each position error alone."""
    jitter = table[(table["study"] == "jitter") & (table["error_deg"] == 0) | (table["case"] == BASELINE)]
    shown = [
        {"label": f"{row.error_mm:g} mm", "picture": embed_file(folder / f"{row.case}.png", config.jpeg_quality)}
        for row in jitter.sort_values("error_mm").itertuples()
    ]
    return [entry for entry in shown if entry["picture"] is not None]

"""All cases in one table, with the tracker's error budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.ablations.cases import BASELINE, Case
from splatscope.ablations.pictures import draw_error_budget
from splatscope.config.ablation import AblationConfig
from splatscope.evaluate.replay import METRICS
from splatscope.files import write_json, write_table


def gather_cases(
    cases: Sequence[Case],
    rows: Mapping[str, Path],
    config: AblationConfig,
    *,
    table_csv: str | Path,
    cells_parquet: str | Path,
    summary_json: str | Path,
    plot_png: str | Path,
) -> dict:
    """Write table, plot and summary of the cases, and return the summary. `rows` by case: tables of run_case.

    A figure of a case is the mean and the sample standard deviation over its frames; `<metric>_change` is the mean over
    the frames of the difference to the same frame of the baseline. Null where there is no truth or no LPIPS.
    """
    tables = {case.name: pd.read_parquet(rows[case.name]).set_index(["recording", "frame"]) for case in cases}
    records = [_record(case, tables[case.name], tables[BASELINE]) for case in cases]
    table = pd.DataFrame(records)
    write_table(table_csv, table)
    write_table(cells_parquet, table)
    summary = {
        "frames": len(tables[BASELINE]),
        "cases": records,
        "budget": error_budget(table, config.mask_iou_loss),
        "mask_iou_loss": config.mask_iou_loss,
    }
    write_json(summary_json, summary)
    draw_error_budget(table, plot_png)
    return summary


def _record(case: Case, rows: pd.DataFrame, baseline: pd.DataFrame) -> dict:
    record: dict = {"case": case.name, "study": case.study, "label": case.label, "changed": case.changed}
    record |= {"error_mm": case.setup.error.mm, "error_deg": case.setup.error.deg, "views_percent": case.views_percent}
    record["images"] = len(rows)
    for metric in METRICS:
        values, before = (table[metric].replace([np.inf, -np.inf], np.nan) for table in (rows, baseline))
        change = (values - before).mean()
        figures = {"mean": values.mean(), "std": values.std(ddof=1), "change": change}
        record |= {f"{metric}_{name}": None if np.isnan(value) else float(value) for name, value in figures.items()}
    return record


def jitter_grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A figure over the grid of jitter: mm down, degrees across; the baseline is at 0, 0. NaN where there is no cell.

    Args:
        table: of gather_cases.
        column: one of its figures.
    """
    cells = table[table["study"].isin(["jitter", "baseline"])]
    return cells.pivot(index="error_mm", columns="error_deg", values=column).astype(float)


def error_budget(table: pd.DataFrame, mask_iou_loss: float) -> dict:
    """What jitter costs along each axis of the grid, the other one at 0.

    For "mm" and "deg": the change of mask IoU and PSNR at 1 mm (or degree), and the greatest error at which mean mask
    IoU has fallen by no more than `mask_iou_loss`; both by linear interpolation between cells, null beyond the grid.
    """
    budget = {}
    for axis in ("mm", "deg"):
        lines = {}
        for metric in ("mask_iou", "psnr"):
            grid = jitter_grid(table, f"{metric}_change")
            lines[metric] = (grid[0.0] if axis == "mm" else grid.loc[0.0]).dropna()
        budget[axis] = {
            "mask_iou_change_at_1": _value_at(lines["mask_iou"], 1.0),
            "psnr_change_at_1": _value_at(lines["psnr"], 1.0),
            "tolerable": _first_below(lines["mask_iou"], -mask_iou_loss),
            "greatest_tried": float(lines["psnr"].index.max()),
        }
    return budget


def _value_at(line: pd.Series, place: float) -> float | None:
    if not len(line) or not line.index.min() <= place <= line.index.max():
        return None
    return float(np.interp(place, line.index, line.to_numpy()))


def _first_below(line: pd.Series, limit: float) -> float | None:
    """Where a line first falls below `limit`; None when it does not."""
    places, values = line.index.to_numpy(float), line.to_numpy(float)
    below = np.flatnonzero(values < limit)
    if not len(below):
        return None
    after = int(below[0])  # never 0: there the change is 0
    share = (limit - values[after - 1]) / (values[after] - values[after - 1])
    return float(places[after - 1] + share * (places[after] - places[after - 1]))

"""What each section of the page shows, as plain values for the template. A missing part is None or empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.checks.outcome import limit_text
from splatscope.config.report import ReportConfig
from splatscope.files import read_json
from splatscope.paper.published import IMAGE_QUALITY
from splatscope.report import plots
from splatscope.report.inputs import ReportInputs
from splatscope.report.pictures import embed, embed_file, split_panels
from splatscope.report.reading import REASONS, evaluated_file, extract_counts, percent, read_truth
from splatscope.report.statistics import dataset_section
from splatscope.report.text import spread

WIDE, HALF = 1280, 720  # pixels of embedded pictures
METHODS = {"ngp": "Instant-NGP", "nerfacto": "Nerfacto", "ours": "Zeng et al."}


def recordings(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """A card for each recording: thumbnails, frames by reason, clock offset."""
    truth = read_truth(inputs)
    cards = []
    for row in inputs.recordings:
        folder = inputs.ingest.get(row["name"])
        if folder is None or not (folder / "ingest.json").is_file():
            cards.append({**row, "missing": True})
            continue
        record = read_json(folder / "ingest.json")
        reasons = pd.read_parquet(folder / "frames.parquet", columns=["reason"])["reason"]
        counts = {label: int((reasons == reason).sum()) for reason, label in REASONS.items()}
        unknown = int((~reasons.isin(list(REASONS))).sum())
        if unknown:
            counts["other"] = unknown
        offset, uncertainty = record.get("clock_offset_s"), record.get("clock_offset_uncertainty_s")
        error = truth["clock"]["error_ms"].get(row["name"]) if truth else None
        refined = truth["clock"]["refined_error_ms"].get(row["name"]) if truth else None
        cards.append(
            {
                **row,
                "missing": False,
                "thumbnails": embed_file(folder / "thumbnails.jpg", config.jpeg_quality, HALF),
                "total": len(reasons),
                "counts": {label: count for label, count in counts.items() if count},
                "clock_ms": None if offset is None else 1000 * offset,
                "clock_uncertainty_ms": None if uncertainty is None else 1000 * uncertainty,
                "clock_error_ms": error,
                "refined_error_ms": refined,
                "tracker": record.get("tracker"),
                "video": record.get("video"),
                "warnings": record.get("warnings", []),
            }
        )
    return cards


def poses(inputs: ReportInputs) -> dict:
    """Registration by group, tracker-against-COLMAP residuals, and camera errors against the truth."""
    groups = []
    for name, path in inputs.sfm.items():
        content = read_json(path)
        groups.append({"name": name, **content, "percent": percent(content["registered"] / max(1, content["frames"]))})
    truth = read_truth(inputs)
    shown = {
        "groups": groups,
        "metric": None,
        "mode": None,
        "hand_eye": None,
        "plots": {},
        "medians": {},
        "truth": truth,
    }
    if inputs.poses is None or not (inputs.poses / "poses.json").is_file():
        return shown
    content = read_json(inputs.poses / "poses.json")
    shown |= {key: content.get(key) for key in ("metric", "mode", "hand_eye")}
    millimetres, degrees = {}, {}
    for row in inputs.recordings:
        path = inputs.poses / f"{row['name']}.parquet"
        if not path.is_file():
            continue
        table = pd.read_parquet(path)
        known = table[table["residual_mm"].notna()]
        if len(known):
            millimetres[row["name"]] = (known["time_s"], known["residual_mm"])
            degrees[row["name"]] = (known["time_s"], known["residual_deg"])
            shown["medians"][row["name"]] = {
                "frames": len(known),
                "mm": float(known["residual_mm"].median()),
                "deg": float(known["residual_deg"].median()),
            }
    if millimetres:
        shown["plots"] = {
            "Position": plots.line_plot(millimetres, "time in the recording, s", "residual, mm", dots=True, zero=True),
            "Rotation": plots.line_plot(degrees, "time in the recording, s", "residual, °", dots=True, zero=True),
        }
    return shown


def splats(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """Training curve and held-out views of each model."""
    models = []
    for name, folder in inputs.splats.items():
        content = read_json(folder / "splat.json") if (folder / "splat.json").is_file() else {}
        models.append(
            {
                "name": name,
                "psnr": content.get("heldout_psnr_mean"),
                "psnr_std": content.get("heldout_psnr_std"),
                "gaussians": content.get("gaussians"),
                "iterations": content.get("iterations"),
                "seconds": content.get("seconds"),
                "plots": _training_plots(folder / "curve.csv"),
                "heldout": embed_file(folder / "heldout.png", config.jpeg_quality, WIDE),
            }
        )
    return models


def _training_plots(path: Path) -> dict[str, str]:
    """Held-out PSNR and size of the model over the iterations."""
    if not path.is_file():
        return {}
    curve = pd.read_csv(path)
    shown = {
        "Held-out PSNR while training": ("psnr_heldout", "PSNR, dB"),
        "Gaussians while training": ("count", "Gaussians"),
    }
    return {
        caption: plots.line_plot({column: (curve["iteration"], curve[column])}, "iteration", label)
        for caption, (column, label) in shown.items()
        if column in curve and len(curve)
    }


def extracts(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """Before and after the filters, and how many Gaussians each left."""
    truth = read_truth(inputs)
    return [
        {
            "name": name,
            "picture": embed_file(folder / "extract.png", config.jpeg_quality, WIDE),
            "plot": plots.bar_plot(
                {step.replace("_", " "): count for step, count in extract_counts(folder)}, "Gaussians left"
            )
            if extract_counts(folder)
            else None,
            "truth": truth["tools"].get(name) if truth else None,
        }
        for name, folder in inputs.extracts.items()
    ]


def replay(inputs: ReportInputs, config: ReportConfig) -> dict | None:
    """The paper's Table 1 with our rows, PSNR along the recording, best and worst pair."""
    rows = [
        {"method": METHODS[method], "ours": False}
        | {
            metric: spread(published[metric].mean, published[metric].std, digits)
            for metric, digits in (("psnr", 2), ("ssim", 3), ("lpips", 3))
        }
        | {"mask_iou": None, "box_iou": None, "images": None}
        for method, published in IMAGE_QUALITY.items()
    ]
    evaluated, lines, pairs, lpips_note = {}, {}, [], None
    for dataset, label in (("replay", "SplatScope"), ("replay_paper", "SplatScope, paper mode")):
        path = evaluated_file(inputs, f"{dataset}.json")
        if path is None:
            continue
        content = evaluated[dataset] = read_json(path)
        row = {"method": label, "ours": True, "images": content["images"]}
        for metric, digits in (("psnr", 2), ("ssim", 3), ("lpips", 3), ("mask_iou", 3), ("box_iou", 3)):
            row[metric] = spread(content[metric]["mean"], content[metric]["std"], digits)
        rows.append(row)
        lpips_note = content["lpips"].get("not_available")
        table = pd.read_parquet(path.with_suffix(".parquet"))
        lines[label] = (np.arange(len(table)), table["psnr"].replace(np.inf, np.nan))
        for which in ("best", "worst"):
            picture = path.with_name(f"{dataset}_{which}.png")
            if picture.is_file():
                pairs.append(
                    {
                        "label": label,
                        "which": which,
                        "pair": content[which],
                        "panels": [
                            embed(panel, config.jpeg_quality) for panel in split_panels(picture, **content["overlay"])
                        ],
                    }
                )
    if not evaluated:
        return None
    return {
        "rows": rows,
        "plot": plots.line_plot(lines, "image", "PSNR, dB"),
        "pairs": pairs,
        "lpips_note": lpips_note,
        "masks": any(content["mask_iou"]["images"] for content in evaluated.values()),
    }


def checks(inputs: ReportInputs) -> list[dict]:
    """A row for each check of each dataset, its limit as text."""
    results = [read_json(path) for path in inputs.checks]
    return [
        check | {"dataset": result["dataset"], "limit": limit_text(check["limit"])}
        for result in results
        for check in result["checks"]
    ]


def datasets(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """Statistics of each dataset."""
    return [
        dataset_section(name, folder, config)
        for name, folder in inputs.datasets.items()
        if (folder / "manifest.json").is_file()
    ]

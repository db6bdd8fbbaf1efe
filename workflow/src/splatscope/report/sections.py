"""What each section of the page shows, as plain values for the template. A missing part is None or empty."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope import __version__
from splatscope.config.report import ReportConfig
from splatscope.evaluate.overlays import GAP
from splatscope.files import read_json
from splatscope.report import plots
from splatscope.report.gallery import dataset_section
from splatscope.report.inputs import ReportInputs
from splatscope.report.paper import PAPER_ROWS
from splatscope.report.pictures import embed, embed_file, split_panels
from splatscope.report.text import duration, number, spread
from splatscope.summary import KEYS, benchmark_seconds

STAGE_OF_RULE = {
    "write_phantom_rig": "phantom",
    "render_phantom_recording": "phantom",
    "ingest_recording": "ingest",
    "reconstruct_group": "poses",
    "solve_poses": "poses",
    "train_splat": "splat",
    "extract_tool": "extract",
    "compose_replay": "compose",
    "sample_scenes": "compose",
    "render_shard": "render",
    "annotate_dataset": "annotate",
    "evaluate_replay": "evaluate",
    "evaluate_truth": "evaluate",
}
REASONS = {
    "": "kept",
    "not_sampled": "not needed",
    "blurred": "blurred",
    "duplicate": "duplicate",
    "no_pose": "no valid pose",
}
PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "pycolmap",
    "torchmetrics",
    "pycocotools",
    "supervision",
)
WIDE, HALF = 1280, 720  # pixels of embedded pictures


def headline(figures: Mapping) -> list[dict]:
    """The figures at the top: label, value, and what it is measured against."""
    tiles = [
        ("Annotated images", number(figures["dataset.frames"]), f"{number(figures['dataset.annotations'])} instances"),
        (
            "Replay PSNR",
            number(figures["replay.psnr_mean"], 1, "dB"),
            f"SSIM {number(figures['replay.ssim_mean'], 3)}, against unseen real frames",
        ),
        ("Mask IoU", number(figures["replay.mask_iou_mean"], 3), "visible tool masks against the truth"),
        (
            "Hand-eye error",
            number(figures["poses.hand_eye.translation_error_mm"], 2, "mm"),
            f"{number(figures['poses.hand_eye.rotation_error_deg'], 2, '°')}, camera sensor to camera",
        ),
        (
            "Tool placement error",
            number(figures["poses.tool.translation_error_mm"], 2, "mm"),
            f"{number(figures['poses.tool.rotation_error_deg'], 2, '°')}, splat to true mesh",
        ),
        ("Clock offset error", number(figures["poses.clock_offset_error_ms"], 1, "ms"), "largest of the recordings"),
        (
            "Frames registered",
            number(_percent(figures["poses.registered_fraction"]), 1, "%"),
            "by structure from motion",
        ),
        ("Time", duration(figures["run.wall_s"]), "while at least one job ran"),
    ]
    return [{"label": label, "value": value, "note": note} for label, value, note in tiles]


def hero(inputs: ReportInputs, config: ReportConfig) -> dict | None:
    """Real and synthetic of the most alike pair, to lay over each other."""
    path = _evaluated(inputs, "replay_best.png")
    if path is None:
        return None
    real, synthetic, *_ = split_panels(path, 4, GAP)
    best = read_json(path.with_name("replay.json"))["best"]
    return {"real": embed(real, config.jpeg_quality), "synthetic": embed(synthetic, config.jpeg_quality), "pair": best}


def flow(inputs: ReportInputs, figures: Mapping) -> list[dict]:
    """Stage cards: what came in, what went out, and the time of all jobs together."""
    seconds: dict[str, float] = {}
    for path in inputs.benchmarks:
        rule = path.stem if path.stem in STAGE_OF_RULE else path.parent.name
        taken = benchmark_seconds(path)
        if rule in STAGE_OF_RULE and taken is not None:
            stage = STAGE_OF_RULE[rule]
            seconds[stage] = seconds.get(stage, 0) + taken
    kept, dropped = figures["ingest.frames_kept"], figures["ingest.frames_dropped"]
    gaussians = sum(value or 0 for key, value in figures.items() if key.startswith("splat.") and "gaussians" in key)
    frames = sum(read_json(path)["frames"] for path in inputs.compose.values())
    kept_of_tool = [_extract_counts(folder)[-1][1] for folder in inputs.extracts.values() if _extract_counts(folder)]
    cards = [
        ("phantom", "a seed", "recordings as a researcher would bring them", "", "phantom" in seconds),
        ("ingest", "video, tracker log, calibration", "sharp, undistorted frames", f"{number(kept)} frames", True),
        (
            "poses",
            "frames, tracker poses",
            "camera and tool poses in mm",
            f"{number(_percent(figures['poses.registered_fraction']), 1)} % registered",
            True,
        ),
        ("splat", "frames, poses", "Gaussian models", f"{number(gaussians)} Gaussians", bool(inputs.splats)),
        (
            "extract",
            "tool splat",
            "the tool alone, in its sensor's frame",
            f"{number(sum(kept_of_tool))} Gaussians" if kept_of_tool else "",
            bool(inputs.extracts),
        ),
        ("compose", "splats, poses or a recipe", "scene lists", f"{number(frames)} scenes", bool(inputs.compose)),
        ("render", "scene lists, splats", "colour, masks, depth", f"{number(frames)} frames", bool(inputs.compose)),
        (
            "annotate",
            "frames with labels",
            "COCO, YOLO, PNG masks",
            f"{number(figures['dataset.annotations'])} instances",
            bool(inputs.datasets),
        ),
        (
            "evaluate",
            "replay, real frames",
            "PSNR, SSIM, IoU",
            f"{number(figures['replay.psnr_mean'], 1)} dB" if figures["replay.psnr_mean"] else "",
            inputs.evaluate is not None,
        ),
    ]
    if kept is not None:
        cards[1] = (*cards[1][:3], f"{number(kept)} of {number(kept + (dropped or 0))} frames", True)
    return [
        {"name": name, "takes": takes, "gives": gives, "figure": figure, "seconds": seconds.get(name)}
        for name, takes, gives, figure, shown in cards
        if shown
    ]


def recordings(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """A card for each recording: thumbnails, frames by reason, clock offset."""
    truth = _truth(inputs)
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
        groups.append({"name": name, **content, "percent": _percent(content["registered"] / max(1, content["frames"]))})
    truth = _truth(inputs)
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
    truth = _truth(inputs)
    return [
        {
            "name": name,
            "picture": embed_file(folder / "extract.png", config.jpeg_quality, WIDE),
            "plot": plots.bar_plot(
                {step.replace("_", " "): count for step, count in _extract_counts(folder)}, "Gaussians left"
            )
            if _extract_counts(folder)
            else None,
            "truth": truth["tools"].get(name) if truth else None,
        }
        for name, folder in inputs.extracts.items()
    ]


def replay(inputs: ReportInputs, config: ReportConfig) -> dict | None:
    """The paper's Table 1 with our rows, PSNR along the recording, best and worst pair."""
    rows = [
        {"method": row["method"], "ours": False}
        | {metric: spread(*row[metric], digits) for metric, digits in (("psnr", 2), ("ssim", 3), ("lpips", 3))}
        | {"mask_iou": None, "box_iou": None, "images": None}
        for row in PAPER_ROWS
    ]
    evaluated, lines, pairs, lpips_note = {}, {}, [], None
    for dataset, label in (("replay", "SplatScope"), ("replay_paper", "SplatScope, paper mode")):
        path = _evaluated(inputs, f"{dataset}.json")
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
                        "panels": [embed(panel, config.jpeg_quality) for panel in split_panels(picture, 4, GAP)],
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


def datasets(inputs: ReportInputs, config: ReportConfig) -> list[dict]:
    """Gallery and statistics of each dataset."""
    return [
        dataset_section(name, folder, config)
        for name, folder in inputs.datasets.items()
        if (folder / "manifest.json").is_file()
    ]


def left_out(inputs: ReportInputs) -> list[dict]:
    """Everything refused or dropped on the way, by stage, reason and count."""
    rows = []
    for name, folder in inputs.ingest.items():
        if (folder / "frames.parquet").is_file():
            reasons = pd.read_parquet(folder / "frames.parquet", columns=["reason"])["reason"]
            for reason, count in reasons[reasons != ""].value_counts().sort_index().items():
                rows.append(("ingest", name, REASONS.get(reason, reason), int(count)))
    for name, path in inputs.sfm.items():
        content = read_json(path)
        rows.append(("poses", name, "frame not registered", content["frames"] - content["registered"]))
    for name, folder in inputs.extracts.items():
        counts = _extract_counts(folder)
        for (_, before), (step, after) in pairwise(counts):
            rows.append(("extract", name, f"Gaussian removed: {step.replace('_', ' ')}", before - after))
    for name, path in inputs.compose.items():
        for reason, count in read_json(path).get("rejected", {}).items():
            rows.append(("compose", name, reason.replace("_", " "), count))
    for name, folder in inputs.datasets.items():
        if (folder / "manifest.json").is_file():
            counts = read_json(folder / "manifest.json")["counts"]
            for reason, count in counts["dropped_annotations"].items():
                rows.append(("annotate", name, f"instance {reason.replace('_', ' ')}", count))
            rows.append(("annotate", name, "frame without annotation", counts["dropped_empty_frames"]))
    return [
        {"stage": stage, "where": where, "reason": reason, "count": count}
        for stage, where, reason, count in rows
        if count
    ]


def provenance(inputs: ReportInputs) -> dict:
    """Settings, versions, and the digests and licences of the datasets."""
    versions = {"SplatScope": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    stated = []
    for name, folder in inputs.datasets.items():
        if (folder / "manifest.json").is_file():
            manifest = read_json(folder / "manifest.json")
            settings = manifest["settings"]
            stated.append(
                {
                    "name": name,
                    "licence": settings["licence"],
                    "author": settings["author"],
                    "files": len(manifest["files"]),
                    "digest": manifest["files"]["annotations.json"],
                }
            )
    return {"stated": dict(inputs.provenance), "versions": versions, "datasets": stated}


def keys(figures: Mapping) -> list[dict]:
    """Every figure of summary.json with its unit and meaning."""
    rows = []
    for key in KEYS:
        before, _, after = key.name.partition("<model>")
        names = [key.name]
        if after:
            names = [name for name in figures if name.startswith(before) and name.endswith(after)]
        rows += [{"name": name, "unit": key.unit, "meaning": key.meaning, "value": figures[name]} for name in names]
    return rows


def _evaluated(inputs: ReportInputs, name: str) -> Path | None:
    path = inputs.evaluate / name if inputs.evaluate is not None else None
    return path if path is not None and path.is_file() else None


def _truth(inputs: ReportInputs) -> dict | None:
    path = _evaluated(inputs, "truth.json")
    return read_json(path) if path else None


def _extract_counts(folder: Path) -> list[tuple[str, int]]:
    path = folder / "extract.json"
    content = read_json(path).get("counts", []) if path.is_file() else []
    return [(entry["step"], entry["gaussians"]) for entry in content]


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction

"""The parts of the page that look over all stages: headline, flow, what was left out, provenance, every figure."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise

import pandas as pd

from splatscope import __version__
from splatscope.files import read_json
from splatscope.report.inputs import ReportInputs
from splatscope.report.reading import REASONS, extract_counts, percent
from splatscope.report.text import MISSING, duration, number
from splatscope.summary import KEYS

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


def headline(figures: Mapping) -> list[dict]:
    """The figures at the top: label, value, and what it is measured against; those that this run has, at most eight."""
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
            number(percent(figures["poses.registered_fraction"]), 1, "%"),
            "by structure from motion",
        ),
        ("Time", duration(figures["run.wall_s"]), "while at least one job ran"),
        ("Site splat", number(figures.get("splat.site.heldout_psnr"), 1, "dB"), "PSNR of views kept from training"),
    ]
    known = [tile for tile in tiles if tile[1] != MISSING]
    return [{"label": label, "value": value, "note": note} for label, value, note in known[:8]]


def flow(inputs: ReportInputs, figures: Mapping, costs: Sequence[Mapping]) -> list[dict]:
    """Stage cards: what came in, what went out, and the time of all jobs together (`stage_costs`)."""
    seconds = {row["name"]: row["wall_s"] for row in costs}
    kept, dropped = figures["ingest.frames_kept"], figures["ingest.frames_dropped"]
    gaussians = sum(value or 0 for key, value in figures.items() if key.startswith("splat.") and "gaussians" in key)
    frames = sum(read_json(path)["frames"] for path in inputs.compose.values())
    kept_of_tool = [extract_counts(folder)[-1][1] for folder in inputs.extracts.values() if extract_counts(folder)]
    cards = [
        ("phantom", "a seed", "recordings as a researcher would bring them", "", "phantom" in seconds),
        ("ingest", "video, tracker log, calibration", "sharp, undistorted frames", f"{number(kept)} frames", True),
        (
            "poses",
            "frames, tracker poses",
            "camera and tool poses in mm",
            f"{number(percent(figures['poses.registered_fraction']), 1)} % registered",
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
        (
            "simulate",
            "a scenario, a seed",
            "operations on simulated tissue, every label",
            f"{number(len(inputs.episodes))} operations",
            bool(inputs.episodes),
        ),
        ("compose", "splats, poses or a recipe", "scene lists", f"{number(frames)} scenes", bool(inputs.compose)),
        ("render", "scene lists, splats", "colour, masks, depth", f"{number(frames)} frames", bool(inputs.compose)),
        (
            "restyle",
            "frames, a diffusion model",
            "frames that look real, same labels",
            f"{number(figures['restyle.frames'])} frames" if figures["restyle.frames"] else "",
            bool(inputs.restyled),
        ),
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
        counts = extract_counts(folder)
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


def versions() -> dict[str, str]:
    """Versions of what computed the results, by name."""
    found = {"SplatScope": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def provenance(inputs: ReportInputs) -> dict:
    """Settings, versions, and of each dataset its licence, digests and what its shards state about their making."""
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
                    "shards": len(manifest["provenance"].get("shards", {})),
                    "made_by": manifest["provenance"].get("render", []),
                }
            )
    return {"stated": dict(inputs.provenance), "versions": versions(), "datasets": stated}


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

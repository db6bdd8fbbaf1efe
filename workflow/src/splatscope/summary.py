"""summary: every headline figure under a stable key, for people's scripts and for the report.

`KEYS` is the one place that says which keys there are, their unit and meaning. A figure that does not exist for the
recordings at hand (no truth, no scene recording, no LPIPS weights) is null. Keys with <model> repeat for each model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from splatscope.files import read_json, write_json


@dataclass(frozen=True)
class Key:
    """A key of summary.json."""

    name: str
    unit: str
    meaning: str


_REPLAY = (
    ("psnr_mean", "dB", "PSNR, mean over the images"),
    ("psnr_std", "dB", "its standard deviation over the images"),
    ("ssim_mean", "", "SSIM, mean"),
    ("ssim_std", "", "its standard deviation"),
    ("lpips_mean", "", "LPIPS, mean; null without backbone weights"),
    ("lpips_std", "", "its standard deviation"),
    ("mask_iou_mean", "", "IoU of visible tool masks with the truth, mean (phantom only)"),
    ("mask_iou_std", "", "its standard deviation"),
    ("box_iou_mean", "", "IoU of the boxes round them, mean (phantom only)"),
    ("box_iou_std", "", "its standard deviation"),
)

_PROOF_ARMS = {"real": "real frames", "synthetic": "synthetic frames", "mixed": "both kinds"}
_PROOF_METRICS = {"recall": "recall", "precision": "precision", "map50": "mAP at IoU 0.5"}

KEYS = (
    Key("dataset.frames", "images", "images of the sampled dataset"),
    Key("dataset.annotations", "instances", "annotated instances in them"),
    Key("ingest.frames_kept", "frames", "video frames kept, over all recordings"),
    Key("ingest.frames_dropped", "frames", "video frames not kept, for whatever reason"),
    Key("poses.registered_fraction", "0..1", "kept frames that structure from motion registered, over all recordings"),
    Key(
        "poses.hand_eye.translation_error_mm", "mm", "estimated against true camera sensor-to-camera transform: origins"
    ),
    Key("poses.hand_eye.rotation_error_deg", "degree", "the same: angle"),
    Key("poses.tool.translation_error_mm", "mm", "tool splat against true tool mesh, best rigid fit: at its centroid"),
    Key("poses.tool.rotation_error_deg", "degree", "the same: angle"),
    Key(
        "poses.tool.placement_tip_mm",
        "mm",
        "what the poses alone misplace: the true tip in the estimated sensor's frame",
    ),
    Key("poses.tool.placement_rotation_deg", "degree", "the same: angle"),
    Key(
        "poses.clock_offset_error_ms",
        "ms",
        "largest absolute error of the recordings' clock offsets, as ingest has them",
    ),
    Key("poses.clock_offset_refined_error_ms", "ms", "the same after poses has refined them"),
    Key("poses.camera.ate_mm", "mm", "largest RMS camera position error over the recordings"),
    *(Key(f"replay.{name}", unit, f"replay of the scene recording: {text}") for name, unit, text in _REPLAY),
    *(Key(f"replay.paper_mode.{name}", unit, f"the same as the paper does it: {text}") for name, unit, text in _REPLAY),
    Key("splat.<model>.heldout_psnr", "dB", "PSNR of the model's held-out views, mean"),
    Key("splat.<model>.gaussians", "Gaussians", "size of the model"),
    Key("restyle.frames", "images", "restyled frames that were kept"),
    Key("restyle.miou_raw", "", "mIoU of the evaluation's segmenter on frames before restyling"),
    Key("restyle.miou_gate_off", "", "the same on restyled frames, without fidelity gate"),
    Key("restyle.miou_gate_on", "", "the same on restyled frames that the fidelity gate let through"),
    Key("restyle.dropped_fraction", "0..1", "frames that the gate dropped"),
    Key("restyle.warp_error_ratio", "", "warp error of restyled clips over that of frames restyled one by one"),
    Key("restyle.style_distance_raw", "", "distance to the style set before restyling"),
    Key("restyle.style_distance", "", "the same after restyling"),
    Key("restyle.style_distance_name", "", "which distance it is"),
    Key("proof.baseline.ngp.psnr_mean", "dB", "replay by Instant-NGP: PSNR, mean over the images"),
    Key("proof.baseline.nerfacto.psnr_mean", "dB", "the same by Nerfacto"),
    Key("proof.ours.psnr_mean", "dB", "the same by our splats, on the same images"),
    *(
        Key(
            f"proof.{arm}.{metric}",
            "",
            f"{name} on the test recordings of detectors trained on {kind}, mean over folds",
        )
        for metric, name in _PROOF_METRICS.items()
        for arm, kind in _PROOF_ARMS.items()
    ),
    Key("run.wall_s", "s", "wall-clock time during which at least one job ran, over all results present"),
)


@dataclass(frozen=True)
class SummaryInputs:
    """Files that the figures come from; None or empty where a stage did not run."""

    dataset_manifest: Path | None = None  # annotate's manifest.json of the sampled dataset
    frame_tables: Mapping[str, Path] = field(default_factory=dict)  # ingest's frames.parquet by recording
    sfm: Mapping[str, Path] = field(default_factory=dict)  # sfm.json by group
    splats: Mapping[str, Path] = field(default_factory=dict)  # splat.json by model
    replay: Path | None = None  # evaluate/replay.json
    replay_paper: Path | None = None  # evaluate/replay_paper.json
    truth: Path | None = None  # evaluate/truth.json
    restyling: Path | None = None  # evaluate/restyle_<dataset>_proof.json
    baselines: Path | None = None  # baselines/baselines.json
    proof: Path | None = None  # proof/proof.json
    benchmarks: Sequence[Path] = ()  # Snakemake's benchmark tables


def write_summary(inputs: SummaryInputs, out: str | Path) -> dict[str, float | int | str | None]:
    """Write summary.json, a flat object with the keys of `KEYS`, and return it."""
    figures: dict[str, float | int | str | None] = {key.name: None for key in KEYS if "<" not in key.name}
    if inputs.dataset_manifest:
        counts = read_json(inputs.dataset_manifest)["counts"]
        figures["dataset.frames"], figures["dataset.annotations"] = counts["images"], counts["annotations"]
    if inputs.frame_tables:
        kept = [pd.read_parquet(path, columns=["kept"])["kept"] for path in inputs.frame_tables.values()]
        figures["ingest.frames_kept"] = sum(int(column.sum()) for column in kept)
        figures["ingest.frames_dropped"] = sum(int((~column).sum()) for column in kept)
    if inputs.sfm:
        groups = [read_json(path) for path in inputs.sfm.values()]
        figures["poses.registered_fraction"] = _ratio(
            sum(group["registered"] for group in groups), sum(group["frames"] for group in groups)
        )
    if inputs.truth:
        figures |= _truth_figures(read_json(inputs.truth))
    for prefix, path in (("replay", inputs.replay), ("replay.paper_mode", inputs.replay_paper)):
        if path:
            content = read_json(path)
            for name, _, _ in _REPLAY:
                metric, _, statistic = name.rpartition("_")
                figures[f"{prefix}.{name}"] = content[metric][statistic]
    if inputs.restyling:
        figures |= _restyle_figures(read_json(inputs.restyling))
    if inputs.baselines:
        for row in read_json(inputs.baselines)["rows"]:
            prefix = "proof" if row["method"] == "ours" else "proof.baseline"
            figures[f"{prefix}.{row['method']}.psnr_mean"] = row["psnr"]["mean"]
    if inputs.proof:
        arms = read_json(inputs.proof)["detection"]
        figures |= {f"proof.{arm}.{name}": arms[arm][name]["mean"] for arm in _PROOF_ARMS for name in _PROOF_METRICS}
    for model, path in sorted(inputs.splats.items()):
        content = read_json(path)
        figures[f"splat.{model}.heldout_psnr"] = content["heldout_psnr_mean"]
        figures[f"splat.{model}.gaussians"] = content["gaussians"]
    figures["run.wall_s"] = wall_seconds(inputs.benchmarks)
    write_json(out, figures)
    return figures


def benchmark_seconds(path: str | Path) -> float | None:
    """Seconds that a job took, from the last row of Snakemake's benchmark table; None when it states none."""
    seconds = pd.to_numeric(pd.read_csv(path, sep="\t")["s"], errors="coerce")
    return float(seconds.iloc[-1]) if len(seconds) and math.isfinite(seconds.iloc[-1]) else None


def wall_seconds(benchmarks: Iterable[str | Path]) -> float | None:
    """Length in s of the union of [end - s, end] over benchmark tables, whose file time is the job's end.

    Jobs that ran side by side count once; the pauses between two runs of the workflow do not count.
    """
    intervals = []
    for path in benchmarks:
        seconds = benchmark_seconds(path)
        if seconds is not None:
            end = Path(path).stat().st_mtime
            intervals.append((end - seconds, end))
    total, reached = 0.0, -math.inf
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return round(total, 1) if intervals else None


def keys_table() -> str:
    """The keys as a Markdown table, for the README."""
    rows = [f"| `{key.name}` | {key.unit or '-'} | {key.meaning} |" for key in KEYS]
    return "\n".join(["| key | unit | meaning |", "|---|---|---|", *rows])


def _truth_figures(truth: Mapping[str, Any]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {
        "poses.clock_offset_error_ms": truth["clock"]["max_abs_error_ms"],
        "poses.clock_offset_refined_error_ms": truth["clock"]["max_abs_refined_error_ms"],
    }
    if truth["hand_eye"]:
        figures |= {f"poses.hand_eye.{name}": value for name, value in truth["hand_eye"].items()}
    tools = truth["tools"].values()
    for name in ("translation_error_mm", "rotation_error_deg"):
        figures[f"poses.tool.{name}"] = max((tool[name] for tool in tools if tool[name] is not None), default=None)
    placed = [tool["placement"] for tool in tools if tool["placement"]]
    for key, name in (("tip_mm", "tip_displacement_mm"), ("rotation_deg", "rotation_error_deg")):
        figures[f"poses.tool.placement_{key}"] = max((one[name] for one in placed), default=None)
    ate = [camera["ate_mm"] for camera in truth["cameras"].values() if camera["ate_mm"] is not None]
    figures["poses.camera.ate_mm"] = max(ate, default=None)
    return figures


def _restyle_figures(content: Mapping[str, Any]) -> dict[str, float | str | None]:
    rows = {row["variant"]: row for row in content["rows"]}
    warp, alone = rows["gate_off"]["warp_error"], rows["per_frame"]["warp_error"]
    return {
        "restyle.frames": content["frames"],
        "restyle.miou_raw": rows["raw"]["miou"],
        "restyle.miou_gate_off": rows["gate_off"]["miou"],
        "restyle.miou_gate_on": rows["default"]["miou"],
        "restyle.dropped_fraction": content["dropped"] / max(1, content["frames"] + content["dropped"]),
        "restyle.warp_error_ratio": None if warp is None or not alone else warp / alone,
        "restyle.style_distance_raw": rows["raw"]["style_distance"],
        "restyle.style_distance": rows["default"]["style_distance"],
        "restyle.style_distance_name": content["style_distance_name"],
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None

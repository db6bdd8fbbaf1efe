"""Table 1 of Zeng et al.: the recorded poses of the scene rendered again and compared with its real frames."""

from __future__ import annotations

from collections.abc import Mapping

from splatscope.paper.comparison import Aspect, Cell, Claim, Column, Comparison, Row
from splatscope.paper.inputs import PaperInputs, over_images
from splatscope.paper.published import GAUSSIAN, IMAGE_QUALITY
from splatscope.report.text import duration

COLUMNS = (
    Column("psnr", "PSNR, dB", "↑", 2),
    Column("ssim", "SSIM", "↑"),
    Column("lpips", "LPIPS", "↓"),
    Column("mask_iou", "mask IoU", "↑"),
)
METHODS = {"ngp": "Instant-NGP", "nerfacto": "Nerfacto", "ours": "Gaussian splatting"}


def image_quality(inputs: PaperInputs) -> Comparison:
    """The table, with rows of ours that the paper does not have."""
    baselines = _baselines(inputs)
    replay, paper_mode = inputs.json("evaluate", "replay.json"), inputs.json("evaluate", "replay_paper.json")
    rows = []
    for method, label in METHODS.items():
        figures = replay if method == "ours" else baselines.get(method)
        seconds = baselines.get(method, {}).get("training_seconds")
        note = f"trained in {duration(seconds)}" if seconds else ""
        rows.append(_row(label, figures, IMAGE_QUALITY[method], method == "ours", note))
    if paper_mode:
        note = "moved and labelled as the paper writes it (its Eq. 2, section 2.4)"
        rows.append(_row("Gaussian splatting, to the letter", paper_mode, {}, False, note))
    lpips = (replay or {}).get("lpips", {})
    notes = ["LPIPS needs the weights of its backbone as a file: evaluate.lpips_backbone_weights."]
    notes = notes if lpips.get("not_available") else []
    notes.append("The paper states 27.796 dB in abstract and table, and 29.592 dB in its conclusion.")
    return Comparison(
        "image_quality",
        "Image quality at the recorded poses",
        GAUSSIAN,
        "Table 1",
        "standard deviation over the images",
        COLUMNS,
        rows,
        _protocol(inputs, replay or {}, lpips),
        notes,
    )


def image_quality_claim(table: Comparison) -> Claim:
    """Splats come closer to the real frames than both radiance fields."""
    psnr = {row.label: row.cells["psnr"] for row in table.rows}
    ours, theirs = psnr[METHODS["ours"]], [psnr[METHODS[name]] for name in ("nerfacto", "ngp")]
    published = ", ".join(
        f"{ours.published.mean - cell.published.mean:+.1f} dB over {METHODS[name]}"
        for name, cell in zip(("nerfacto", "ngp"), theirs)
    )
    text = "Gaussian splats come closer to the real frames than both radiance fields trained for as long."
    if ours.ours is None or any(cell.ours is None for cell in theirs):
        return Claim(text, GAUSSIAN, published, "not run", "not run")
    gains = [ours.ours.mean - cell.ours.mean for cell in theirs]
    found = ", ".join(f"{gain:+.1f} dB over {METHODS[name]}" for name, gain in zip(("nerfacto", "ngp"), gains))
    verdict = "reproduced" if min(gains) > 0 else "contradicted"
    return Claim(text, GAUSSIAN, published, found, verdict, "The sign of both differences of mean PSNR.")


def _row(label: str, figures: Mapping | None, published: Mapping, ours: bool, note: str) -> Row:
    cells = {
        column.key: Cell(published.get(column.key), over_images((figures or {}).get(column.key))) for column in COLUMNS
    }
    return Row(label, cells, ours, note)


def _baselines(inputs: PaperInputs) -> dict[str, dict]:
    """What the stage baselines measured, by method: metrics as evaluate_replay writes them, seconds of training."""
    content = inputs.json("baselines", "baselines.json")
    return {row["method"]: row for row in (content or {}).get("rows", [])}


def _protocol(inputs: PaperInputs, replay: Mapping, lpips: Mapping) -> list[Aspect]:
    compose = inputs.settings["compose"]
    size = f"{compose['width']}×{compose['height']} px"
    return [
        Aspect("Poses", "tracked poses of the ground-truth recording", "the same", True),
        Aspect("Frames of site and tool together in training", "none", "none", True),
        Aspect("PSNR and SSIM", "per image, mean ± standard deviation", "the same", True),
        Aspect(
            "LPIPS",
            "network not stated",
            f"{lpips['network']}, ImageNet weights" if "network" in lpips else "not available: no backbone weights",
            None,
        ),
        Aspect(
            "Recordings",
            "ex-vivo lamb organs, da Vinci stereo endoscope, NDI Aurora",
            "the embedded phantom: rendered meshes, made-up tracker" if inputs.phantom else "your own",
            False,
        ),
        Aspect("Image size", "not stated", size, None),
        Aspect("Images compared", "not stated", str(replay.get("images", "none")), None),
        Aspect("Pixels compared", "not stated", "those that the undistorted lens covers", None),
        Aspect("Training time of the radiance fields", "comparable with the splats'", "see the rows", True),
    ]

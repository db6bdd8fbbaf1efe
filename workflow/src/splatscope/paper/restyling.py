"""The figures of SimuScope: how much of the labels survives restyling, and how near it comes to real frames."""

from __future__ import annotations

from splatscope.paper.comparison import Aspect, Cell, Claim, Column, Comparison, Measure, Row
from splatscope.paper.inputs import PaperInputs
from splatscope.paper.published import MINIMAL, RESTYLING, RESTYLING_BEFORE, SIMUSCOPE

LABELS = {
    "raw": "Before restyling",
    "default": "Restyled",
    "gate_off": "Restyled, without fidelity gate",
    "per_frame": "Restyled, each frame alone",
}


def figures_of(inputs: PaperInputs) -> dict | None:
    """What evaluate_restyling measured of the restyled dataset."""
    return inputs.json("evaluate", f"restyle_{inputs.restyled[0]}_proof.json") if inputs.restyled else None


def restyling(inputs: PaperInputs) -> Comparison:
    """mIoU and distances; a distance over other features than Inception's never stands under the names FID and KID."""
    content = figures_of(inputs) or {"rows": []}
    kernel, frechet = content.get("style_distance_name"), content.get("frechet_distance_name")
    columns = [Column("miou", "mIoU", "↑"), Column("kid", "KID", "↓", 4), Column("fid", "FID", "↓", 1)]
    named = {"kid": kernel == "KID", "fid": frechet == "FID"}
    if content["rows"] and not named["kid"]:
        columns.append(Column("kernel", kernel.partition(" (")[0], "↓"))
    columns += [Column("warp_error", "warp error", "↓", 4)]
    rows = []
    for figures in content["rows"]:
        measured = {
            "miou": figures["miou"],
            "kid" if named["kid"] else "kernel": figures["style_distance"],
            "warp_error": figures["warp_error"],
        }
        if named["fid"]:
            measured["fid"] = figures["frechet_distance"]
        published = RESTYLING if figures["variant"] == "default" else {}
        rows.append(_row(LABELS.get(figures["variant"], figures["variant"]), published, measured, columns))
    if not rows:
        rows = [_row(LABELS["default"], RESTYLING, {}, columns)]
    rows.append(_row(f"{MINIMAL.short}, restyled", {"miou": RESTYLING_BEFORE["miou"]}, {}, columns))
    rows.append(_row(f"{MINIMAL.short}, its baseline", {"miou": RESTYLING_BEFORE["miou_baseline"]}, {}, columns))
    return Comparison(
        "restyling",
        "Simulated frames made to look real",
        SIMUSCOPE,
        "section 5",
        "",
        columns,
        rows,
        _protocol(inputs, content) if figures_of(inputs) else [],
        [
            "mIoU is that of a segmenter on restyled frames against the simulator's labels: it says how much of the "
            "labels survives, not how useful the frames are. The paper states no number for its FID."
        ],
    )


def restyling_claim(table: Comparison) -> Claim:
    """Labels survive restyling. What share of the unstyled frames' mIoU is kept is the part that can be compared."""
    text = "Restyling keeps the simulator's labels."
    published = f"mIoU {100 * RESTYLING['miou'].mean:.2f} % of a segmenter trained on real frames"
    by_label = {row.label: row.cells["miou"].ours for row in table.rows}
    before, after = by_label.get(LABELS["raw"]), by_label.get(LABELS["default"])
    if before is None or after is None:
        return Claim(text, SIMUSCOPE, published, "not run", "not run")
    kept = after.mean / before.mean
    found = (
        f"mIoU {100 * after.mean:.1f} %, which is {100 * kept:.1f} % of what the same segmenter has before restyling"
    )
    verdict = "reproduced" if kept >= 0.9 else "contradicted"
    return Claim(text, SIMUSCOPE, published, found, verdict, "Nine tenths of the mIoU before restyling, or more.")


def _row(label: str, published: dict, measured: dict, columns: list[Column]) -> Row:
    cells = {
        column.key: Cell(
            published.get(column.key),
            Measure(measured[column.key]) if measured.get(column.key) is not None else None,
        )
        for column in columns
    }
    return Row(label, cells, label == LABELS["default"])


def _protocol(inputs: PaperInputs, content: dict) -> list[Aspect]:
    settings = inputs.settings["restyle"]
    proof, sampler = settings["proof"], settings["sampler"]
    paper_segmenter = proof["segmenter"] == "paper"
    sd15 = "stable-diffusion-v1-5" in settings["model"]
    rows = {figures["variant"]: figures for figures in content["rows"]}
    return [
        Aspect("Base model", "Stable Diffusion 1.5", content["model"], sd15),
        Aspect(
            "Denoising",
            "20 steps, strength 0.65, guidance 7.0",
            f"{sampler['steps']} steps, strength {sampler['strength']}, guidance {sampler['guidance_scale']}",
            (sampler["steps"], sampler["strength"], sampler["guidance_scale"]) == (20, 0.65, 7.0),
        ),
        Aspect("Simulator", "Unity, own solver, no code", "our own, without recordings", False),
        Aspect(
            "Segmenter of the mIoU",
            "fcn_resnet50 trained on CholecSeg8k (its public protocol; that SimuScope reused it is not certain)",
            "fcn_resnet50 trained on your labelled frames"
            if paper_segmenter
            else f"{content['segmenter']}, trained on unstyled frames of other operations",
            False,
        ),
        Aspect(
            "Classes", "5", f"{len(content['classes'])}: {', '.join(content['classes'])}", len(content["classes"]) == 5
        ),
        Aspect(
            "Distance to real frames",
            "KID and FID, Inception, 10,000 frames against CholecT50",
            f"{content['style_distance_name']}, {rows['default']['frames']} frames against {content['style_set']}",
            False,
        ),
    ]

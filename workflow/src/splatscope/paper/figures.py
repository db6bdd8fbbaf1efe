"""The papers' figures from our results: pictures for the page. What is not there is None or empty."""

from __future__ import annotations

import numpy as np

from splatscope.config.paper import PaperConfig
from splatscope.files import read_json
from splatscope.images import decode_image
from splatscope.paper.inputs import PaperInputs
from splatscope.paper.restyling import figures_of
from splatscope.report.pictures import Picture, embed, embed_file, split_panels

WIDE = 1280  # pixels

# pictures of the stage proof and what they show
DETECTOR_PICTURES = {
    "precision_recall.png": "Precision over recall",
    "efficiency.png": "More real frames, with and without synthetic ones",
    "examples.png": "Detections on test frames",
}


def replay_pairs(inputs: PaperInputs, config: PaperConfig) -> list[dict]:
    """Figure 4 of Zeng et al.: the most and the least alike pair, with difference and masks."""
    content = inputs.json("evaluate", "replay.json")
    pairs = []
    for which, label in (("best", "Most alike"), ("worst", "Least alike")):
        path = inputs.file("evaluate", f"replay_{which}.png")
        if content is None or path is None:
            continue
        panels = [embed(panel, config.jpeg_quality) for panel in split_panels(path, **content["overlay"])]
        pairs.append({"label": label, "pair": content[which], "panels": panels})
    return pairs


def stage_picture(inputs: PaperInputs, stage: str, name: str, config: PaperConfig) -> Picture | None:
    """A picture that a stage drew."""
    path = inputs.file(stage, name)
    return None if path is None else embed_file(path, config.jpeg_quality, WIDE)


def detector_pictures(inputs: PaperInputs, config: PaperConfig) -> dict[str, Picture]:
    """Pictures of the stage proof by caption."""
    found = {caption: stage_picture(inputs, "proof", name, config) for name, caption in DETECTOR_PICTURES.items()}
    return {caption: picture for caption, picture in found.items() if picture is not None}


def restyled_pair(inputs: PaperInputs, config: PaperConfig) -> dict | None:
    """Figure 1 of SimuScope: a simulated frame and the same restyled, and more of them."""
    content = figures_of(inputs)
    if content is None:
        return None
    strip = inputs.restyled[1] / "before_after.jpg"
    if not strip.is_file():
        return None
    before, after = (
        row[:, : row.shape[1] // content["strip_columns"]]
        for row in np.vsplit(decode_image(strip.read_bytes(), str(strip)), 2)
    )
    return {
        "before": embed(before, config.jpeg_quality),
        "after": embed(after, config.jpeg_quality),
        "strip": embed_file(strip, config.jpeg_quality, WIDE),
    }


def extracts(inputs: PaperInputs, config: PaperConfig) -> list[dict]:
    """Figure 2 of Zeng et al.: the tool's Gaussians before and after extraction."""
    found = []
    for name, folder in inputs.extracts.items():
        picture = embed_file(folder / "extract.png", config.jpeg_quality, WIDE)
        if picture is None:
            continue
        report = read_json(folder / "extract.json")
        found.append({"name": name, "picture": picture, "counts": report["counts"], "paper": report["paper_gaussians"]})
    return found


def models(inputs: PaperInputs) -> list[dict]:
    """Size, quality and training time of our splats."""
    return [
        {"name": name, **read_json(folder / "splat.json")}
        for name, folder in inputs.splats.items()
        if (folder / "splat.json").is_file()
    ]

"""Putting tables and page together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from splatscope.config.paper import PaperConfig
from splatscope.files import write_table, write_text
from splatscope.paper import ablation_section, figures
from splatscope.paper.comparison import records
from splatscope.paper.detection import detection, detection_claim, segmentation, shortfall, worth
from splatscope.paper.image_quality import image_quality, image_quality_claim
from splatscope.paper.inputs import PaperInputs
from splatscope.paper.published import GAUSSIAN, MINIMAL, SIMUSCOPE
from splatscope.paper.restyling import restyling, restyling_claim
from splatscope.paper.text_tables import plain_text
from splatscope.report.overview import versions
from splatscope.report.page import render_page

_FOLDER = Path(__file__).parent


def write_paper(
    inputs: PaperInputs,
    config: PaperConfig,
    *,
    page_html: str | Path,
    tables_csv: str | Path,
    tables_txt: str | Path,
) -> None:
    """Write both papers' tables and figures beside ours: a page, a table of figures, and text for the terminal.

    What was not run is said in its place. Raises InputError when a file that is there cannot be read.
    """
    quality, detectors, styled = image_quality(inputs), detection(inputs), restyling(inputs)
    tables = [quality, detectors, styled]
    claims = [image_quality_claim(quality), detection_claim(inputs), restyling_claim(styled)]
    write_table(tables_csv, pd.DataFrame(records(tables)))
    write_text(tables_txt, plain_text(tables, claims))
    content = {
        "title": config.title,
        "phantom": inputs.phantom,
        "claims": claims,
        "quality": quality,
        "detectors": detectors,
        "styled": styled,
        "pairs": figures.replay_pairs(inputs, config),
        "methods": figures.stage_picture(inputs, "baselines", "baselines.png", config),
        "shortfall": shortfall(inputs),
        "worth": worth(inputs),
        "segmentation": segmentation(inputs),
        "detector_pictures": figures.detector_pictures(inputs, config),
        "restyled": figures.restyled_pair(inputs, config),
        "extracts": figures.extracts(inputs, config),
        "ablation": ablation_section.ablation(inputs, config),
        "models": figures.models(inputs),
        "sources": [GAUSSIAN, SIMUSCOPE, MINIMAL],
        "provenance": {"stated": dict(inputs.provenance), "versions": versions()},
    }
    write_text(page_html, render_page(_FOLDER / "paper.html", content))

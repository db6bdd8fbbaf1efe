"""Putting the page together."""

from __future__ import annotations

from pathlib import Path

import jinja2

from splatscope.config.report import ReportConfig
from splatscope.files import read_json, write_text
from splatscope.report import operations, overview, restyling, sections, text
from splatscope.report.inputs import ReportInputs

_FOLDER = Path(__file__).parent


def write_report(inputs: ReportInputs, config: ReportConfig, out: str | Path) -> None:
    """Write the report as one HTML file that needs nothing else: pictures, plots, style and script are inside.

    What a stage did not make (no truth, no scene recording, no LPIPS weights) is said in its place. Raises InputError
    when a file that is there cannot be read.
    """
    figures = read_json(inputs.summary)
    content = {
        "title": config.title,
        "figures": figures,
        "headline": overview.headline(figures),
        "hero": overview.hero(inputs, config),
        "flow": overview.flow(inputs, figures),
        "recordings": sections.recordings(inputs, config),
        "poses": sections.poses(inputs),
        "splats": sections.splats(inputs, config),
        "extracts": sections.extracts(inputs, config),
        "replay": sections.replay(inputs, config),
        "simulated": operations.simulated(inputs, config),
        "restyled": restyling.restyled(inputs, config),
        "datasets": sections.datasets(inputs, config),
        "left_out": overview.left_out(inputs),
        "provenance": overview.provenance(inputs),
        "keys": overview.keys(figures),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": text.number, "spread": text.spread, "duration": text.duration}
    assets = {name: (_FOLDER / f"report.{name}").read_text() for name in ("css", "js")}
    write_text(out, environment.get_template("report.html").render(content | assets))

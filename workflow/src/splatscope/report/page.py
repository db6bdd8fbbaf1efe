"""Putting the page together."""

from __future__ import annotations

from collections.abc import Mapping
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
    write_text(out, render_page(_FOLDER / "report.html", content))


def render_page(template: Path, content: Mapping) -> str:
    """A page of the report's look: `template` with `content`, its style sheet and its script, all in one text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": text.number, "spread": text.spread, "duration": text.duration}
    assets = {name: (_FOLDER / f"report.{name}").read_text() for name in ("css", "js")}
    return environment.get_template(template.name).render({**content, **assets})

"""Putting the page together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from splatscope.config.report import ReportConfig
from splatscope.files import read_json, write_text
from splatscope.report import browser, operations, overview, restyling, sections, splat_cloud, stage_costs, text
from splatscope.report.inputs import ReportInputs

_FOLDER = Path(__file__).parent
SCRIPTS = ("numbers", "compare", "dataset", "pictures", "grid", "frame_view", "filters", "browser", "splat_model")
SCRIPTS += ("splat_shaders", "splat_view")  # in the order in which they use each other


def write_report(inputs: ReportInputs, config: ReportConfig, out: str | Path) -> None:
    """Write the report as one HTML file that needs nothing else: pictures, plots, style and script are inside.

    What a stage did not make (no truth, no scene recording, no LPIPS weights) is said in its place. Raises InputError
    when a file that is there cannot be read.
    """
    figures = read_json(inputs.summary)
    costs = stage_costs.stage_costs(inputs.benchmarks)
    content = {
        "title": config.title,
        "figures": figures,
        "headline": overview.headline(figures),
        "flow": overview.flow(inputs, figures, costs),
        "browser": browser.browser(inputs, config),
        "recordings": sections.recordings(inputs, config),
        "poses": sections.poses(inputs),
        "splats": sections.splats(inputs, config),
        "clouds": splat_cloud.splat_clouds(inputs, config),
        "extracts": sections.extracts(inputs, config),
        "replay": sections.replay(inputs, config),
        "simulated": operations.simulated(inputs, config),
        "restyled": restyling.restyled(inputs, config),
        "datasets": sections.datasets(inputs, config),
        "checks": sections.checks(inputs),
        "costs": costs,
        "left_out": overview.left_out(inputs),
        "provenance": overview.provenance(inputs),
        "keys": overview.keys(figures),
    }
    write_text(out, render_page(_FOLDER / "report.html", content, SCRIPTS))


def render_page(template: Path, content: Mapping, scripts: Sequence[str] = ()) -> str:
    """A page of the report's look: `template` with `content`, its style sheet, and these of its scripts, all in one
    text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": text.number, "spread": text.spread, "duration": text.duration}
    style = (_FOLDER / "report.css").read_text()
    if scripts:
        style += (_FOLDER / "interactive.css").read_text()
    # one function around all, so that their names stay among themselves
    joined = "".join((_FOLDER / "scripts" / f"{name}.js").read_text() for name in scripts)
    script = f'(() => {{\n"use strict";\n{joined}}})();' if scripts else ""
    return environment.get_template(template.name).render({**content, "css": style, "js": script})

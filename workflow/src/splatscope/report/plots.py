"""Plots as inline SVG that follows the page's colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from splatscope.report.text import number

INK, FAINT = "#010101", "#020202"
SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306")
# colours that stand for the page's own: replaced by CSS variables in the SVG
_VARIABLES = {INK: "--ink", FAINT: "--line"} | {colour: f"--s{n}" for n, colour in enumerate(SERIES, start=1)}

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "splatscope",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@matplotlib.rc_context(_STYLE)
def line_plot(
    lines: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    dots: bool = False,
    zero: bool = False,
) -> str:
    """SVG of named lines (x, y); NaN breaks a line. `dots` draws points, `zero` starts the y axis at 0."""
    figure, axes = plt.subplots(figsize=(4.4, 2.5))
    for colour, (name, (x, y)) in zip(_cycle(len(lines)), lines.items()):
        style = {"marker": ".", "markersize": 3.5, "linewidth": 0} if dots else {"linewidth": 1.5}
        axes.plot(x, y, color=colour, label=name, **style)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if zero:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if len(lines) > 1:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(0, 1.16),
            ncols=len(lines),
            handlelength=1,
            columnspacing=1.2,
            fontsize=8.5,
        )
    return _svg(figure)


@matplotlib.rc_context(_STYLE)
def histogram_plot(edges: Sequence[float], counts: Sequence[int], x_label: str, y_label: str) -> str:
    """SVG of a histogram with one bar for each bin, whatever the bins' widths."""
    figure, axes = plt.subplots(figsize=(4.4, 2.3))
    places = np.arange(len(counts)) + 0.5
    axes.bar(places, counts, width=0.86, color=SERIES[0])
    axes.set_xticks(range(len(edges)), [f"{edge:g}" for edge in edges])
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return _svg(figure)


@matplotlib.rc_context(_STYLE)
def bar_plot(values: dict[str, float], x_label: str, digits: int = 0) -> str:
    """SVG of horizontal bars with their values written at the end."""
    figure, axes = plt.subplots(figsize=(4.4, 0.55 + 0.27 * max(1, len(values))))
    names = list(values)
    axes.barh(names, list(values.values()), height=0.66, color=SERIES[0])
    longest = max([*values.values(), 1e-9])
    for place, name in enumerate(names):
        axes.text(values[name] + 0.015 * longest, place, number(values[name], digits), va="center", fontsize=8.5)
    axes.set_xlim(0, 1.14 * longest)
    axes.invert_yaxis()
    axes.set_xlabel(x_label)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return _svg(figure)


def _cycle(count: int) -> list[str]:
    return [SERIES[number % len(SERIES)] for number in range(count)]


def _svg(figure: Figure) -> str:
    """The figure as an <svg> element: no ids that could clash with another plot's, colours as CSS variables."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    used = set(re.findall(r"#([A-Za-z_][\w.-]*)", text))
    text = re.sub(r' id="([^"]+)"', lambda match: match.group(0) if match.group(1) in used else "", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r" *font-family: [^;\"]*;?", "", text)  # the page's
    text = re.sub(r"<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"\s*\n\s*", " ", text)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()
    return re.sub(r"<svg [^>]*>", f'<svg class="plot" viewBox="0 0 {width} {height}" role="img">', text, count=1)

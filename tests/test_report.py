"""report: complete, self-contained, well-formed, and honest about what is missing."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import fake_results as fake
from html_outline import assert_whole
from splatscope.config.report import ReportConfig
from splatscope.report import plots, write_report
from splatscope.report.text import duration, number, spread


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    inputs = fake.write_results(folder)
    write_report(inputs, ReportConfig(), folder / "report.html")
    return inputs, (folder / "report.html").read_text()


def test_page_is_well_formed_and_needs_nothing_else(results):
    _, text = results
    assert_whole(text)
    assert len(text) < 8e6


def test_page_shows_the_figures(results):
    inputs, text = results
    figures = json.loads(inputs.summary.read_text())
    assert spread(figures["replay.psnr_mean"], figures["replay.psnr_std"], 2) in text
    assert spread(figures["replay.paper_mode.mask_iou_mean"], figures["replay.paper_mode.mask_iou_std"], 3) in text
    assert "27.80\u00a0±\u00a01.80" in text and "Nerfacto" in text  # the paper's own
    assert "needle driver" in text and "grasper" in text
    assert "class_floors" in text and "grasper 0.9" in text
    assert '0.333</td><td>1 of 1</td><td class="text">no<' in text
    assert "not available" in text and "alexnet-owt-7be5be79.pth" in text
    assert "no valid pose" in text and "the tracker log&#39;s last row is cut off" in text
    assert "212.3 ± 2.1 ms" in text and "error 3.0, refined 6.0\u00a0ms" in text and "0.21, 0.18, 0.30 mm" in text
    assert all(f"<code>{name}</code>" in text for name in figures)


def test_equal_results_give_an_equal_page(results, tmp_path):
    inputs, text = results
    write_report(inputs, ReportConfig(), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == text


def test_page_says_what_is_missing(tmp_path):
    inputs = fake.write_results(tmp_path, truth=False, scene=False, frames=2)
    write_report(inputs, ReportConfig(), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "There is no scene recording with tools" in text and "have no known truth" in text
    bare = replace(
        inputs,
        ingest={},
        sfm={},
        poses=None,
        splats={},
        extracts={},
        compose={},
        datasets={},
        evaluate=None,
        benchmarks=(),
    )
    write_report(bare, ReportConfig(), tmp_path / "bare.html")
    text = (tmp_path / "bare.html").read_text()
    for said in (
        "Not ingested",
        "No dataset was made",
        "No poses were solved",
        "No splat was trained",
        "no tool to extract",
        "no frames to browse",
        "no benchmark tables",
    ):
        assert said in text


def test_names_are_escaped(tmp_path):
    inputs = fake.write_results(tmp_path, truth=False, scene=False, frames=2)
    inputs = replace(inputs, recordings=[{"name": "<script>x</script>", "role": "tool"}])
    write_report(inputs, ReportConfig(browser_frames=0), tmp_path / "report.html")
    assert "<script>x" not in (tmp_path / "report.html").read_text()


def test_plots_follow_the_page_and_have_no_clashing_ids():
    svg = plots.line_plot({"a": ([0, 1, 2], [1, np.nan, 2]), "b": ([0, 1], [2, 3])}, "x", "y")
    assert "var(--ink)" in svg and "var(--s2)" in svg and "#0" not in svg and "font-family" not in svg
    other = plots.histogram_plot([0, 1, 2], [3, 4], "x", "y")
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (svg, other)]
    assert not ids[0] & ids[1]


def test_numbers_are_written_for_people():
    assert number(1234567.891, 1) == "1\u202f234\u202f567.9" and number(None) == "–" == number(float("nan"))
    assert number(-2.5, 1, "ms") == "\u22122.5\u00a0ms"
    assert spread(1.0, None, 2) == "1.00" and spread(1.0, 0.5, 1) == "1.0\u00a0±\u00a00.5"
    assert (
        duration(4.25) == "4.2\u00a0s"
        and duration(61) == "1\u00a0min 01\u00a0s"
        and duration(3725) == "1\u00a0h 02\u00a0min"
    )

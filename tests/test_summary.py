"""summary: stable keys, values where they exist and null where they do not, wall-clock time as a union."""

import json

import pytest

import fake_results as fake
from splatscope.summary import KEYS, SummaryInputs, keys_table, wall_seconds, write_summary


def test_keys_are_unique_and_explained():
    names = [key.name for key in KEYS]
    assert len(set(names)) == len(names) and all(key.meaning for key in KEYS)
    assert all(f"| `{name}` |" in keys_table() for name in names)
    for name in (
        "dataset.frames",
        "poses.hand_eye.translation_error_mm",
        "poses.tool.rotation_error_deg",
        "poses.clock_offset_error_ms",
        "replay.psnr_mean",
        "replay.paper_mode.mask_iou_mean",
        "run.wall_s",
    ):
        assert name in names


def test_nothing_known_is_null(tmp_path):
    figures = write_summary(SummaryInputs(), tmp_path / "summary.json")
    assert set(figures) == {key.name for key in KEYS if "<" not in key.name} and set(figures.values()) == {None}
    assert json.loads((tmp_path / "summary.json").read_text()) == figures


def test_figures_come_from_their_files(tmp_path):
    inputs = fake.write_results(tmp_path)
    figures = json.loads(inputs.summary.read_text())
    replay = json.loads((tmp_path / "evaluate/replay.json").read_text())
    paper = json.loads((tmp_path / "evaluate/replay_paper.json").read_text())
    truth = json.loads((tmp_path / "evaluate/truth.json").read_text())
    manifest = json.loads((tmp_path / "dataset/sampled/manifest.json").read_text())
    expected = {
        "dataset.frames": manifest["counts"]["images"],
        "dataset.annotations": manifest["counts"]["annotations"],
        "replay.psnr_mean": replay["psnr"]["mean"],
        "replay.psnr_std": replay["psnr"]["std"],
        "replay.mask_iou_mean": 1.0,
        "replay.lpips_mean": None,
        "replay.paper_mode.psnr_mean": paper["psnr"]["mean"],
        "replay.paper_mode.box_iou_mean": paper["box_iou"]["mean"],
        "poses.hand_eye.translation_error_mm": truth["hand_eye"]["translation_error_mm"],
        "poses.tool.translation_error_mm": truth["tools"]["needle_driver"]["translation_error_mm"],
        "poses.clock_offset_error_ms": pytest.approx(3),
        "poses.registered_fraction": pytest.approx(118 / 122, abs=1e-6),
        "restyle.frames": 190,
        "restyle.miou_raw": 0.8,
        "restyle.miou_gate_on": pytest.approx(0.78),
        "restyle.miou_gate_off": pytest.approx(0.76),
        "restyle.dropped_fraction": 0.05,
        "restyle.warp_error_ratio": pytest.approx(0.04 / 0.05),
        "restyle.style_distance": pytest.approx(1.6),
        "restyle.style_distance_name": "kernel distance (a network)",
        "splat.site.heldout_psnr": 28.31,
        "splat.needle_driver.gaussians": 21034,
    }
    assert {key: figures[key] for key in expected} == expected
    documented = {key.name.replace("<model>", model) for key in KEYS for model in ("site", "needle_driver")}
    assert set(figures) == documented


def test_figures_of_the_detectors_are_means_over_folds(tmp_path):
    figures = {"recall": 0.9, "precision": 0.8, "map50": 0.85, "map50_95": 0.6}
    arms = {
        arm: {name: {"mean": value - shift, "std": None} for name, value in figures.items()}
        for arm, shift in (("real", 0.1), ("synthetic", 0.0), ("mixed", 0.05))
    }
    (tmp_path / "proof.json").write_text(json.dumps({"detection": arms}))
    found = write_summary(SummaryInputs(proof=tmp_path / "proof.json"), tmp_path / "summary.json")
    known = {key: value for key, value in found.items() if key.startswith("proof.") and value is not None}
    assert known == pytest.approx(
        {
            f"proof.{arm}.{name}": figures[name] - shift
            for arm, shift in (("real", 0.1), ("synthetic", 0.0), ("mixed", 0.05))
            for name in ("recall", "precision", "map50")
        }
    )


def test_wall_seconds_is_the_union_of_the_jobs(tmp_path):
    for name, seconds, end in (("a", 10, 110), ("b", 5, 108), ("c", 10, 115), ("d", 3, 1000)):
        fake.write_benchmark(tmp_path / f"{name}.tsv", seconds, end)
    # a and b lie in 100..110, c adds 110..115, d stands alone after a pause
    assert wall_seconds(sorted(tmp_path.glob("*.tsv"))) == 18
    (tmp_path / "e.tsv").write_text("s\th:m:s\nNA\tNA\n")
    assert wall_seconds(sorted(tmp_path.glob("*.tsv"))) == 18
    assert wall_seconds([]) is None

"""paper: published figures beside ours, honest about protocol, and whole with and without each part."""

import csv
import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import fake_results as fake
from html_outline import assert_whole
from splatscope.ablations.cases import list_cases
from splatscope.ablations.gather import gather_cases
from splatscope.baselines.comparison import compare_baselines
from splatscope.config.ablation import AblationConfig
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.evaluate import EvaluateConfig
from splatscope.config.model import Config
from splatscope.config.paper import PaperConfig
from splatscope.config.proof import ProofStageConfig
from splatscope.evaluate import evaluate_replay
from splatscope.evaluate.replay import METRICS
from splatscope.files import read_json, write_json, write_table
from splatscope.paper.comparison import Aspect, Cell, Column, Comparison, Measure, Row
from splatscope.paper.detection import detection, detection_claim, shortfall
from splatscope.paper.image_quality import image_quality, image_quality_claim
from splatscope.paper.inputs import PaperInputs
from splatscope.paper.page import write_paper
from splatscope.paper.published import DETECTION, GAUSSIAN, IMAGE_QUALITY, Value
from splatscope.paper.restyling import restyling, restyling_claim
from splatscope.proof.detection_tables import detections_table
from splatscope.proof.detectors import Detections
from splatscope.proof.evaluation import ProofOutputs, evaluate_proof
from splatscope.proof.gathering import write_synthetic_set
from splatscope.proof.image_sets import read_set
from splatscope.proof.run_list import detector_runs, segmenter_runs
from splatscope.proof.runs import Sizes
from splatscope.shards import write_shard
from test_baselines_table import methods_in, outputs_in

# of the stage proof, as far as the page reads it
PROOF_SETTINGS = {
    "width": 256,
    "height": 224,
    "detection": {"epochs": 30, "ultralytics_model": "yolov5n.yaml"},
}


def spread(mean, std=None, low=None, high=None):
    return {"mean": mean, "std": std, "t_interval": [low, high], "bootstrap_interval": [low, high]}


def write_proof(folder, gain=0.1, reach=0.05, images=64, detector="yolox_nano"):
    arms = {
        arm: {
            metric: spread(value, 0.02, value - 0.04, value + 0.04)
            for metric in ("precision", "recall", "map50", "map50_95")
        }
        for arm, value in (("real", 0.7), ("synthetic", 0.7 + gain), ("mixed", 0.75))
    }
    interval = (None, None) if reach is None else (gain - reach, gain + reach)
    arms["synthetic_minus_real"] = {metric: spread(gain, None, *interval) for metric in arms["real"]}
    content = {
        "detector": detector,
        "synthetic": "sampled",
        "images": images,
        "test_images": 60,
        "folds": 3,
        "detection": arms,
        "efficiency": {"metrics": {"map50": {"worth": "64 synthetic images are worth 31 real ones"}}},
        "segmentation": {"binary": {"real": {"miou": spread(0.81), "iou": {"background": 0.97, "tool": 0.65}}}},
    }
    write_json(folder / "proof/proof.json", content)
    fake.write_png(folder / "proof/examples.png", fake.tissue(1))
    return content


def write_baselines(folder, ngp=16.0, nerfacto=22.0):
    def row(method, psnr):
        metrics = {name: {"mean": None, "std": None} for name in ("ssim", "lpips", "mask_iou")}
        return {"method": method, "images": 3, "training_seconds": 185.0, "psnr": {"mean": psnr, "std": 1.5}, **metrics}

    rows = [row("ours", 20.0), row("ngp", ngp), row("nerfacto", nerfacto)]
    write_json(folder / "baselines/baselines.json", {"rows": rows})
    fake.write_png(folder / "baselines/baselines.png", np.hstack([fake.tissue(index) for index in range(4)]))


def write_ablation(folder, truth=True):
    config = AblationConfig(jitter_mm=(0, 1, 2), jitter_deg=(0, 1), distortion=((1, 1),), views_percent=(50,))
    cases, rows, frames = list_cases(config), {}, np.arange(4)
    for case in cases:
        loss = 0.06 * case.setup.error.mm + 0.03 * case.setup.error.deg
        table = pd.DataFrame({"recording": "scene", "frame": frames, **{metric: np.nan for metric in METRICS}})
        table = table.assign(psnr=29 - 20 * loss - 0.1 * frames, mask_iou=0.95 - loss if truth else np.nan)
        rows[case.name] = folder / f"ablation/cases/{case.name}.parquet"
        rows[case.name].parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(rows[case.name], index=False)
        fake.write_png(folder / f"ablation/cases/{case.name}.png", fake.tissue(1))
    files = {"table_csv": "ablation.csv", "cells_parquet": "ablation.parquet", "summary_json": "ablation.json"}
    outputs = {name: folder / "ablation" / file for name, file in (files | {"plot_png": "tracker_error.png"}).items()}
    return gather_cases(cases, rows, config, **outputs)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for dataset, shift in (("replay", 0.0), ("replay_paper", 2.0)):
        shards, recordings, outputs = fake.write_replay(folder, 3, shift, dataset)
        evaluate_replay(shards, recordings, EvaluateConfig(), outputs)
    counts = [{"step": "all", "gaussians": 9000}, {"step": "cluster", "gaussians": 2300}]
    write_json(folder / "extract/needle_driver/extract.json", {"counts": counts, "paper_gaussians": 4000})
    fake.write_png(folder / "extract/needle_driver/extract.png", fake.tissue(2))
    fake.write_splat(folder / "splat/site")
    restyle = read_json(fake.write_restyling(folder))
    restyle |= {"frechet_distance_name": "Fréchet distance (a network)"}
    restyle["rows"] = [row | {"frechet_distance": 300.0} for row in restyle["rows"]]
    write_json(folder / "evaluate/restyle_simulated_proof.json", restyle)
    write_proof(folder)
    write_baselines(folder)
    write_ablation(folder)
    return PaperInputs(
        phantom=True,
        settings=Config().model_dump(mode="json") | {"proof": PROOF_SETTINGS},
        evaluate=folder / "evaluate",
        baselines=folder / "baselines",
        proof=folder / "proof",
        restyled=("simulated", folder / "restyle/simulated"),
        ablation=folder / "ablation",
        extracts={"needle_driver": folder / "extract/needle_driver"},
        splats={"site": folder / "splat/site"},
        provenance={"seed": "0"},
    )


def write(inputs, folder):
    """(page, records of tables.csv, text)"""
    files = {
        "page_html": folder / "report.html",
        "tables_csv": folder / "tables.csv",
        "tables_txt": folder / "tables.txt",
    }
    write_paper(inputs, PaperConfig(), **files)
    with open(files["tables_csv"], newline="") as stream:
        rows = list(csv.DictReader(stream))
    return files["page_html"].read_text(), rows, files["tables_txt"].read_text()


@pytest.fixture(scope="module")
def written(inputs, tmp_path_factory):
    return write(inputs, tmp_path_factory.mktemp("paper"))


def test_page_is_whole(written):
    page, _, _ = written
    outline = assert_whole(page)
    assert len(outline.images) > 20
    assert "Not run here" not in page
    for leaked in (r"\bNone\b", r"\bnan\b", r"\bundefined\b"):
        assert not re.search(leaked, page)


def test_page_text_and_csv_show_the_same_figures(inputs, written):
    page, rows, text = written
    by_place = {(row["table"], row["row"], row["metric"]): row for row in rows}
    nerfacto = by_place["image_quality", "Nerfacto", "psnr"]
    assert (nerfacto["paper_mean"], nerfacto["ours_mean"]) == ("22.736", "22.0") and nerfacto["same_protocol"] == "no"
    assert "22.74 ± 1.44" in text and "22.00 ± 1.50" in text
    assert "22.74<small> ± 1.44</small>" in page and "22.00<small> ± 1.50</small>" in page
    replay = json.loads((inputs.evaluate / "replay.json").read_text())
    assert by_place["image_quality", "Gaussian splatting", "psnr"]["ours_mean"] == str(replay["psnr"]["mean"])
    synthetic = by_place["detection", "Trained on synthetic frames", "recall"]
    assert synthetic["paper_mean"] == "0.901" and float(synthetic["ours_mean"]) == pytest.approx(0.8)
    assert float(synthetic["ours_low"]) == pytest.approx(0.76) and "[0.760, 0.840]" in page
    assert "64 synthetic images are worth 31 real ones" in page
    assert by_place["restyling", "Restyled", "miou"]["paper_mean"] == "0.7065"
    assert "embedded phantom" in synthetic["differs"] and "trained in 3\u00a0min 05\u00a0s" in page
    assert max(map(len, text.splitlines())) <= 150


def test_a_distance_over_other_features_is_not_called_kid(inputs):
    table = restyling(inputs)
    restyled = next(row for row in table.rows if row.label == "Restyled")
    assert restyled.cells["kid"] == Cell(Value(0.0690), None) and restyled.cells["kernel"].ours.mean == 1.6
    content = read_json(inputs.evaluate / "restyle_simulated_proof.json")
    named = inputs.evaluate / "restyle_named_proof.json"
    write_json(named, content | {"style_distance_name": "KID", "frechet_distance_name": "FID"})
    table = restyling(replace(inputs, restyled=("named", inputs.restyled[1])))
    restyled = next(row for row in table.rows if row.label == "Restyled")
    assert restyled.cells["kid"].ours.mean == 1.6 and restyled.cells["fid"].ours.mean == 300.0
    assert "kernel" not in restyled.cells


@pytest.mark.parametrize("missing", ["evaluate", "baselines", "proof", "restyled", "ablation"])
def test_page_without_one_part_says_so(inputs, missing, tmp_path):
    page, _, text = write(replace(inputs, **{missing: None}), tmp_path)
    assert_whole(page)
    if missing in ("proof", "restyled", "ablation"):
        assert "Not run here." in page
    if missing != "ablation":
        assert "[not run]" in text


def test_the_stages_own_files_are_read(inputs, tmp_path):
    """Not as this file makes them up, but as proof and baselines write them."""
    methods, real = methods_in(tmp_path)
    outputs = outputs_in(tmp_path)
    compare_baselines(methods, real, 3, **outputs)
    evaluated = write_evaluated_proof(tmp_path / "proof")
    settings = inputs.settings | {"proof": ProofStageConfig().model_dump(mode="json")}
    given = replace(inputs, baselines=outputs["summary_json"].parent, proof=tmp_path / "proof", settings=settings)
    page, rows, _ = write(given, tmp_path / "page")
    assert_whole(page)
    by_place = {(row["table"], row["row"], row["metric"]): row["ours_mean"] for row in rows}
    nerfacto = json.loads(methods["nerfacto"].replay.read_text())["psnr"]["mean"]
    assert float(by_place["image_quality", "Nerfacto", "psnr"]) == nerfacto
    recall = evaluated["detection"]["mixed"]["recall"]["mean"]
    assert float(by_place["detection", "Trained on both, half and half", "recall"]) == recall
    assert evaluated["efficiency"]["metrics"]["map50"]["worth"] in page
    assert "background 0.978, tool 0.800" in page


def write_evaluated_proof(folder):
    """proof.json over four test images, every arm's boxes a little off, segmenters with a fifth of the tool missed."""
    folder.mkdir(parents=True)
    write_shard(folder / "shard.tar", [fake.frame(index) for index in range(4)])
    size = (fake.CAMERA.width, fake.CAMERA.height)
    write_synthetic_set(folder / "test.tar", [folder / "shard.tar"], fake.CLASS_TABLE, size, AnnotateConfig())
    config, detections, confusions = ProofStageConfig(folds=2, efficiency_percents=(50,)), {}, {}
    for run in detector_runs(config, True):
        shift = np.float32([2 + run.fold, 0, 0, 0])
        found = [
            Detections(item.boxes + shift, np.full(len(item.boxes), 0.9, np.float32), item.classes)
            for item in read_set(folder / "test.tar")
        ]
        detections[run] = folder / f"{run.name}.parquet"
        write_table(detections[run], detections_table(found))
    for task, run in segmenter_runs(config):
        rows = [(image, *cells) for image in range(4) for cells in ((0, 0, 900), (1, 1, 80), (1, 0, 20))]
        confusions[task, run] = folder / f"{task}_{run.name}.parquet"
        write_table(confusions[task, run], pd.DataFrame(rows, columns=["image", "true", "predicted", "pixels"]))
    pictures = ("precision_recall.png", "examples.png", "efficiency.png")
    outputs = ProofOutputs(*(folder / name for name in ("d.parquet", "s.parquet", "proof.json", *pictures)))
    about = {"detector": "yolox_nano", "synthetic": "sampled", "samples": 100, "seed": 0}
    return evaluate_proof(folder / "test.tar", detections, confusions, Sizes(4, 50), **about, outputs=outputs)


def test_page_without_anything(inputs, tmp_path):
    bare = PaperInputs(phantom=False, settings=inputs.settings)
    page, rows, text = write(bare, tmp_path)
    assert_whole(page)
    assert page.count("Not run here.") == 5 and "There is no tool recording" in page
    assert all(row["ours_mean"] == "" and row["same_protocol"] == "not run" for row in rows)
    assert text.count("[not run]") == 3 and "27.80 ± 1.80" in text


def test_page_without_truth_has_no_mask_iou(inputs, tmp_path):
    write_ablation(tmp_path, truth=False)
    page, _, _ = write(replace(inputs, ablation=tmp_path / "ablation"), tmp_path)
    assert_whole(page)
    assert "PSNR, dB under jitter" in page and "Mask IoU under jitter" not in page
    assert "of PSNR." in page and "of mask IoU" not in page


@pytest.mark.parametrize(
    ("gain", "reach", "verdict"),
    [(0.1, 0.05, "reproduced"), (0.1, 0.2, "undecided"), (-0.1, 0.05, "contradicted"), (0.1, None, "undecided")],
)
def test_verdict_on_detectors(inputs, tmp_path, gain, reach, verdict):
    write_proof(tmp_path, gain, reach)
    found = replace(inputs, proof=tmp_path / "proof")
    assert detection_claim(found).verdict == verdict
    said = " ".join(shortfall(found))
    assert bool(said) == (verdict != "reproduced")
    assert ("did not beat as many real ones in recall and mAP50" in said) == (verdict == "contradicted")
    assert not said or "half and half. Against real frames: recall +0.050, mAP50 +0.050." in said


@pytest.mark.parametrize(("nerfacto", "verdict"), [(10.0, "reproduced"), (60.0, "contradicted")])
def test_verdict_on_image_quality(inputs, tmp_path, nerfacto, verdict):
    write_baselines(tmp_path, ngp=9.0, nerfacto=nerfacto)
    claim = image_quality_claim(image_quality(replace(inputs, baselines=tmp_path / "baselines")))
    assert claim.verdict == verdict
    assert claim.published == "+5.1 dB over Nerfacto, +11.2 dB over Instant-NGP"


def test_verdict_on_restyling(inputs):
    assert restyling_claim(restyling(inputs)).verdict == "reproduced"  # 0.78 of 0.80
    content = read_json(inputs.evaluate / "restyle_simulated_proof.json")
    content["rows"][1]["miou"] = 0.4
    write_json(inputs.evaluate / "restyle_worse_proof.json", content)
    claim = restyling_claim(restyling(replace(inputs, restyled=("worse", inputs.restyled[1]))))
    assert claim.verdict == "contradicted" and "50.0 %" in claim.ours


def test_protocol_of_the_paper_is_recognised(inputs, tmp_path):
    write_proof(tmp_path, images=1568, detector="ultralytics")
    settings = inputs.settings | {
        "proof": {"width": 640, "height": 640, "detection": {"epochs": 100, "ultralytics_model": "yolov5s.yaml"}}
    }
    aspects = {
        aspect.what: aspect
        for aspect in detection(replace(inputs, proof=tmp_path / "proof", settings=settings)).protocol
    }
    assert [aspects[what].same for what in ("Detector", "Input size", "Epochs", "Training images per arm")] == [
        True
    ] * 4
    assert aspects["Test images"].same is False  # 60, not 300
    ours = {aspect.what: aspect.same for aspect in detection(inputs).protocol}
    assert not any(ours[what] for what in ("Detector", "Input size", "Epochs", "Training images per arm"))


def table_of(*same):
    aspects = [Aspect(str(number), "a", "b", value) for number, value in enumerate(same)]
    rows = [Row("x", {"m": Cell(None, Measure(1.0))})]
    return Comparison("k", "t", GAUSSIAN, "Table", "", [Column("m", "m", "↑")], rows, aspects)


def test_same_protocol_needs_every_point():
    assert table_of(True, True).same_protocol == "yes"
    assert table_of(True, None).same_protocol == "as far as stated"
    assert table_of(True, None, False).same_protocol == "no"
    unmeasured = replace(table_of(True), rows=[Row("x", {"m": Cell(Value(1.0), None)})])
    assert unmeasured.same_protocol == "not run"


def test_published_gains_are_those_that_the_paper_speaks_of():
    relative = DETECTION["synthetic"]["recall"].mean / DETECTION["real"]["recall"].mean - 1
    assert math.isclose(relative, 0.12, abs_tol=0.001)  # the abstract's "12 %"
    assert max(IMAGE_QUALITY, key=lambda method: IMAGE_QUALITY[method]["psnr"].mean) == "ours"
    assert min(IMAGE_QUALITY, key=lambda method: IMAGE_QUALITY[method]["lpips"].mean) == "ours"


def test_equal_results_give_equal_files(inputs, written, tmp_path):
    page, _, text = write(inputs, tmp_path)
    assert (page, text) == (written[0], written[2])

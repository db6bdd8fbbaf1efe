"""baselines: the table and picture of all methods, and what the summary takes from it."""

import json

import pandas as pd
import pytest

import fake_results as fake
from splatscope.baselines.comparison import GAP, SHOWN, TITLE_HEIGHT, Method, compare_baselines
from splatscope.config.evaluate import EvaluateConfig
from splatscope.errors import InputError
from splatscope.evaluate import evaluate_replay
from splatscope.files import write_json
from splatscope.images import decode_image
from splatscope.summary import SummaryInputs, write_summary

MODELS = {"site": 60.0, "needle_driver": 40.0}  # seconds of training


def methods_in(folder, frames=4):
    """Three replays of different quality, judged, and the files of their trainings."""
    methods = {}
    for number, name in enumerate(("ours", "ngp", "nerfacto")):
        dataset = "replay" if name == "ours" else f"replay_{name}"
        shards, recordings, outputs = fake.write_replay(folder, frames, 2.0 * number, dataset)
        evaluate_replay(shards, recordings, EvaluateConfig(), outputs)
        training = {}
        for model, seconds in MODELS.items():
            content = {"heldout_psnr_mean": 30.0 - number, "seconds": seconds + number, "iterations": 10}
            content |= {"gaussians": 100} if name == "ours" else {"parameters": 7, "cpu_seconds": 5.0}
            training[model] = folder / f"{name}_{model}.json"
            write_json(training[model], content)
        methods[name] = Method(outputs.summary_json, shards, training)
    return methods, recordings


def outputs_in(folder):
    return {
        "summary_json": folder / "baselines.json",
        "table_csv": folder / "baselines.csv",
        "picture_png": folder / "baselines.png",
    }


def test_a_row_for_each_method(tmp_path):
    methods, real = methods_in(tmp_path)
    out = outputs_in(tmp_path)
    compare_baselines(methods, real, 3, **out)
    rows = {row["method"]: row for row in json.loads(out["summary_json"].read_text())["rows"]}
    assert list(rows) == ["ours", "ngp", "nerfacto"]
    for name, row in rows.items():
        judged = json.loads(methods[name].replay.read_text())
        assert row["psnr"] == {key: judged["psnr"][key] for key in ("mean", "std")} and row["images"] == 4
        assert row["lpips"]["mean"] is None and row["ssim"]["mean"] == judged["ssim"]["mean"]
    assert rows["ours"]["psnr"]["mean"] > rows["ngp"]["psnr"]["mean"] > 0
    assert rows["ours"]["models"]["site"]["parameters"] == 100 * 59 and rows["ours"]["training_seconds"] == 100
    assert rows["nerfacto"]["training_seconds"] == 104 and rows["ngp"]["models"]["site"]["parameters"] == 7
    table = pd.read_csv(out["table_csv"])
    assert table["method"].tolist() == list(rows) and table["psnr_mean"][1] == rows["ngp"]["psnr"]["mean"]
    picture = decode_image(out["picture_png"].read_bytes())
    height, width = fake.CAMERA.height, fake.CAMERA.width
    assert picture.shape == (TITLE_HEIGHT + GAP + SHOWN * (height + GAP), 4 * width + 3 * GAP, 3)

    figures = write_summary(SummaryInputs(baselines=out["summary_json"]), tmp_path / "summary.json")
    for key, name in (("ours", "ours"), ("baseline.ngp", "ngp"), ("baseline.nerfacto", "nerfacto")):
        assert figures[f"proof.{key}.psnr_mean"] == rows[name]["psnr"]["mean"]


def test_replays_of_different_frames_are_not_compared(tmp_path):
    methods, real = methods_in(tmp_path)
    fewer = json.loads(methods["ngp"].replay.read_text()) | {"images": 3}
    write_json(methods["ngp"].replay, fewer)
    with pytest.raises(InputError, match="'ngp': 3"):
        compare_baselines(methods, real, 3, **outputs_in(tmp_path))

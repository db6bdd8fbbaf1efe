"""restyle: a shard to its restyled one with labels kept, dropped frames counted, and the figures of the evaluation."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from proof_material import CLASS_TABLE, NearestColour, frame
from restyle_material import make_model
from splatscope.config.restyle import RestyleConfig
from splatscope.config.restyle_proof import ProofConfig
from splatscope.errors import InputError
from splatscope.images import encode_png
from splatscope.restyle import evaluation, stage
from splatscope.restyle.pictures import draw_restyling
from splatscope.shards import read_shard, write_shard

FRAMES, KEPT = 5, 3


def clip_frame(index: int):
    """Nothing moves between frames, so exact flow is zero."""
    still = replace(frame(0, 64, 64), key=f"{index:06d}")
    flow = np.zeros((64, 64, 3), np.float32)
    flow[..., 2] = 1
    points = np.zeros((64, 64, 4), np.float32)
    points[..., 0] = still.class_map
    points[..., 1:3] = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1)
    noise = np.random.default_rng(index).integers(-3, 4, still.rgb.shape)
    still.rgb = (still.rgb + noise).clip(0, 255).astype(np.uint8)
    still.meta = {"camera": {"fx": 60.0, "fy": 60.0, "cx": 32, "cy": 32, "width": 64, "height": 64}}
    still.flow_forward, still.flow_backward, still.surface_points = flow, flow.copy(), points
    return still


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("restyle")
    write_shard(path / "episode_000000.tar", (clip_frame(index) for index in range(FRAMES)))
    make_model(path / "model")
    return path


@pytest.fixture
def judged(monkeypatch):
    """Colours tell classes: no network to train, and one that noise cannot fool."""
    monkeypatch.setattr(stage, "load_segmenter", lambda *_: NearestColour())
    monkeypatch.setattr(evaluation, "load_segmenter", lambda *_: NearestColour())


def settings(folder, limit: float, **changes) -> RestyleConfig:
    sampler = {"steps": 4, "strength": 0.5, "guidance_scale": 1.0}
    gate = {"limit": limit, "strength_factors": [1.0, 0.5], "max_blended": 0.05}
    return RestyleConfig.model_validate(
        {"model": str(folder / "model"), "frames_per_shard": KEPT, "sampler": sampler, "gate": gate} | changes
    )


def restyle(folder, out, config) -> list:
    stage.restyle_shard(
        folder / "episode_000000.tar",
        config,
        0,
        CLASS_TABLE,
        segmenter_file="stands in",
        frames_tar=out / "episode_000000.tar",
        scores_parquet=out / "scores.parquet",
    )
    return list(read_shard(out / "episode_000000.tar"))


def test_keys_labels_and_maps_stay_and_colour_changes(folder, tmp_path, judged):
    restyled = restyle(folder, tmp_path, settings(folder, limit=0))
    raw = {item.key: item for item in read_shard(folder / "episode_000000.tar")}
    assert [item.key for item in restyled] == ["000001", "000002", "000003"]  # the middle
    for item in restyled:
        before = raw[item.key]
        for name in ("class.png", "instance.png", "depth.png", "flow_forward.png", "points.png"):
            assert item.stored[name] == before.stored[name]
        assert np.abs(item.rgb.astype(int) - before.rgb).mean() > 5
        assert item.meta["restyle"]["outcome"] == "ungated" and item.meta["camera"] == before.meta["camera"]
    assert pd.read_parquet(tmp_path / "scores.parquet")["outcome"].tolist() == ["ungated"] * KEPT
    again = restyle(folder, tmp_path / "again", settings(folder, limit=0))
    assert [item.stored["rgb.png"] for item in again] == [item.stored["rgb.png"] for item in restyled]


def test_frames_that_lose_their_labels_are_dropped_and_counted(folder, tmp_path, judged):
    """A model of random weights keeps nothing, so a strict gate lets nothing through."""
    assert restyle(folder, tmp_path, settings(folder, limit=0.95)) == []
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    assert scores["outcome"].tolist() == ["dropped"] * KEPT and (scores["tries"] == 2).all()


def test_evaluation_compares_variants_with_the_unstyled_frames(folder, tmp_path, judged):
    (tmp_path / "real").mkdir()
    for index in range(4):
        image = (clip_frame(index).rgb * 0.6 + 80).astype(np.uint8)
        (tmp_path / "real" / f"{index}.png").write_bytes(encode_png(image))
    shard = tmp_path / "copied" / "episode_000000.tar"
    shard.parent.mkdir()
    write_shard(
        shard,
        (
            replace(item, meta=item.meta | {"restyle": {"model": "none", "licence": "none"}})
            for item in read_shard(folder / "episode_000000.tar", keys={"000001", "000002", "000003"})
        ),
    )
    drawn = tmp_path / "drawn"
    restyle(folder, drawn, settings(folder, limit=0, consistency="none"))
    scores = pd.DataFrame({"key": ["000000", "000001"], "outcome": ["dropped", "passed"]})
    scores.to_parquet(tmp_path / "scores.parquet")
    figures = evaluation.evaluate_restyling(
        [folder / "episode_000000.tar"],
        {"default": [shard], "per_frame": [drawn / "episode_000000.tar"]},
        [tmp_path / "scores.parquet"],
        CLASS_TABLE,
        ProofConfig(style_frames=str(tmp_path / "real")),
        segmenter_file="stands in",
        lpips_weights=None,
        seed=0,
        device="cpu",
        summary_json=tmp_path / "figures.json",
        table_csv=tmp_path / "figures.csv",
    )
    rows = {row["variant"]: row for row in figures["rows"]}
    raw, copied, random = rows["raw"], rows["default"], rows["per_frame"]
    assert raw["frames"] == copied["frames"] == KEPT and figures["frames"] == figures["dropped"] == 1
    assert copied["miou"] == raw["miou"] > 0.9 and copied["miou_ratio"] == 1
    assert random["miou"] < 0.7 * raw["miou"]
    assert copied["warp_error"] == pytest.approx(copied["warp_error_raw"])
    assert random["warp_error"] > 2 * raw["warp_error"]
    assert copied["style_distance"] == pytest.approx(raw["style_distance"])
    assert "Inception" not in figures["style_distance_name"] and "KID" not in figures["style_distance_name"]
    assert json.loads((tmp_path / "figures.json").read_text())["rows"][0]["variant"] == "raw"
    assert list(pd.read_csv(tmp_path / "figures.csv")["variant"]) == ["raw", "default", "per_frame"]


def test_before_and_after_in_one_picture(folder, tmp_path):
    shards = [folder / "episode_000000.tar"]
    draw_restyling(shards, shards, tmp_path / "a.jpg", tmp_path / "a.mp4")
    assert (tmp_path / "a.jpg").stat().st_size > 1000 and (tmp_path / "a.mp4").stat().st_size > 1000


def test_too_few_shards_are_said_to_be(tmp_path):
    with pytest.raises(InputError, match="less than three shards"):
        stage.train_judge([], CLASS_TABLE, "gate", ProofConfig(), 0, device="cpu", out=tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_variants_change_only_what_they_name():
    config = RestyleConfig(variants={"weak": {"sampler": {"strength": 0.2}}})
    weak = config.variant("weak")
    assert weak.sampler == config.sampler.model_copy(update={"strength": 0.2}) and weak.gate == config.gate
    assert config.variant("per_frame").gate.limit == 0 and config.variant("per_frame").consistency == "none"
    with pytest.raises(ValueError, match="strength"):
        RestyleConfig(variants={"wrong": {"sampler": {"strength": 7}}})
    with pytest.raises(ValueError, match="gate_off"):
        RestyleConfig(variants={"gate_off": {}})

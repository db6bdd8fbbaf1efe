"""check: each check finds what was planted for it and nothing in clean frames; a failed one says so and shows it."""

from functools import partial

import cv2
import numpy as np
import pandas as pd
import pytest

import fake_results as fake
from splatscope.checks import nearest as nearest_module
from splatscope.checks.declared import refuse_impossible
from splatscope.checks.depth import contradicting_pixels
from splatscope.checks.measuring import kept_annotations
from splatscope.checks.nearest import nearest
from splatscope.checks.outcome import MOST_SHOWN
from splatscope.checks.requirement import require_passed
from splatscope.checks.stage import CheckOutputs, check_dataset
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.checks import CheckLimits, ChecksConfig
from splatscope.errors import InputError
from splatscope.images import decode_image, encode_png
from splatscope.shards import write_shard

OFF = CheckLimits(min_visibility=None, max_depth_disagreement=None, min_difference=None)
ANNOTATE = AnnotateConfig()
DRIVER_PIXELS = fake.frame(2, second=True).visible_mask(1)


def only(**limits) -> CheckLimits:
    """These limits and no others."""
    return CheckLimits.model_validate(OFF.model_dump() | limits)


def clean_frames() -> list:
    return [fake.frame(index, second=index % 2 == 0) for index in range(8)]


def run(folder, frames, limits, processes=1):
    """Check frames in two shards; the results and where everything lies."""
    shards = [folder / "shard_000000.tar", folder / "shard_000001.tar"]
    half = len(frames) // 2
    for shard, part in zip(shards, (frames[:half], frames[half:])):
        write_shard(shard, part)
    out = CheckOutputs(folder / "a.json", folder / "a.jpg", folder / "a.parquet")
    table = fake.CLASS_TABLE
    results = check_dataset(shards[::-1], table, limits, ANNOTATE, out, dataset="a", processes=processes)
    return results, out


def found_by(results) -> dict:
    """The one check that was on."""
    (check,) = results["checks"]
    assert check["passed"] == results["passed"] == (check["offenders"] == 0)
    return check


def with_hidden_tool():
    frame = fake.frame(2, second=True)
    rows = np.nonzero(DRIVER_PIXELS.any(1))[0]
    hidden = DRIVER_PIXELS.copy()
    hidden[rows[len(rows) // 4] :] = False  # only its uppermost quarter is seen
    frame.instance_map[DRIVER_PIXELS & ~hidden] = 0
    frame.class_map[DRIVER_PIXELS & ~hidden] = 0
    return frame


def with_depth(value, where):
    frame = fake.frame(2, second=True)
    frame.depth_mm[where] = value
    return frame


def with_slipped_mask():
    """A tool 40 mm before the tissue, whose mask lies four pixels beside it."""
    frame = fake.frame(2, second=True)
    frame.depth_mm[:] = 120
    frame.depth_mm[np.roll(DRIVER_PIXELS, 4, axis=0)] = 80
    return frame


def test_clean_frames_pass_every_check(tmp_path):
    limits = CheckLimits(class_floors={"needle driver": 1, "grasper": 0.5})
    results, out = run(tmp_path, clean_frames(), limits)
    assert results["passed"] and results["frames"] == 8 and results["instances"] == 12
    names = [check["name"] for check in results["checks"]]
    assert names == ["min_visibility", "class_floors", "max_depth_disagreement", "min_difference"]
    assert [check["checked"] for check in results["checks"]] == [12, 2, 12, 7]
    require_passed(out.results, out.picture, tmp_path / "a.passed")
    assert (tmp_path / "a.passed").read_text().startswith("a: 8 frames passed min_visibility, ")
    assert decode_image(out.picture.read_bytes()).shape[0] < 60  # a line of text, no picture


def test_an_instance_that_is_hidden_too_far_is_found(tmp_path):
    frames = clean_frames()
    frames[2] = with_hidden_tool()
    check = found_by(run(tmp_path, frames, only(min_visibility=0.4))[0])
    assert check["offenders"] == 1 and check["worst"] < 0.4
    (offender,) = check["shown"]
    assert (offender["frame"], offender["instance"]) == ("000000_000002", 1)
    assert offender["value"] == check["worst"] and "is seen" in offender["text"]


def test_a_class_below_its_floor_is_found(tmp_path):
    check = found_by(run(tmp_path, clean_frames(), only(class_floors={"needle driver": 1, "grasper": 0.6}))[0])
    assert (check["offenders"], check["checked"], check["worst"]) == (1, 2, 0.5)
    assert {offender["frame"][-1] for offender in check["shown"]} == {"1", "3", "5", "7"}
    assert check["shown"][0]["text"] == "no grasper, which is in 50.0% of the frames"


@pytest.mark.parametrize(
    "planted",
    [
        lambda: with_depth(0, DRIVER_PIXELS & (np.arange(128) % 4 == 0)),
        lambda: with_depth(np.nan, DRIVER_PIXELS & (np.arange(128) % 4 == 0)),
        lambda: with_depth(655, DRIVER_PIXELS & (np.arange(128) > 100)),
        with_slipped_mask,
    ],
    ids=["nothing there", "not a number", "far away", "slipped mask"],
)
def test_a_mask_that_the_depth_map_contradicts_is_found(planted):
    frame = planted()
    annotations = kept_annotations(frame, fake.CLASS_TABLE, ANNOTATE, "shard")
    wrong = contradicting_pixels(frame, annotations, slack_mm=15)
    assert wrong[0].sum() > 0.1 * annotations[0].area and not (wrong[0] & ~annotations[0].visible).any()
    if planted is with_slipped_mask:  # the pixels of tissue, and no other
        assert (wrong[0] == (annotations[0].visible & (frame.depth_mm == 120))).all()


def test_depth_that_falls_along_an_instrument_is_no_contradiction():
    frame = fake.frame(2, second=True)
    frame.depth_mm[DRIVER_PIXELS] = (1 / np.linspace(1 / 40, 1 / 160, 128) * np.ones((96, 1)))[DRIVER_PIXELS]
    annotations = kept_annotations(frame, fake.CLASS_TABLE, ANNOTATE, "shard")
    assert not contradicting_pixels(frame, annotations, slack_mm=1)[0].any()


def test_an_instrument_drawn_over_a_nearer_one_is_found():
    frame = fake.frame(2)
    over = DRIVER_PIXELS & (np.arange(128) > 80) & (np.arange(128) < 95)
    frame.instance_map[over], frame.class_map[over] = 2, fake.GRASPER
    frame.amodal_bits[over] |= 2
    annotations = partial(kept_annotations, frame, fake.CLASS_TABLE, ANNOTATE, "shard")
    frame.depth_mm[over] = 60  # before the needle driver at 80 mm
    assert not any(pixels.any() for pixels in contradicting_pixels(frame, annotations(), slack_mm=15))
    frame.depth_mm[over] = 100
    driver, grasper = contradicting_pixels(frame, annotations(), slack_mm=15)
    assert not driver.any() and (grasper == over).all()


def test_contradicted_masks_are_judged_by_their_share(tmp_path):
    frames = clean_frames()
    frames[2] = with_slipped_mask()
    check = found_by(run(tmp_path, frames, only(max_depth_disagreement=0.05))[0])
    assert check["offenders"] == 1 and check["shown"][0]["frame"] == "000000_000002"
    assert not check["at_least"] and check["worst"] > 0.05
    frames[2].depth_mm = None  # unknown depth is no contradiction
    assert found_by(run(tmp_path, frames, only(max_depth_disagreement=0.05))[0])["checked"] == 10


def test_near_duplicates_are_found_across_shards(tmp_path):
    frames = clean_frames()
    noise = np.random.default_rng(0).integers(-2, 3, frames[1].rgb.shape)
    frames[6] = fake.frame(1, key="000006")
    frames[6].rgb = (frames[6].rgb + noise).clip(0, 255).astype(np.uint8)
    results, out = run(tmp_path, frames, only(min_difference=0.5))
    check = found_by(results)
    assert check["offenders"] == 1 and check["checked"] == 7
    assert (check["shown"][0]["frame"], check["shown"][0]["twin"]) == ("000001_000006", "000000_000001")
    rows = pd.read_parquet(out.frames).set_index("frame")
    assert rows.loc["000001_000006", "earlier_frame"] == "000000_000001"
    assert rows["difference"].isna().sum() == 1  # the first frame has none before it
    assert (rows["visibility"] > 0.5).all()


@pytest.mark.parametrize("before", [True, False])
def test_the_nearest_vectors_are_those_of_all_distances(monkeypatch, before):
    monkeypatch.setattr(nearest_module, "BLOCK", 7)
    rng = np.random.default_rng(1)
    rows, others = rng.integers(-128, 128, (30, 768)).astype(np.int8), rng.integers(-128, 128, (19, 768))
    rows[20] = rows[3]
    index, distance = nearest(rows) if before else nearest(rows, others.astype(np.int8))
    every = ((rows[:, None].astype(int) - (rows if before else others)[None]) ** 2).sum(2).astype(float)
    if before:
        every[np.triu_indices(30)] = np.inf
        assert index[0] == -1 and index[20] == 3 and distance[20] == 0
    known = np.arange(1 if before else 0, 30)
    assert (index[known] == every[known].argmin(1)).all() and (distance == every.min(1)).all()


def test_a_frame_that_repeats_a_real_one_is_found(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.png").write_bytes(encode_png(255 - cv2.flip(fake.tissue(40), 0)))
    frames = clean_frames()[:2]
    frames[0].rgb = np.random.default_rng(0).integers(0, 256, frames[0].rgb.shape, np.uint8)
    limits = only(real_frames=str(real), min_real_distance=0.02)
    clear = found_by(run(tmp_path, frames, limits)[0])
    assert clear["passed"] and "cosine distance" in clear["measure"] and "EfficientNet-Lite0" in clear["measure"]
    (real / "b.png").write_bytes(encode_png(cv2.resize(frames[1].rgb, None, fx=2, fy=2)))
    results, out = run(tmp_path, frames, limits)
    check = found_by(results)
    assert check["offenders"] == 1 and check["shown"][0]["twin"] == str(real / "b.png")
    assert set(results["real_frames"]) == {"a.png", "b.png"}
    rows = pd.read_parquet(out.frames)
    assert rows["real_frame"].tolist()[1] == "b.png" and rows["real_distance"][1] < 0.02 < rows["real_distance"][0]
    assert decode_image(out.picture.read_bytes()).shape == (282, 1800, 3)


def test_equal_input_gives_equal_bytes_in_any_number_of_processes(tmp_path):
    frames = clean_frames()
    frames[2] = with_hidden_tool()
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        _, out = run(folder, frames, CheckLimits(min_visibility=0.9, class_floors={"grasper": 0.9}), processes)
        found.append([path.read_bytes() for path in (out.results, out.picture, out.frames)])
    assert found[0] == found[1]


def test_the_picture_has_room_for_every_failed_check(tmp_path):
    frames = [fake.frame(index % 3, key=f"{index:06d}", second=True) for index in range(60)]
    results, out = run(tmp_path, frames, CheckLimits(min_visibility=1, class_floors={"grasper": 1}, min_difference=30))
    by_name = {check["name"]: check for check in results["checks"]}
    assert by_name["min_difference"]["offenders"] > MOST_SHOWN == len(by_name["min_difference"]["shown"])
    assert by_name["class_floors"]["passed"] and not by_name["min_visibility"]["passed"]
    assert decode_image(out.picture.read_bytes()).shape == (8 * 282, 1800, 3)


def test_a_failed_check_is_said_with_all_that_is_known(tmp_path):
    frames = clean_frames()
    frames[2] = with_hidden_tool()
    _, out = run(tmp_path, frames, CheckLimits(min_visibility=0.4, class_floors={"grasper": 0.9}))
    with pytest.raises(InputError) as raised:
        require_passed(out.results, out.picture, tmp_path / "a.passed")
    message = str(raised.value)
    for said in ("a.jpg, check min_visibility of the dataset a", "1 of 12", "000000_000002", "at least 0.4"):
        assert said in message
    assert "check class_floors" in message and "grasper 0.9" in message and "no grasper" in message
    assert "max_depth_disagreement" not in message and not (tmp_path / "a.passed").exists()


def test_what_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"checks\.class_floors.*\n.*graspr.*\n.*\n.*did you mean grasper"):
        refuse_impossible(ChecksConfig(class_floors={"graspr": 0.5}), fake.CLASS_TABLE)
    floors = {"simulated": {"class_floors": {"spleen": 0.5}}}
    with pytest.raises(InputError, match=r"checks\.datasets\.simulated\.class_floors"):
        refuse_impossible(ChecksConfig(datasets=floors), fake.CLASS_TABLE)
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="real frames"):
            refuse_impossible(ChecksConfig(real_frames=str(folder)), fake.CLASS_TABLE)
    refuse_impossible(ChecksConfig(class_floors={"grasper": 0.5}), fake.CLASS_TABLE)


def test_no_frame_at_all_is_refused(tmp_path):
    empty = fake.frame(0)
    empty.class_map[:], empty.instance_map[:], empty.amodal_bits[:] = 0, 0, 0
    shard = tmp_path / "shard_000000.tar"
    write_shard(shard, [empty])
    out = CheckOutputs(tmp_path / "a.json", tmp_path / "a.jpg", tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no frame in 1 shards"):
        strict = AnnotateConfig(keep_empty_frames=False)
        check_dataset([shard], fake.CLASS_TABLE, CheckLimits(), strict, out, dataset="a")


def test_limits_of_a_dataset_are_laid_over_the_others():
    config = ChecksConfig(min_visibility=0.2, datasets={"simulated": {"min_visibility": None}})
    assert config.of("sampled").min_visibility == 0.2 and config.of("simulated").min_visibility is None
    assert config.of("simulated").min_difference == config.min_difference
    assert config.of("sampled").any_on and not OFF.any_on
    with pytest.raises(ValueError, match="min_visiblity"):
        ChecksConfig(datasets={"simulated": {"min_visiblity": 0.1}})

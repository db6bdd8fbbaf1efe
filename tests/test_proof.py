"""proof: image sets, equal draws, the list of trainings, intervals, what synthetic frames are worth, the figures."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torchmetrics.classification import MulticlassJaccardIndex

from detection_material import CLASS_TABLE, DRIVER, bar
from splatscope.classes import IGNORE_ID
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.proof import ProofStageConfig, SegmentationConfig
from splatscope.errors import InputError
from splatscope.evaluate.replay import RealRecording
from splatscope.files import write_bytes, write_json, write_table
from splatscope.images import decode_image, encode_png
from splatscope.proof.detection_tables import detections_table, read_detections
from splatscope.proof.detectors import Detections
from splatscope.proof.draws import counts_of, draw_images
from splatscope.proof.efficiency import LearningCurve, worth_in_words
from splatscope.proof.evaluation import ProofOutputs, evaluate_proof
from splatscope.proof.gathering import Fit, write_real_set, write_synthetic_set
from splatscope.proof.image_sets import read_set
from splatscope.proof.intervals import image_resamples, percentile_interval, t_interval
from splatscope.proof.run_list import Run, detector_runs, segmenter_runs
from splatscope.proof.runs import Sets, Sizes, training_images
from splatscope.proof.segmentation import confusion_table, confusions, ious, labelled, task_classes, train_arm
from splatscope.shards import Frame, write_shard

RNG = np.random.default_rng(3)
ANNOTATE = AnnotateConfig(min_area_px=4)


# --- image sets


def frame(index: int, key: str | None = None) -> Frame:
    item = bar(index)
    instances = (item.class_map > 0).astype(np.uint8)
    return Frame(key or item.key, item.rgb, {}, class_map=item.class_map, instance_map=instances)


@pytest.fixture
def recording(tmp_path) -> RealRecording:
    """Three frames of which the truth knows two more; the rightmost columns are not usable."""
    keys = ["000002", "000004", "000007"]
    write_shard(tmp_path / "frames.tar", [Frame(key, bar(int(key)).rgb) for key in keys])
    write_shard(tmp_path / "truth.tar", [frame(index) for index in (1, 2, 4, 6, 7)])
    valid = np.full((64, 96), 255, np.uint8)
    valid[:, 90:] = 0
    write_bytes(tmp_path / "valid.png", encode_png(valid))
    return RealRecording(tmp_path / "frames.tar", tmp_path / "valid.png", tmp_path / "truth.tar")


def test_real_images_have_the_boxes_of_the_truth_inside_the_usable_pixels(recording, tmp_path):
    write_real_set(tmp_path / "set.tar", {"scene": recording}, {}, CLASS_TABLE, (96, 64), ANNOTATE)
    images = read_set(tmp_path / "set.tar")
    assert [item.key for item in images] == ["000000", "000001", "000002"]
    for item, index in zip(images, (2, 4, 7)):
        expected = bar(index)
        assert (item.rgb == expected.rgb).all()
        assert (item.class_map[:, 90:] == IGNORE_ID).all()
        assert (item.class_map[:, :90] == expected.class_map[:, :90]).all()
        clipped = expected.boxes.copy()
        if len(clipped):
            clipped[:, 2] = np.minimum(clipped[:, 0] + clipped[:, 2], 90) - clipped[:, 0]
        assert item.boxes == pytest.approx(clipped) and item.classes.tolist() == expected.classes.tolist()


def test_images_are_scaled_and_padded_with_their_boxes(tmp_path):
    write_shard(tmp_path / "shard.tar", [frame(0), frame(1)])
    write_synthetic_set(tmp_path / "set.tar", [tmp_path / "shard.tar"], CLASS_TABLE, (48, 48), ANNOTATE)
    for item, index in zip(read_set(tmp_path / "set.tar"), (0, 1)):
        assert (
            item.rgb.shape == (48, 48, 3) and (item.rgb[32:] == 114).all() and (item.class_map[32:] == IGNORE_ID).all()
        )
        assert item.boxes == pytest.approx(bar(index).boxes / 2)
        x, y, w, h = item.boxes[0].round().astype(int)
        assert (item.class_map[y + 1 : y + h - 1, x + 1 : x + w - 1] == DRIVER).all()
    assert Fit(640, 512, 320, 320).size == (320, 256)


def test_pose_arms_learn_from_one_kind_of_synthetic_frame(tmp_path):
    frames = [frame(index) for index in range(8)]
    for index, item in enumerate(frames):
        item.meta["source"] = {"recording": "scene", "frame": 12 if index % 2 else -1}
    write_shard(tmp_path / "shard.tar", frames)
    write_synthetic_set(tmp_path / "set.tar", [tmp_path / "shard.tar"], CLASS_TABLE, (96, 64), ANNOTATE)
    sets, sizes = Sets(*(tmp_path / "set.tar",) * 3), Sizes(4, 50)
    for arm, odd in (("recorded_poses", 1), ("free_poses", 0)):
        images = training_images(Run(arm, 100, 0), sets, sizes, 0)
        assert sorted(int(item.key) % 2 for item in images) == [odd] * 4
    assert len({item.key for item in training_images(Run("synthetic", 100, 0), sets, Sizes(8, 50), 0)}) == 8


def coco(path, boxes: dict[str, list], width=96, height=64, category="needle driver", **extra):
    write_json(
        path,
        {
            "images": [
                {"id": k, "file_name": f"frames/{key}.png", "width": width, "height": height}
                for k, key in enumerate(boxes)
            ],
            "categories": [{"id": 3, "name": category}],
            "annotations": [
                {"id": 10 * k + n, "image_id": k, "category_id": 3, "bbox": box} | extra
                for k, rows in enumerate(boxes.values())
                for n, box in enumerate(rows)
            ],
        },
    )
    return str(path)


def test_a_users_boxes_come_from_coco_at_any_size(recording, tmp_path):
    file = coco(tmp_path / "a.json", {"000002": [[20, 10, 40, 30]], "000007": []}, width=192, height=128)
    write_real_set(tmp_path / "set.tar", {"mine": recording}, {"mine": file}, CLASS_TABLE, (96, 64), ANNOTATE)
    first, second = read_set(tmp_path / "set.tar")  # the frame that the file does not name is left out
    assert first.boxes.tolist() == [[10, 5, 20, 15]] and first.classes.tolist() == [DRIVER]
    assert first.class_map is None and len(second.boxes) == 0


def test_a_users_outlines_give_class_maps(recording, tmp_path):
    outline = [[20, 10, 60, 10, 60, 40, 20, 40]]
    file = coco(tmp_path / "a.json", {"000002": [[20, 10, 40, 30]]}, segmentation=outline)
    write_real_set(tmp_path / "set.tar", {"mine": recording}, {"mine": file}, CLASS_TABLE, (96, 64), ANNOTATE)
    (item,) = read_set(tmp_path / "set.tar")
    assert (item.class_map[11:39, 21:59] == DRIVER).all() and (item.class_map[:, :18] == 0).all()
    assert (item.class_map == DRIVER).sum() == pytest.approx(1200, rel=0.05)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"boxes": {"000002": [[20, 10, 90, 30]]}}, "inside 96 x 64"),
        ({"boxes": {"000002": [[20, 10, 0, 30]]}}, "inside 96 x 64"),
        ({"boxes": {"000002": ["none"]}}, "bbox"),
        ({"boxes": {"000002": []}, "category": "tweezers"}, "tweezers"),
        ({"boxes": {"000003": []}}, "no annotated frame"),
    ],
)
def test_wrong_annotations_are_refused(recording, tmp_path, content, message):
    file = coco(tmp_path / "a.json", **content)
    with pytest.raises(InputError, match=message):
        write_real_set(tmp_path / "set.tar", {"mine": recording}, {"mine": file}, CLASS_TABLE, (96, 64), ANNOTATE)


def test_a_recording_without_boxes_is_refused(recording, tmp_path):
    bare = RealRecording(recording.frames)
    for annotations, message in (({}, "proof.annotations"), ({"mine": str(tmp_path / "no.json")}, "no such file")):
        with pytest.raises(InputError, match=message):
            write_real_set(tmp_path / "set.tar", {"mine": bare}, annotations, CLASS_TABLE, (96, 64), ANNOTATE)
    write_json(tmp_path / "other.json", {"frames": []})
    with pytest.raises(InputError, match="no COCO document"):
        annotations = {"mine": str(tmp_path / "other.json")}
        write_real_set(tmp_path / "set.tar", {"mine": bare}, annotations, CLASS_TABLE, (96, 64), ANNOTATE)


# --- draws and runs


def drawn(arm, percent=100, fold=0, **changed):
    sizes = {"images": 40, "mixed_real_percent": 25, "real_available": 50, "synthetic_available": 90} | changed
    return draw_images(arm, percent, fold, 5, **sizes)


def test_arms_have_equally_many_images():
    sizes = {arm: (len(drawn(arm).real), len(drawn(arm).synthetic)) for arm in ("real", "synthetic", "mixed", "added")}
    assert sizes == {"real": (40, 0), "synthetic": (0, 40), "mixed": (10, 30), "added": (40, 40)}
    assert counts_of("real", 1, 40, 50) == (1, 0) and counts_of("mixed", 100, 2, 90) == (1, 1)
    for arm in ("real", "synthetic", "mixed", "added"):
        draw = drawn(arm)
        assert len(set(draw.real)) == len(draw.real) and len(set(draw.synthetic)) == len(draw.synthetic)


def test_smaller_draws_lie_in_larger_ones_and_folds_differ():
    whole = drawn("real").real
    assert drawn("real", 25).real.tolist() == whole[:10].tolist() == drawn("added", 25).real.tolist()
    assert drawn("mixed").real.tolist() == whole[:10].tolist()
    assert drawn("real", fold=1).real.tolist() != whole.tolist()


def test_more_images_than_there_are_is_refused():
    with pytest.raises(InputError, match="at most 30") as caught:
        drawn("real", real_available=30)
    assert "proof.images" in str(caught.value) and "ingest.max_frames" in str(caught.value)


def test_a_longer_list_of_folds_or_shares_only_adds_trainings():
    few = detector_runs(ProofStageConfig(folds=2, efficiency_percents=(50,)), True)
    more = detector_runs(ProofStageConfig(folds=3, efficiency_percents=(25, 50)), True)
    assert len(set(more)) == len(more) and set(few) < set(more)
    assert len({run.name for run in more}) == len(more)
    assert {run.arm for run in detector_runs(ProofStageConfig(efficiency_percents=()), False)} == {
        "real",
        "synthetic",
        "mixed",
    }
    one_kind = detector_runs(ProofStageConfig(folds=2, efficiency_percents=(50,), pose_arms=False), True)
    assert {run.arm for run in few} - {run.arm for run in one_kind} == {"recorded_poses", "free_poses"}


def test_tissue_is_segmented_only_where_synthetic_frames_label_it():
    assert {task for task, _ in segmenter_runs(ProofStageConfig())} == {"tool"}
    assert {task for task, _ in segmenter_runs(ProofStageConfig(synthetic="simulated"))} == {"tool", "classes"}
    assert segmenter_runs(ProofStageConfig(segmentation=SegmentationConfig(enabled=False))) == []


@pytest.mark.parametrize("wrong", [{"width": 250}, {"efficiency_percents": (50, 10)}, {"efficiency_percents": (0, 10)}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        ProofStageConfig(**wrong)


# --- intervals


def test_the_t_interval_is_scipys():
    values = np.array([0.71, 0.78, 0.74, 0.69])
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    assert np.isnan(t_interval(values[:1])).all()


def test_resamples_have_as_many_images_and_repeat():
    first, second = list(image_resamples(20, 50, 1)), list(image_resamples(20, 50, 1))
    assert all(weights.sum() == 20 and len(weights) == 20 for weights in first)
    assert (np.array(first) == np.array(second)).all() and np.std([weights[0] for weights in first]) > 0.5


def test_percentiles_may_be_infinite():
    assert percentile_interval(np.arange(201.0)) == (5, 195)
    assert percentile_interval(np.array([1.0] * 50 + [np.inf] * 50)) == (1, np.inf)
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()


# --- what synthetic images are worth


def test_the_learning_curve_is_read_backwards():
    curve = LearningCurve.fit([10, 20, 80], [0.3, 0.5, 0.9])
    assert curve.images_for(0.5) == pytest.approx(20) and curve.images_for(0.3) == pytest.approx(10)
    assert curve.images_for(0.7) == pytest.approx(40)  # half way on a logarithmic scale
    assert curve.images_for(0.2) == 0 and curve.images_for(0.91) == np.inf


def test_a_dent_in_the_curve_is_levelled_and_the_fewest_images_count():
    curve = LearningCurve.fit([10, 20, 40, 80], [0.4, 0.6, 0.5, 0.7])
    assert curve.scores.tolist() == pytest.approx([0.4, 0.55, 0.55, 0.7])
    assert curve.images_for(0.55) == pytest.approx(20)
    with pytest.raises(ValueError, match="rising"):
        LearningCurve.fit([10, 10], [0.1, 0.2])


def test_the_worth_is_said_in_words():
    assert "worth 23 real ones (95 % interval: fewer than 6 to more than 64)" in worth_in_words(
        64, 23.2, (0, np.inf), 6, 64
    )


# --- segmentation


def test_ious_agree_with_torchmetrics():
    counts, metric = np.zeros((3, 3), np.int64), MulticlassJaccardIndex(3, ignore_index=IGNORE_ID, average=None)
    tables = []
    for image in range(4):
        target = RNG.integers(0, 3, (30, 40))
        target[RNG.random(target.shape) < 0.1] = IGNORE_ID
        predicted = np.where(RNG.random(target.shape) < 0.7, np.minimum(target, 2), RNG.integers(0, 3, target.shape))
        metric.update(torch.from_numpy(predicted), torch.from_numpy(target))
        known = target != IGNORE_ID
        cells = np.bincount(target[known] * 3 + predicted[known], minlength=9).reshape(3, 3)
        counts += cells
        tables += [(image, t, p, cells[t, p]) for t in range(3) for p in range(3)]
    assert ious(counts) == pytest.approx(metric.compute().numpy(), abs=1e-6)
    table = pd.DataFrame(tables, columns=["image", "true", "predicted", "pixels"])
    assert (confusions(table, 4, 3).sum(0) == counts).all()
    assert np.isnan(ious(np.array([[5, 0], [0, 0]]))).tolist() == [False, True]


def test_a_tool_segmenter_learns_and_is_counted_image_by_image():
    images = labelled([bar(index) for index in range(12)], "tool", CLASS_TABLE)
    assert set(np.unique(images[0].target)) == {0, 1} and task_classes("tool") == ("background", "tool")
    segmenter = train_arm(images, "tool", SegmentationConfig(steps=25, batch=4), 0)
    test = labelled([bar(index) for index in range(100, 104)], "tool", CLASS_TABLE)
    counts = confusions(confusion_table(segmenter, test), 4, 2)
    assert (counts.sum((1, 2)) == 96 * 64).all() and ious(counts.sum(0))[1] > 0.5


def test_segmenters_need_class_maps():
    with pytest.raises(InputError, match="no class map"):
        item = bar(0)
        labelled([type(item)(item.key, item.rgb, item.boxes, item.classes)], "tool", CLASS_TABLE)


# --- figures


def displaced(item, shift: float, score: float) -> Detections:
    return Detections(
        item.boxes + np.float32([shift, 0, 0, 0]),
        np.full(len(item.boxes), score, np.float32),
        item.classes,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Detections that are better with more images, and of synthetic ones as with half of the real ones."""
    tmp_path = tmp_path_factory.mktemp("proof")
    write_shard(tmp_path / "shard.tar", [frame(index) for index in range(20)])
    write_synthetic_set(tmp_path / "test.tar", [tmp_path / "shard.tar"], CLASS_TABLE, (96, 64), ANNOTATE)
    test = read_set(tmp_path / "test.tar")
    config = ProofStageConfig(folds=2, efficiency_percents=(25, 50))
    shifts = {("real", 25): 9.0, ("real", 50): 4.0, ("real", 100): 2.0, ("synthetic", 100): 4.0}
    detections = {}
    for run in detector_runs(config, True):
        found = [displaced(item, shifts.get((run.arm, run.percent), 1.0) + 0.2 * run.fold, 0.5) for item in test]
        detections[run] = tmp_path / f"{run.name}.parquet"
        write_table(detections[run], detections_table(found))
        again = read_detections(detections[run], len(test))
        assert all((a.boxes == b.boxes).all() and (a.classes == b.classes).all() for a, b in zip(found, again))
    tables = {}
    for task, run in segmenter_runs(config):
        wrong = {"real": 40, "synthetic": 20, "mixed": 10}[run.arm]
        rows = [(image, 0, 0, 900) for image in range(20)] + [(image, 1, 1, 100 - wrong) for image in range(20)]
        rows += [(image, 1, 0, wrong) for image in range(20)]
        tables[task, run] = tmp_path / f"{task}_{run.name}.parquet"
        write_table(tables[task, run], pd.DataFrame(rows, columns=["image", "true", "predicted", "pixels"]))
    names = ("detection.parquet", "segmentation.parquet", "proof.json", "curves.png", "examples.png", "efficiency.png")
    outputs = ProofOutputs(*(tmp_path / name for name in names))
    summary = evaluate_proof(
        tmp_path / "test.tar",
        detections,
        tables,
        Sizes(8, 50),
        detector="yolox_nano",
        synthetic="sampled",
        samples=60,
        seed=0,
        outputs=outputs,
    )
    return summary, outputs


def test_the_figures_of_the_experiment(finished):
    summary, outputs = finished
    assert json.loads(outputs.summary.read_text()) == json.loads(json.dumps(summary))
    table = pd.read_parquet(outputs.detection)
    arms = ("real", "synthetic", "mixed", "recorded_poses", "free_poses")
    assert len(table) == 2 * (5 + 2 + 3) and set(table["arm"]) == {*arms, "added"}
    assert set(summary["detection"]) == {*arms, "synthetic_minus_real"}
    real, synthetic = summary["detection"]["real"], summary["detection"]["synthetic"]
    assert (real["real_images"], real["synthetic_images"], summary["test_images"]) == (8, 0, 20)
    of_real = table[(table["arm"] == "real") & (table["percent"] == 100)]
    assert real["map50_95"]["mean"] == pytest.approx(of_real["map50_95"].mean(), abs=1e-6)
    assert real["map50_95"]["t_interval"] == pytest.approx(t_interval(of_real["map50_95"]), abs=1e-6)
    low, high = real["map50_95"]["bootstrap_interval"]
    assert low < real["map50_95"]["mean"] < high
    difference = summary["detection"]["synthetic_minus_real"]["map50_95"]["mean"]
    assert (
        difference == pytest.approx(synthetic["map50_95"]["mean"] - real["map50_95"]["mean"], abs=2e-6)
        and difference < 0
    )
    worth = summary["efficiency"]["metrics"]["map50_95"]
    assert summary["efficiency"]["images"] == [2, 4, 8]
    assert worth["worth_real_images"] == {"images": pytest.approx(4, abs=0.01), "bound": None}
    assert len(worth["curves"]["added"]) == 3 and "worth 4 real ones" in worth["worth"]


def test_segmenters_are_summarised_by_class(finished):
    summary, outputs = finished
    tool = summary["segmentation"]["tool"]
    assert tool["real"]["iou"]["tool"] == pytest.approx(0.6) and tool["mixed"]["iou"]["tool"] == pytest.approx(0.9)
    assert tool["real"]["miou"]["mean"] == pytest.approx((0.6 + 900 / 940) / 2, abs=1e-6)
    rows = pd.read_parquet(outputs.segmentation)
    assert len(rows) == 3 * 2 * 2 and set(rows["class"]) == {"background", "tool"}


def test_pictures_are_drawn(finished):
    _, outputs = finished
    for path in (outputs.curves, outputs.examples, outputs.efficiency):
        picture = decode_image(path.read_bytes())
        assert min(picture.shape[:2]) > 200 and picture.std() > 5

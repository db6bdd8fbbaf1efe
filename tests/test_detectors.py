"""detectors: learning, files, equal seeds, augmentation, and what is refused."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from detection_material import DRIVER, GRASPER, bar
from splatscope.config.proof import DetectionConfig
from splatscope.errors import InputError
from splatscope.proof.detection_metrics import match_detections, mean_average_precision
from splatscope.proof.detectors import Detections, train_detector, training_steps
from splatscope.proof.detectors.augmentation import augmentation, sample_of
from splatscope.proof.detectors.ultralytics_yolo import _write_dataset
from splatscope.proof.detectors.yolox import learning_rate_factor

QUICK = DetectionConfig(epochs=1, batch=4, learning_rate=4e-3)


def test_training_lowers_the_loss_and_detections_are_in_order():
    losses: list[float] = []
    images = [bar(index) for index in range(4)]
    detector = train_detector(images, [DRIVER], QUICK, 60, 3, progress=lambda step, steps, loss: losses.append(loss))
    assert len(losses) == 60 and np.mean(losses[-12:]) < 0.85 * np.mean(losses[:12])
    for item in detector.detect([item.rgb for item in images]):
        assert (np.diff(item.scores) <= 0).all() and len(item.scores) <= 100
        assert (item.boxes >= 0).all() and (item.boxes[:, :2] + item.boxes[:, 2:] <= [96.001, 64.001]).all()


@pytest.mark.slow
def test_a_detector_learns_to_find_bars():
    train, test = [bar(index) for index in range(32)], [bar(index) for index in range(100, 116)]
    config = DetectionConfig(epochs=80)
    detector = train_detector(train, [DRIVER], config, training_steps(len(train), config), 3)
    found = detector.detect([item.rgb for item in test])
    assert mean_average_precision(match_detections(test, found))["map50"] > 0.8


def test_equal_seeds_give_equal_weights_and_global_randomness_is_left_alone(tmp_path):
    images = [bar(index) for index in range(3)]  # fewer than a batch
    before = torch.get_rng_state()
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        train_detector(images, [GRASPER, DRIVER], QUICK, 2, seed).save(tmp_path / name)
    assert torch.equal(before, torch.get_rng_state())
    first, second, other = ((tmp_path / name).read_bytes() for name in ("first", "second", "other"))
    assert first == second and first != other
    with safe_open(tmp_path / "first", framework="pt") as file:
        assert json.loads(file.metadata()["splatscope"]) == {"class_ids": [GRASPER, DRIVER], "detector": "yolox_nano"}


def test_every_training_has_as_many_steps_as_passes_over_a_whole_set():
    assert training_steps(64, DetectionConfig(epochs=30, batch=8)) == 240
    assert training_steps(65, DetectionConfig(epochs=1, batch=8)) == 9


def test_the_learning_rate_rises_and_falls():
    factors = [learning_rate_factor(step, 100) for step in range(100)]
    assert factors[0] == 0.1 and max(factors) == factors[10] == 1
    assert (np.diff(factors[10:]) < 0).all() and 0.02 < factors[-1] < 0.03


def test_augmented_boxes_stay_on_their_objects():
    torch.manual_seed(0)
    augment, seen = augmentation(), 0
    for index in range(24):
        item = bar(index)
        sample = augment(sample_of(item.rgb, item.boxes, np.zeros(len(item.classes))))
        image = sample["image"]
        assert image.dtype == torch.float32 and image.shape == (3, 64, 96) and 0 <= image.min() <= image.max() < 1.0001
        assert len(sample["boxes"]) == len(sample["labels"]) <= len(item.boxes)
        for x, y, w, h in sample["boxes"].tolist():
            inside = image[:, round(y + 0.25 * h) : round(y + 0.75 * h), round(x + 0.25 * w) : round(x + 0.75 * w)]
            redness = (image[0] - image[2]).median()  # the bars are grey, the tissue red
            assert (inside[0] - inside[2]).median() < 0.5 * redness
            seen += 1
    assert seen > 12


def test_detections_of_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="boxes"):
        Detections(np.zeros((2, 4)), np.zeros(1), np.zeros(1, np.int64))


def test_there_must_be_images():
    with pytest.raises(InputError, match="no images"):
        train_detector([], [DRIVER], QUICK, 1, 0)


@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is not None, reason="ultralytics is installed")
def test_ultralytics_missing_is_said_with_its_licence():
    with pytest.raises(InputError, match="AGPL"):
        train_detector([bar(0)], [DRIVER], QUICK.model_copy(update={"detector": "ultralytics"}), 1, 0)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is None, reason="ultralytics (AGPL-3.0) is an extra")
def test_ultralytics_trains_and_detects_offline(tmp_path):
    config = QUICK.model_copy(update={"detector": "ultralytics"})
    detector = train_detector([bar(index) for index in range(6)], [DRIVER], config, 2, 0)
    found = detector.detect([bar(7).rgb])
    assert len(found) == 1 and set(found[0].classes) <= {DRIVER}
    detector.save(tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size > 1e6


def test_ultralytics_weights_are_pickles_and_refused():
    config = QUICK.model_copy(update={"detector": "ultralytics", "ultralytics_model": "yolov5nu.pt"})
    with pytest.raises(InputError, match="pickles"):
        train_detector([bar(0)], [DRIVER], config, 1, 0)


def test_the_dataset_for_ultralytics_has_yolos_labels(tmp_path):
    described = _write_dataset(tmp_path / "data", [bar(0), bar(3)], [GRASPER, DRIVER])
    assert described.name == "data.yaml" and "class 14" in described.read_text()
    label, *values = (tmp_path / "data/labels/000000.txt").read_text().split()
    x, y, w, h = bar(0).boxes[0]
    assert label == "1"
    assert [float(value) for value in values] == pytest.approx(
        [(x + w / 2) / 96, (y + h / 2) / 64, w / 96, h / 64], abs=1e-6
    )
    assert (tmp_path / "data/labels/000001.txt").read_text() == ""

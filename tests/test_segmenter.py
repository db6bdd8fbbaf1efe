"""segmenter: labelled images, mIoU by the public protocol against torchmetrics, training, files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchmetrics.classification import MulticlassJaccardIndex

import proof_material as material
from splatscope.classes import IGNORE_ID, read_class_table
from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.images import encode_png
from splatscope.restyle.labelled_images import (
    GROUP_NAMES,
    CholecSeg8kFolder,
    group_of_class,
    labelled_frame,
    labelled_shards,
    reduced,
)
from splatscope.restyle.segmentation_networks import build_network
from splatscope.restyle.segmentation_training import DEMO, DEMO_EVALUATION, PAPER, train_segmenter
from splatscope.restyle.segmenter import class_ious, confusion, count_pixels, load_segmenter, mean_iou
from splatscope.shards import Frame, write_shard

RNG = np.random.default_rng(3)
QUICK = replace(DEMO_EVALUATION, input_size=(80, 64), crop_size=(80, 64), batch=4, steps=60)


# --- labelled images


def test_classes_of_the_protocol_and_nothing_else(repository):
    group_of = group_of_class(read_class_table(repository / "resources/classes.tsv"))
    assert [GROUP_NAMES[group_of[class_id]] for class_id in (1, 2, 4, 10)] == [
        "abdominal wall",
        "liver",
        "fat",
        "gallbladder",
    ]
    assert {GROUP_NAMES[group_of[class_id]] for class_id in (5, 9, 14, 15, 16)} == {"tool"}
    ignored = set(range(256)) - {1, 2, 4, 5, 9, 10, 14, 15, 16}
    assert all(group_of[class_id] == IGNORE_ID for class_id in ignored)
    with pytest.raises(InputError, match="gallbladder"):
        group_of_class({name: class_id for name, class_id in material.CLASS_TABLE.items() if name != "gallbladder"})


def test_frames_of_shards_become_labelled_images(tmp_path):
    frames = [material.frame(index) for index in range(3)]
    write_shard(tmp_path / "a.tar", frames)
    images = labelled_shards([tmp_path / "a.tar"], material.GROUP_OF)
    assert len(images) == 3 and (images[1].image == frames[1].rgb).all()
    assert (images[1].target == material.GROUP_OF[frames[1].class_map]).all()
    with pytest.raises(InputError, match="no class map"):
        labelled_frame(Frame("000000", frames[0].rgb), material.GROUP_OF)


def write_cholecseg8k(folder, levels, image=None, name="frame_80_endo"):
    folder.mkdir(parents=True, exist_ok=True)
    image = np.full((*levels.shape[:2], 3), 99, np.uint8) if image is None else image
    write_bytes(folder / f"{name}.png", encode_png(image))
    write_bytes(folder / f"{name}_watershed_mask.png", encode_png(levels))
    write_bytes(folder / f"{name}_color_mask.png", encode_png(image))


def test_a_folder_like_cholecseg8ks_is_read(tmp_path):
    levels = np.array([[50, 11, 21, 13, 12, 31, 23], [24, 25, 32, 22, 33, 5, 255]], np.uint8)
    write_cholecseg8k(tmp_path / "video01" / "video01_00080", np.dstack([levels] * 3))
    write_cholecseg8k(tmp_path / "video12" / "video12_19500", levels)
    folder = CholecSeg8kFolder(tmp_path)
    off = IGNORE_ID
    expected = [[off, 0, 1, off, 2, 3, off], [off, off, 3, 4, off, off, off]]
    assert len(folder) == 2 and folder[0].target.tolist() == folder[1].target.tolist() == expected
    assert (folder[0].image == 99).all() and [item.target.shape for item in folder] == [(2, 7)] * 2


@pytest.mark.parametrize("damage", ["empty", "no image", "other size", "no png"])
def test_a_damaged_folder_is_refused(tmp_path, damage):
    levels = np.full((4, 6), 21, np.uint8)
    if damage != "empty":
        write_cholecseg8k(tmp_path, levels, np.zeros((8, 6, 3), np.uint8) if damage == "other size" else None)
    if damage == "no image":
        (tmp_path / "frame_80_endo.png").unlink()
    if damage == "no png":
        (tmp_path / "frame_80_endo_watershed_mask.png").write_bytes(b"none")
    with pytest.raises(InputError) as caught:
        CholecSeg8kFolder(tmp_path)[0]
    assert caught.value.remedy


def test_reduced_images_keep_classes_pure():
    item = material.labelled(1)[0]
    small = reduced(item, 80, 64)
    assert small.image.shape == (64, 80, 3) and set(np.unique(small.target)) <= set(np.unique(item.target))
    assert reduced(item, 160, 128) is item


# --- mIoU


def test_miou_agrees_with_torchmetrics_over_all_pixels():
    metric = MulticlassJaccardIndex(len(GROUP_NAMES), ignore_index=IGNORE_ID, average=None)
    counts = np.zeros((5, 5), np.int64)
    for _ in range(4):
        target = RNG.integers(0, 4, (37, 53)).astype(np.uint8)  # the last class is only predicted
        target[RNG.random(target.shape) < 0.2] = IGNORE_ID
        predicted = np.where(RNG.random(target.shape) < 0.6, target, RNG.integers(0, 5, target.shape)).astype(np.uint8)
        predicted[predicted == IGNORE_ID] = 0
        counts += confusion(predicted, target)
        metric.update(torch.from_numpy(predicted).long(), torch.from_numpy(target).long())
    expected = metric.compute().numpy()
    assert list(class_ious(counts).values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert mean_iou(counts) == pytest.approx(expected.mean(), abs=1e-6)


def test_miou_leaves_out_classes_that_are_nowhere():
    target = np.array([[1, 1, 2, IGNORE_ID]], np.uint8)
    counts = confusion(np.array([[1, 2, 2, 0]], np.uint8), target)
    assert mean_iou(counts) == pytest.approx(0.5) and np.isnan(class_ious(counts)["tool"])
    assert np.isnan(mean_iou(np.zeros((5, 5), np.int64)))


# --- training


@pytest.mark.parametrize("recipe", [DEMO, DEMO_EVALUATION, PAPER], ids=lambda recipe: recipe.architecture)
def test_networks_give_a_map_for_each_class(recipe):
    network = build_network(recipe.architecture, 5).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 80)).shape == (1, 5, 64, 80)


def test_a_segmenter_learns_and_keeps_what_it_learnt(tmp_path):
    images, unseen = material.labelled(24), material.labelled(6, first=100)
    losses: list[float] = []
    segmenter = train_segmenter(images, QUICK, seed=0, progress=lambda step, steps, loss: losses.append(loss))
    assert len(losses) == QUICK.steps and np.mean(losses[-9:]) < 0.7 * np.mean(losses[:9])
    found = mean_iou(count_pixels(segmenter, unseen))
    assert found > 0.5 and segmenter.start == "random weights"
    segmenter.save(tmp_path / "segmenter.safetensors")
    again = load_segmenter(tmp_path / "segmenter.safetensors")
    pictures = np.stack([item.image for item in unseen])
    assert (again.predict(pictures) == segmenter.predict(pictures)).all()
    assert mean_iou(count_pixels(again, unseen)) == found


def test_equal_seeds_give_equal_weights_and_global_randomness_is_left_alone():
    images, recipe = material.labelled(6), replace(QUICK, steps=3)
    before = torch.get_rng_state()
    first, second, other = (train_segmenter(images, recipe, seed=seed).network.state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_the_papers_recipe_takes_a_step_from_resnet50_weights(tmp_path):
    assert (PAPER.epochs, PAPER.batch, PAPER.learning_rate, PAPER.weight_decay) == (30, 2, 1.25e-3, 1e-4)
    assert (PAPER.base_size, PAPER.crop_size, PAPER.auxiliary_weight, PAPER.power) == (512, (400, 400), 0.5, 0.9)
    torch.manual_seed(0)
    encoder = torchvision.models.resnet50(weights=None).state_dict()
    save_file(encoder, tmp_path / "resnet50.safetensors")
    tiny = replace(PAPER, epochs=1, base_size=64, crop_size=(48, 48))
    losses: list[float] = []
    segmenter = train_segmenter(
        material.labelled(2),
        replace(tiny, learning_rate=0.0, weight_decay=0.0),
        seed=0,
        backbone_weights=tmp_path / "resnet50.safetensors",
        progress=lambda step, steps, loss: losses.append(loss),
    )
    assert len(losses) == 1 and losses[0] > np.log(5) * 1.2  # the main loss and half of the auxiliary one
    kept = segmenter.network.get_submodule("model.backbone").state_dict()
    assert torch.equal(kept["layer3.0.conv1.weight"], encoder["layer3.0.conv1.weight"])
    assert "resnet50.safetensors" in segmenter.start
    assert segmenter.predict(material.frame(0).rgb[None]).shape == (1, 128, 160)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    images, recipe = material.labelled(2), replace(PAPER, epochs=1, base_size=64, crop_size=(48, 48))
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    torch.save({"conv1.weight": Path_like()}, tmp_path / "objects.pth")
    for name in ("other.safetensors", "broken.safetensors", "objects.pth", "missing.pth"):
        with pytest.raises(InputError, match="resnet50"):
            train_segmenter(images, recipe, seed=0, backbone_weights=tmp_path / name)
    with pytest.raises(InputError, match="no labelled images"):
        train_segmenter([], DEMO, seed=0)


class Path_like:
    """An object in a pickle that is no tensor."""


def test_a_file_that_is_no_segmenter_is_refused(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    for name in ("plain.safetensors", "broken.safetensors", "missing.safetensors"):
        with pytest.raises(InputError, match="segmenter"):
            load_segmenter(tmp_path / name)


def test_predictions_want_8_bit_images():
    segmenter = train_segmenter(material.labelled(2), replace(QUICK, steps=1), seed=0)
    with pytest.raises(ValueError, match="uint8"):
        segmenter.predict(np.zeros((1, 8, 8, 3), np.float32))

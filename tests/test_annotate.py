"""annotate: what it writes is read back by the libraries that people use, and must be the masks that went in."""

import json
from collections import Counter

import numpy as np
import pytest
import supervision as sv
import yaml
from pycocotools.coco import COCO

import export_material as material
import fake_results as fake
from splatscope.annotate import annotate_dataset
from splatscope.annotate.dataset import choose_validation
from splatscope.annotate.records import read_annotations
from splatscope.config.annotate import AnnotateConfig
from splatscope.errors import InputError
from splatscope.files import sha256
from splatscope.images import decode_image
from splatscope.shards import read_shards, write_shard

NAMES = {number: name for name, number in fake.CLASS_TABLE.items()}
SETTINGS = AnnotateConfig(min_area_px=5, min_visibility=0.01, split_block_frames=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two shards whose frame keys coincide; a dataset folder of them."""
    folder = tmp_path_factory.mktemp("annotate")
    shards = [folder / "shard_000000.tar", folder / "shard_000001.tar"]
    for number, shard in enumerate(shards):
        frames = [fake.frame(6 * number + index, second=index % 2 == 0, key=f"{index:06d}") for index in range(6)]
        write_shard(shard, frames, {"config_digest": "abc", "licences": {"needle_driver": "CC0"}})
    out = folder / "dataset" / "replay"
    manifest = annotate_dataset(shards, fake.CLASS_TABLE, SETTINGS, out, name="replay", seed=3)
    return out, shards, manifest


def test_coco_masks_boxes_and_areas_are_those_of_the_shards(dataset):
    out, shards, _ = dataset
    coco = COCO(out / "annotations.json")
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["grasper", "needle driver"]
    frames = list(read_shards(shards))
    assert len(coco.imgs) == len(frames) == 12
    for image_id, frame in zip(sorted(coco.imgs), frames):
        image = coco.imgs[image_id]
        np.testing.assert_array_equal(decode_image((out / image["file_name"]).read_bytes()), frame.rgb)
        entries = coco.loadAnns(coco.getAnnIds(image_id))
        assert [entry["instance"] for entry in entries] == [entry["instance"] for entry in frame.meta["instances"]]
        for entry in entries:
            visible = frame.visible_mask(entry["instance"])
            np.testing.assert_array_equal(coco.annToMask(entry).astype(bool), visible)
            rows, columns = np.nonzero(visible)
            x, y, width, height = entry["bbox"]
            assert (x, y, x + width - 1, y + height - 1) == (columns.min(), rows.min(), columns.max(), rows.max())
            assert entry["area"] == visible.sum() and entry["iscrowd"] == 0
            amodal = frame.amodal_mask(entry["instance"])
            np.testing.assert_array_equal(
                coco.annToMask({**entry, "segmentation": entry["amodal_segmentation"]}), amodal
            )
            assert entry["visibility"] == pytest.approx(visible.sum() / amodal.sum(), abs=1e-6)
            camera = np.array(frame.meta["world_from_camera"])
            tool = np.array(frame.meta["instances"][entry["instance"] - 1]["world_from_tool_sensor"])
            np.testing.assert_allclose(camera @ np.array(entry["camera_from_tool_sensor"]), tool, atol=1e-6)


def test_png_masks_are_the_maps(dataset):
    out, shards, _ = dataset
    for number, frame in enumerate(read_shards(shards)):
        name = f"00000{number // 6}_{frame.key}.png"
        np.testing.assert_array_equal(decode_image((out / "masks/class" / name).read_bytes()), frame.class_map)
        np.testing.assert_array_equal(decode_image((out / "masks/instance" / name).read_bytes()), frame.instance_map)


@pytest.mark.parametrize("labels", ["labels", "labels_segment"])
def test_supervision_reads_yolo_and_finds_the_same_boxes_and_masks(dataset, labels):
    out, _, _ = dataset
    loaded = sv.DetectionDataset.from_yolo(str(out / "images"), str(out / labels), str(out / "data.yaml"))
    coco = COCO(out / "annotations.json")
    assert loaded.classes == ["grasper", "needle driver"]
    by_name = {image["file_name"].split("/")[1]: image_id for image_id, image in coco.imgs.items()}
    for path, _, detections in loaded:
        entries = coco.loadAnns(coco.getAnnIds(by_name[path.rsplit("/", 1)[1]]))
        if labels == "labels":
            boxes = np.array([entry["bbox"] for entry in entries], float)
            boxes[:, 2:] += boxes[:, :2]
            np.testing.assert_allclose(detections.xyxy, boxes, atol=2e-3)
            names = [loaded.classes[number] for number in detections.class_id]
            assert names == [coco.cats[entry["category_id"]]["name"] for entry in entries]
            continue
        assert len(detections) == len(entries)
        for found, entry in zip(detections.mask, entries):
            material.assert_equal_but_for_bridges(found, coco.annToMask(entry).astype(bool))


def test_split_files_agree_and_keep_blocks_together(dataset):
    out, _, manifest = dataset
    images = json.loads((out / "annotations.json").read_text())["images"]
    for split in ("train", "val"):
        listed = [line.removeprefix("./") for line in (out / f"{split}.txt").read_text().splitlines()]
        assert listed == [image["file_name"] for image in images if image["split"] == split]
        assert [image["file_name"] for image in COCO(out / f"annotations_{split}.json").imgs.values()] == listed
        assert manifest["counts"][split] == len(listed)
    data = yaml.safe_load((out / "data.yaml").read_text())
    assert data["train"] == "train.txt" and data["names"] == {0: "grasper", 1: "needle driver"}
    for block in range(4):
        assert len({image["split"] for image in images[3 * block : 3 * block + 3]}) == 1


def test_split_has_the_asked_fraction_and_depends_on_the_seed_alone():
    config = AnnotateConfig(val_fraction=0.25, split_block_frames=4)
    chosen = choose_validation(160, config, seed=1)
    assert chosen.sum() == 40
    np.testing.assert_array_equal(chosen, choose_validation(160, config, seed=1))
    assert (chosen != choose_validation(160, config, seed=2)).any()
    assert not choose_validation(160, AnnotateConfig(val_fraction=0), seed=1).any()
    assert choose_validation(20, AnnotateConfig(val_fraction=0.01), seed=1).sum() in (4, 16)  # never an empty side


def test_manifest_names_every_file_with_its_digest(dataset):
    out, _, manifest = dataset
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == set(manifest["files"]) | {"manifest.json"}
    assert all(sha256(out / name) == digest for name, digest in manifest["files"].items())
    assert json.loads((out / "manifest.json").read_text()) == manifest


def test_equal_input_gives_equal_bytes_and_leaves_nothing_old(dataset, tmp_path):
    _, shards, manifest = dataset
    out = tmp_path / "again"
    (out / "images").mkdir(parents=True)
    (out / "images" / "stale.png").write_bytes(b"old")
    again = annotate_dataset(
        list(reversed(shards)), fake.CLASS_TABLE, SETTINGS, out, name="replay", seed=3, processes=2
    )
    assert again["files"] == manifest["files"]
    assert not (out / "images" / "stale.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_card_states_counts_and_licence(dataset):
    out, _, manifest = dataset
    text = (out / "README.md").read_text()
    counts = manifest["counts"]
    assert f"{counts['images']} synthetic endoscope images (128x96 px)" in text
    assert "license: other" in text and "| needle driver | 12 | 12 |" in text
    assert manifest["provenance"]["render"] == [{"config_digest": "abc", "licences": {"needle_driver": "CC0"}}]
    assert decode_image((out / "contact.jpg").read_bytes()).shape == (3 * 96, 4 * 128, 3)


def test_small_and_hidden_instances_are_dropped_and_counted():
    frame = fake.frame(3, second=True)
    area = int(frame.visible_mask(2).sum())
    dropped = Counter()
    kept = read_annotations(frame, NAMES, AnnotateConfig(min_area_px=area), dropped, "shard")
    assert [annotation.instance for annotation in kept] == [1, 2] and not dropped
    kept = read_annotations(frame, NAMES, AnnotateConfig(min_area_px=area + 1), dropped, "shard")
    assert [annotation.instance for annotation in kept] == [1] and dropped == {"below_min_area": 1}
    dropped.clear()
    visibility = kept[0].visibility
    settings = AnnotateConfig(min_visibility=visibility + 0.01)
    assert [a.instance for a in read_annotations(frame, NAMES, settings, dropped, "shard")] == [2]
    assert dropped == {"below_min_visibility": 1}
    dropped.clear()
    frame.instance_map[frame.instance_map == 1] = 0
    read_annotations(frame, NAMES, AnnotateConfig(), dropped, "shard")
    frame.amodal_bits[:] = 0
    read_annotations(frame, NAMES, AnnotateConfig(), dropped, "shard")
    assert dropped == {"hidden": 1, "outside_image": 1}


def test_empty_frames_are_negatives_or_left_out(tmp_path):
    empty = fake.frame(0, key="000009")
    empty.class_map[:], empty.instance_map[:], empty.amodal_bits[:] = 0, 0, 0
    shard = tmp_path / "shard_000000.tar"
    write_shard(shard, [fake.frame(1), empty])
    kept = annotate_dataset([shard], fake.CLASS_TABLE, SETTINGS, tmp_path / "kept", name="a")
    assert kept["counts"]["images"] == 2 and kept["counts"]["images_without_annotations"] == 1
    assert (tmp_path / "kept/labels/000000_000009.txt").read_text() == ""
    strict = AnnotateConfig(keep_empty_frames=False)
    left = annotate_dataset([shard], fake.CLASS_TABLE, strict, tmp_path / "left", name="a")
    assert left["counts"]["images"] == 1 and left["counts"]["dropped_empty_frames"] == 1


def test_bad_input_is_named(tmp_path):
    shard = tmp_path / "shard_000000.tar"
    bare = fake.frame(1)
    bare.instance_map = None
    write_shard(shard, [bare])
    with pytest.raises(InputError, match="no class or instance map"):
        annotate_dataset([shard], fake.CLASS_TABLE, SETTINGS, tmp_path / "out", name="a")
    write_shard(shard, [fake.frame(1)])
    with pytest.raises(InputError, match=r"class 14 for an instance"):
        annotate_dataset([shard], {"background": 0, "grasper": 5}, SETTINGS, tmp_path / "out", name="a")
    shard.write_bytes(shard.read_bytes()[:1500])
    with pytest.raises(InputError):
        annotate_dataset([shard], fake.CLASS_TABLE, SETTINGS, tmp_path / "out", name="a")
    assert not (tmp_path / "out").exists()


def test_bad_input_is_named_by_other_processes(tmp_path):
    shards = [tmp_path / f"shard_00000{number}.tar" for number in range(2)]
    for shard in shards:
        write_shard(shard, [fake.frame(1)])
    shards[1].write_bytes(b"no tar")
    with pytest.raises(InputError, match="a frame shard") as raised:
        annotate_dataset(shards, fake.CLASS_TABLE, SETTINGS, tmp_path / "out", name="a", processes=2)
    assert raised.value.file == str(shards[1])

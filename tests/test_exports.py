"""Exports: each is read back by the other side's library, and must give the counts, boxes and masks of the shards."""

import json

import numpy as np
import pytest
import supervision as sv
import yaml
from PIL import Image
from plyfile import PlyData
from pycocotools.coco import COCO
from torchvision.datasets import CocoDetection, VOCDetection, VOCSegmentation

import export_material as material
import fake_results as fake
from splatscope.exports import FORMATS, Dataset, export_dataset
from splatscope.files import read_json, sha256
from splatscope.geometry import apply, invert
from splatscope.shards import read_shard

CATEGORIES = ["grasper", "needle driver"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The dataset's folder, and its frames by the names of images."""
    results = tmp_path_factory.mktemp("exports") / "results"
    return results, _frames(material.write_dataset(results))


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """Exports of the dataset by format, each written once."""
    folder, done = tmp_path_factory.mktemp("exported"), {}

    def export(name):
        if name not in done:
            done[name] = export_dataset(Dataset(made[0] / "dataset/sampled"), name, folder / name)
        return done[name].folder

    return export


def _frames(shards):
    return {f"{shard.stem.removeprefix('shard_')}_{f.key}": f for shard in shards for f in read_shard(shard)}


def _box(mask):
    """x, y of the first pixel, and of the one after the last."""
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def _instances(frame):
    return [entry["instance"] for entry in frame.meta["instances"]]


def _split(made, split):
    images = read_json(made[0] / "dataset/sampled/annotations.json")["images"]
    names = [image["file_name"][7:-4] for image in images if image["split"] == split]
    assert 0 < len(names) < 12
    return names


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco_by_its_api_and_by_torchvision(made, exported, split):
    folder = exported("coco")
    coco = COCO(folder / f"annotations/instances_{split}.json")
    assert [coco.cats[number]["name"] for number in sorted(coco.cats)] == CATEGORIES
    assert sorted(image["file_name"][:-4] for image in coco.imgs.values()) == _split(made, split)
    for image in coco.imgs.values():
        frame = made[1][image["file_name"][:-4]]
        entries = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert [entry["instance"] for entry in entries] == _instances(frame)
        for entry in entries:
            mask = frame.visible_mask(entry["instance"])
            np.testing.assert_array_equal(coco.annToMask(entry), mask)
            x, y, width, height = entry["bbox"]
            assert [x, y, x + width, y + height] == _box(mask) and entry["area"] == mask.sum()
    loaded = CocoDetection(folder / split, folder / f"annotations/instances_{split}.json")
    for number, (picture, _) in enumerate(loaded):
        name = coco.imgs[loaded.ids[number]]["file_name"][:-4]
        np.testing.assert_array_equal(np.array(picture), made[1][name].rgb)


def test_coco_keypoints_are_of_the_instruments_that_have_them(made, exported):
    total = 0
    for split in ("train", "val"):
        coco = COCO(exported("coco") / f"annotations/keypoints_{split}.json")
        assert [(c["name"], c["keypoints"]) for c in coco.cats.values()] == [("grasper", sorted(material.KEYPOINTS))]
        for entry in coco.anns.values():
            points = np.array(entry["keypoints"]).reshape(-1, 3)
            np.testing.assert_allclose(points, [material.KEYPOINTS[name] for name in sorted(material.KEYPOINTS)])
            assert entry["num_keypoints"] == 2
        total += len(coco.anns)
    assert total == sum(2 in _instances(frame) for frame in made[1].values())


@pytest.mark.parametrize("task", ["detect", "segment", "pose"])
def test_yolo_by_supervision(made, exported, task):
    folder, seen = exported(f"yolo-{task}"), 0
    data = yaml.safe_load((folder / "data.yaml").read_text())
    assert list(data["names"].values()) == CATEGORIES
    for split in ("train", "val"):
        assert data[split] == f"images/{split}"
        paths = (folder / data[split], folder / "labels" / split, folder / "data.yaml")
        loaded = sv.DetectionDataset.from_yolo(*map(str, paths))
        assert sorted(path.rsplit("/", 1)[1][:-4] for path, _, _ in loaded) == _split(made, split)
        for path, picture, detections in loaded:
            frame = made[1][path.rsplit("/", 1)[1][:-4]]
            np.testing.assert_array_equal(picture[..., ::-1], frame.rgb)
            assert [CATEGORIES[number] for number in detections.class_id] == [
                {1: "needle driver", 2: "grasper"}[number] for number in _instances(frame)
            ]
            for number, instance in enumerate(_instances(frame)):
                mask = frame.visible_mask(instance)
                if task == "segment":
                    material.assert_equal_but_for_bridges(detections.mask[number], mask)
                else:
                    np.testing.assert_allclose(detections.xyxy[number], _box(mask), atol=2e-3)
                seen += 1
    assert seen == sum(len(_instances(frame)) for frame in made[1].values())


def test_yolo_pose_keypoints_lie_where_they_were_and_say_whether_they_are_seen(made, exported):
    folder = exported("yolo-pose")
    data = yaml.safe_load((folder / "data.yaml").read_text())
    assert data["kpt_shape"] == [3, 3]
    assert data["kpt_names"] == {number: ["jaw_left", "jaw_right", "tip"] for number in range(2)}
    assert data["flip_idx"] == [1, 0, 2]
    for path in sorted(folder.glob("labels/*/*.txt")):
        rows = [[float(value) for value in line.split()] for line in path.read_text().splitlines()]
        assert len(rows) == len(_instances(made[1][path.stem]))
        for row in rows:
            points = np.array(row[5:]).reshape(3, 3) * [128, 96, 1]
            known = CATEGORIES[int(row[0])] == "grasper"
            expected = [material.KEYPOINTS[name] if known else [0, 0, 0] for name in data["kpt_names"][0]]
            np.testing.assert_allclose(points, expected, atol=1e-3)


def test_voc_by_torchvision_and_supervision(made, exported):
    folder = exported("voc")
    for split in ("train", "val", "trainval"):
        loaded = VOCDetection(folder, "2012", split)
        names = [path.rsplit("/", 1)[1][:-4] for path in loaded.images]
        assert names == (_split(made, split) if split != "trainval" else sorted(made[1]))
        for name, (picture, target) in zip(names, loaded):
            frame, objects = made[1][name], target["annotation"].get("object", [])
            assert np.abs(np.array(picture).astype(int) - frame.rgb).mean() < 4  # it is JPEG
            assert target["annotation"]["size"] == {"width": "128", "height": "96", "depth": "3"}
            assert len(objects) == len(_instances(frame))
            for entry, instance in zip(objects, _instances(frame)):
                mask = frame.visible_mask(instance)
                left, top, right, bottom = (int(entry["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax"))
                assert [left - 1, top - 1, right, bottom] == _box(mask)  # from 1 to the last, which is included
                assert entry["name"] == {1: "needle driver", 2: "grasper"}[instance]
                visibility = mask.sum() / frame.amodal_mask(instance).sum()
                assert entry["occluded"] == str(int(visibility < 0.95)) and entry["difficult"] == "0"
                border = (0 in _box(mask)[:2]) or _box(mask)[2] == 128 or _box(mask)[3] == 96
                assert entry["truncated"] == str(int(border))
        for _, mask in VOCSegmentation(folder, "2012", split):
            assert mask.mode == "P"
        segmented = VOCSegmentation(folder, "2012", split)
        for name, (_, mask) in zip(names, segmented):
            np.testing.assert_array_equal(np.array(mask), made[1][name].class_map)
            numbers = Image.open(folder / f"VOCdevkit/VOC2012/SegmentationObject/{name}.png")
            np.testing.assert_array_equal(np.array(numbers), made[1][name].instance_map)
    voc = folder / "VOCdevkit/VOC2012"
    boxes = sv.DetectionDataset.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations"))
    for path, _, detections in boxes:
        frame = made[1][path.rsplit("/", 1)[1][:-4]]
        expected = [_box(frame.visible_mask(instance)) for instance in _instances(frame)]
        np.testing.assert_array_equal(detections.xyxy, np.reshape(expected, (-1, 4)))


def _read_bop(folder):
    """As BOP's description of its format says: scenes, their images, and what is known of each object in them."""
    for scene in sorted([*folder.glob("train/*"), *folder.glob("val/*")]):
        cameras, poses, about = (
            json.loads((scene / f"{name}.json").read_text()) for name in ("scene_camera", "scene_gt", "scene_gt_info")
        )
        assert cameras.keys() == poses.keys() == about.keys()
        for number in cameras:
            stem = f"{int(number):06d}"
            objects = []
            for index, (pose, known) in enumerate(zip(poses[number], about[number], strict=True)):
                masks = [_png(scene / name / f"{stem}_{index:06d}.png") for name in ("mask", "mask_visib")]
                objects.append((pose, known, *masks))
            yield scene, stem, cameras[number], objects


def _png(path):
    return np.array(Image.open(path))


def test_bop_by_its_description(made, exported):
    folder = exported("bop")
    objects = read_json(folder / "objects.json")
    assert [(objects[n]["class"], objects[n]["tool"]) for n in "12"] == [
        ("grasper", None),
        ("needle driver", "needle_driver"),
    ]
    seen = set()
    for scene, stem, camera, found in _read_bop(folder):
        name = f"{scene.name}_{stem}"
        assert name in _split(made, scene.parent.name)
        frame = made[1][name]
        seen.add(name)
        np.testing.assert_array_equal(_png(scene / f"rgb/{stem}.png"), frame.rgb)
        depth = _png(scene / f"depth/{stem}.png")
        assert depth.dtype == np.uint16 or depth.dtype == np.int32
        np.testing.assert_allclose(depth * camera["depth_scale"], frame.depth_mm, atol=1e-3)
        matrix = np.array(camera["cam_K"]).reshape(3, 3)
        camera_from_world = np.eye(4)
        camera_from_world[:3, :3] = np.array(camera["cam_R_w2c"]).reshape(3, 3)
        camera_from_world[:3, 3] = camera["cam_t_w2c"]
        assert len(found) == len(_instances(frame))
        for instance, (pose, known, whole, visible) in zip(_instances(frame), found):
            entry = frame.meta["instances"][instance - 1]
            np.testing.assert_array_equal(whole, frame.amodal_mask(instance) * np.uint8(255))
            np.testing.assert_array_equal(visible, frame.visible_mask(instance) * np.uint8(255))
            assert pose["obj_id"] == {1: 2, 2: 1}[instance]
            # a point of the model is seen where the shard's own poses and camera put it; OpenCV's first pixel is 0, 0
            point = np.array([[1.0, 2.0, 30.0]])
            rotation = np.array(pose["cam_R_m2c"]).reshape(3, 3)
            in_camera = point @ rotation.T + pose["cam_t_m2c"]
            camera_from_tool = invert(np.array(frame.meta["world_from_camera"])) @ np.array(
                entry.get("world_from_tool_sensor", np.eye(4))
            )
            if "camera_from_tool" in entry:
                camera_from_tool = np.array(entry["camera_from_tool"])
            np.testing.assert_allclose(in_camera, apply(camera_from_tool, point), atol=1e-6)
            pixel = matrix @ in_camera[0]
            np.testing.assert_allclose(pixel[:2] / pixel[2] + 0.5, fake.CAMERA.project(in_camera)[0], atol=1e-6)
            left, top, right, bottom = _box(visible > 0)
            assert known["bbox_visib"] == [left, top, right - 1 - left, bottom - 1 - top]  # as the toolkit has it
            assert known["px_count_visib"] == (visible > 0).sum() and known["px_count_all"] == (whole > 0).sum()
            assert known["px_count_valid"] == (frame.depth_mm[whole > 0] > 0).sum()
            assert known["visib_fract"] == pytest.approx(known["px_count_visib"] / known["px_count_all"])
        np.testing.assert_allclose(camera_from_world @ np.array(frame.meta["world_from_camera"]), np.eye(4), atol=1e-9)
    assert seen == made[1].keys()


def test_bop_undistorts_what_a_lens_bent(tmp_path):
    shards = material.write_dataset(tmp_path / "results", camera=material.LENS, lengths=(2,))
    folder = export_dataset(Dataset(tmp_path / "results/dataset/sampled"), "bop", tmp_path / "bop").folder
    frames = _frames(shards)
    for scene, stem, camera, found in _read_bop(folder):
        frame = frames[f"{scene.name}_{stem}"]
        matrix = np.array(camera["cam_K"]).reshape(3, 3)
        y, x = np.nonzero(found[0][3])
        rays = (np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(matrix).T).astype(np.float64)
        bent = np.floor(material.LENS.image_points(rays)).astype(int)
        assert frame.visible_mask(1)[bent[:, 1], bent[:, 0]].mean() > 0.97  # the rest by rounding at the border
        assert np.abs(bent - np.stack([x, y], -1)).max() >= 2  # the lens does bend
        depth = _png(scene / f"depth/{stem}.png") * camera["depth_scale"]
        assert np.abs(depth[y, x] - frame.depth_mm[bent[:, 1], bent[:, 0]]).max() < 1.5


def test_bop_has_models_of_recorded_tools_and_can_do_without_depth(made, tmp_path):
    results = tmp_path / "results"
    (results / "dataset").mkdir(parents=True)
    (results / "dataset/sampled").symlink_to(made[0] / "dataset/sampled")
    points = np.random.default_rng(0).normal(0, [3, 4, 20], (60, 3))
    (results / "extract/needle_driver").mkdir(parents=True)
    fake.write_tool_splat(results / "extract/needle_driver/tool.ply", points, np.eye(3)[[0] * 60])
    dataset = Dataset(results / "dataset/sampled", with_depth=False)
    folder = export_dataset(dataset, "bop", tmp_path / "bop").folder
    vertices = PlyData.read(folder / "models/obj_000002.ply")["vertex"]
    np.testing.assert_allclose(np.stack([vertices[axis] for axis in "xyz"], -1), points, atol=1e-4)
    info = read_json(folder / "models/models_info.json")["2"]
    assert info["diameter"] == pytest.approx(np.linalg.norm(points[:, None] - points, axis=-1).max(), rel=1e-5)
    assert info["min_z"] + info["size_z"] == pytest.approx(points[:, 2].max(), rel=1e-5)
    assert not list(folder.rglob("depth"))
    assert read_json(folder / "train/000000/scene_gt_info.json")["0"][0]["px_count_valid"] == 0


def test_cholecseg8k_by_its_published_values(made, exported):
    folder = exported("cholecseg8k")
    published = {0x50: 0, 0x21: 2, 0x31: 5, 255: 255}  # watershed value: class
    colours = {(127, 127, 127): 0, (255, 114, 114): 2, (170, 255, 0): 5, (255, 255, 255): 255}
    rows = [line.split("\t") for line in (folder / "classes.tsv").read_text().splitlines()[1:]]
    added = {int(row[2]): int(row[0]) for row in rows if row[4] == "no"}
    assert set(added.values()) == {13, 14} and not added.keys() & {17, 18, 19, 33, 34, 35, 36, 37, 49, 50, 51, 80, 5}
    frames = sorted(folder.glob("video*/video*_*/frame_*_endo.png"))
    assert len(frames) == 12
    for path in frames:
        video, number = int(path.parts[-3][5:]), int(path.name.split("_")[1])
        assert path.parent.name == f"video{video:02d}_00000"
        frame = made[1][f"{video - 1:06d}_{number:06d}"]
        np.testing.assert_array_equal(_png(path), frame.rgb)
        grey = _png(path.with_name(f"{path.stem}_watershed_mask.png"))
        assert grey.shape == (96, 128, 3) and (grey == grey[..., :1]).all()
        found = np.vectorize((published | added).get)(grey[..., 0])
        np.testing.assert_array_equal(found, frame.class_map)
        coloured = _png(path.with_name(f"{path.stem}_color_mask.png"))
        for colour, number in colours.items():
            np.testing.assert_array_equal((coloured == colour).all(-1), frame.class_map == number)


def test_huggingface_by_datasets(made, exported, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    folder = exported("huggingface")
    loaded = datasets.load_dataset(str(folder), cache_dir=tmp_path)
    assert {name: len(split) for name, split in loaded.items()} == {
        "train": len(_split(made, "train")),
        "validation": len(_split(made, "val")),
    }
    for name, split in (("train", "train"), ("validation", "val")):
        labels = loaded[name].features["objects"]["category"].feature
        assert labels.names == CATEGORIES
        assert sorted(row["file_name"][:-4] for row in loaded[name]) == _split(made, split)
        for row in loaded[name]:
            frame, objects = made[1][row["file_name"][:-4]], row["objects"]
            np.testing.assert_array_equal(np.array(row["image"]), frame.rgb)
            np.testing.assert_array_equal(np.array(row["class_mask"]), frame.class_map)
            np.testing.assert_array_equal(np.array(row["instance_mask"]), frame.instance_map)
            assert objects["instance"] == _instances(frame)
            for index, instance in enumerate(_instances(frame)):
                x, y, width, height = objects["bbox"][index]
                assert [x, y, x + width, y + height] == _box(frame.visible_mask(instance))
                assert CATEGORIES[objects["category"][index]] == {1: "needle driver", 2: "grasper"}[instance]
                assert objects["keypoints"][index][2] == ([14.25, 12.5, 2] if instance == 2 else [0, 0, 0])
            np.testing.assert_allclose(row["world_from_camera"], frame.meta["world_from_camera"])
            assert row["camera"]["fx"] == fake.CAMERA.fx and row["phase"] == "preparation"
    card = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert card["license_name"] == "unspecified" and card["configs"][0]["data_files"][1]["split"] == "validation"


def test_webdataset_by_its_library(made, exported):
    import webdataset

    seen = []
    for split in ("train", "val"):
        url = str(exported("webdataset") / f"{split}-000000.tar")
        for sample in webdataset.WebDataset(url, shardshuffle=False).decode("rgb8"):
            frame, about = made[1][sample["__key__"]], sample["json"]
            np.testing.assert_array_equal(sample["png"], frame.rgb)
            for kind in ("class", "instance"):  # decoded as pictures of three equal channels
                np.testing.assert_array_equal(sample[f"{kind}.png"][..., 0], getattr(frame, f"{kind}_map"))
            assert [entry["instance"] for entry in about["annotations"]] == _instances(frame)
            for entry in about["annotations"]:
                x, y, width, height = entry["bbox"]
                assert [x, y, x + width, y + height] == _box(frame.visible_mask(entry["instance"]))
            assert about["split"] == split and about["camera"]["fx"] == fake.CAMERA.fx
            seen.append(sample["__key__"])
    assert sorted(seen) == sorted(made[1])


def test_croissant_by_mlcroissant(made, exported):
    import mlcroissant

    loaded = mlcroissant.Dataset(str(exported("croissant") / "croissant.json"))
    assert not loaded.metadata.ctx.issues.errors
    categories = {row["categories/id"]: row["categories/name"].decode() for row in loaded.records("categories")}
    assert categories == {5: "grasper", 14: "needle driver"}
    splits = {row["images/name"].decode(): row["images/split"].decode() for row in loaded.records("images")}
    assert splits == {name: split for split in ("train", "val") for name in _split(made, split)}
    for records, kind in (("pictures", "rgb"), ("class_masks", "class_map"), ("instance_masks", "instance_map")):
        found = {row[f"{records}/image"].decode(): row[f"{records}/content"] for row in loaded.records(records)}
        assert found.keys() == made[1].keys()
        for name, picture in found.items():  # it gives every picture three channels
            expected = getattr(made[1][name], kind)
            expected = expected if kind == "rgb" else np.repeat(expected[..., None], 3, axis=2)
            np.testing.assert_array_equal(np.array(picture), expected)
    boxes = [
        (row["annotations/image"].decode(), row["annotations/instance"], row["annotations/bbox"])
        for row in loaded.records("annotations")
    ]
    expected = [(name, number) for name, frame in sorted(made[1].items()) for number in _instances(frame)]
    assert [box[:2] for box in boxes] == expected
    for name, number, (x, y, width, height) in boxes:
        assert [x, y, x + width, y + height] == _box(made[1][name].visible_mask(number))


@pytest.mark.parametrize("name", FORMATS)
def test_equal_datasets_give_equal_bytes_and_a_card_with_the_licence(made, exported, tmp_path, name):
    first = exported(name)
    again = export_dataset(Dataset(made[0] / "dataset/sampled"), name, tmp_path / "again")
    files = {path.relative_to(first): sha256(path) for path in first.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again.folder): sha256(path) for path in again.folder.rglob("*") if path.is_file()}
    assert again.files == len(files) and again.images == 12
    assert again.annotations in (16, None)
    card = (first / "README.md").read_text()
    assert "Licence: unspecified" in card and "`labels_segment/`" not in card
    assert (first / "contact.jpg").read_bytes() == (made[0] / "dataset/sampled/contact.jpg").read_bytes()

"""YOLO exports by ultralytics' own loader: images, boxes, masks and keypoints as a trainer would get them."""

import os

import numpy as np
import pytest

import export_material as material
from splatscope.exports import Dataset, export_dataset
from splatscope.shards import read_shard

pytestmark = pytest.mark.exports


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ultralytics")
    os.environ |= {"YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(folder)}  # before its import: it writes settings
    shards = material.write_dataset(folder / "results")
    frames = {f"{shard.stem.removeprefix('shard_')}_{f.key}": f for shard in shards for f in read_shard(shard)}
    return Dataset(folder / "results/dataset/sampled"), frames


@pytest.mark.parametrize("task", ["detect", "segment", "pose"])
def test_the_loader_gives_what_went_in(made, tmp_path, task):
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    dataset, frames = made
    folder = export_dataset(dataset, f"yolo-{task}", tmp_path / task).folder
    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    seen, pixels, wrong = 0, 0, 0
    for split in ("train", "val"):
        loaded = YOLODataset(img_path=data[split], data=data, task=task, augment=False, imgsz=128)
        assert len(loaded) == len(dataset.split(split))
        for label in loaded.labels:
            frame = frames[os.path.basename(label["im_file"])[:-4]]
            instances = [entry["instance"] for entry in frame.meta["instances"]]
            assert label["shape"] == (96, 128) and len(label["cls"]) == len(instances)
            for number, instance in enumerate(instances):
                mask = frame.visible_mask(instance)
                rows, columns = np.nonzero(mask)
                box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                x, y, width, height = label["bboxes"][number] * [128, 96, 128, 96]
                found = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                # taken from polygons, which run through the centres of pixels
                inside = [0.5, 0.5, -0.5, -0.5] if task == "segment" else [0] * 4
                np.testing.assert_allclose(found, np.add(box, inside), atol=2e-3)
                assert data["names"][int(label["cls"][number, 0])] == {1: "needle driver", 2: "grasper"}[instance]
                if task == "segment":
                    filled = polygon2mask((96, 128), [(label["segments"][number] * [128, 96]).reshape(-1)]) > 0
                    material.assert_equal_but_for_bridges(filled | mask, mask)
                    pixels, wrong = pixels + int(mask.sum()), wrong + int((mask & ~filled).sum())
                if task == "pose" and instance == 2:
                    points = label["keypoints"][number] * [128, 96, 1]
                    expected = [material.KEYPOINTS[name] for name in sorted(material.KEYPOINTS)]
                    np.testing.assert_allclose(points, expected, atol=1e-3)
                seen += 1
    assert seen == dataset.annotations == 16 and wrong == 0, f"{wrong} of {pixels} pixels missing"

"""The COCO export in FiftyOne, read by the very lines of docs/exports.md."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import export_material as material
from splatscope.exports import Dataset, export_dataset
from splatscope.shards import read_shard

pytestmark = pytest.mark.exports
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/exports.md"


@pytest.fixture(scope="module")
def frames_and_samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fiftyone")
    shards = material.write_dataset(folder / "results")
    frames = {f"{shard.stem.removeprefix('shard_')}_{f.key}": f for shard in shards for f in read_shard(shard)}
    export_dataset(Dataset(folder / "results/dataset/sampled"), "coco", folder / "exports/sampled/coco")
    # before its import: it starts a database of its own and writes settings
    os.environ |= {
        "FIFTYONE_DATABASE_DIR": str(folder / "database"),
        "FIFTYONE_CONFIG_PATH": str(folder / "config.json"),
        "FIFTYONE_DO_NOT_TRACK": "1",
        "FIFTYONE_SHOW_PROGRESS_BARS": "0",
    }
    (lines,) = re.findall(r"^```python\n(import fiftyone.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names: dict = {}
        exec(lines, names)
    yield frames, list(names["dataset"])
    names["dataset"].delete()


def test_every_image_is_there_with_its_split(frames_and_samples):
    frames, samples = frames_and_samples
    assert sorted(Path(sample.filepath).stem for sample in samples) == sorted(frames)
    assert {tag for sample in samples for tag in sample.tags} == {"train", "val"}
    assert all(Path(sample.filepath).parent.name == sample.tags[0] for sample in samples)


def test_classes_boxes_masks_and_keypoints_are_what_went_in(frames_and_samples):
    frames, samples = frames_and_samples
    seen = 0
    for sample in samples:
        frame = frames[Path(sample.filepath).stem]
        entries = {entry["instance"]: entry for entry in frame.meta["instances"]}
        if not entries:
            assert sample.detections is None and sample.segmentations is None
            continue
        found = {field: sample[field].detections for field in ("detections", "segmentations")}
        assert all({label["instance"] for label in labels} == set(entries) for labels in found.values())
        for box, label in zip(found["detections"], found["segmentations"], strict=True):
            instance = box["instance"]
            mask = frame.visible_mask(instance)
            rows, columns = np.nonzero(mask)
            left, top = columns.min(), rows.min()
            width, height = columns.max() + 1 - left, rows.max() + 1 - top
            assert box.label == label.label == {1: "needle driver", 2: "grasper"}[instance]
            np.testing.assert_allclose(np.multiply(box.bounding_box, [128, 96, 128, 96]), [left, top, width, height])
            np.testing.assert_array_equal(label.mask, mask[top : top + height, left : left + width])
            assert box["name"] == entries[instance]["name"]
            seen += 1
        (points,) = [one for one in sample.keypoints.keypoints if one["instance"] == 2]
        expected = np.array([material.KEYPOINTS[name] for name in sorted(material.KEYPOINTS)])
        assert points["visible"] == expected[:, 2].tolist()
        expected[expected[:, 2] == 0] = np.nan
        np.testing.assert_allclose(np.multiply(points.points, [128, 96]), expected[:, :2])
    assert seen == 16

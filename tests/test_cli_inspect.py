"""`splatscope inspect`: the right kind and figures of each artefact, and refusals instead of tracebacks."""

import json
import os

import numpy as np
import pytest

from fake_results import write_ingest, write_splat
from project_material import FRAMES, write_recordings, write_results
from splatscope import cli
from splatscope.files import write_json
from splatscope.images import decode_image, encode_png
from splatscope.inspection import describe


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with results, and recordings in `brought`."""
    folder = tmp_path_factory.mktemp("project")
    write_results(folder / "results")
    write_recordings(folder / "brought", (0.6, 0.7, 0.5))
    return folder


def test_a_shard(project):
    found = describe(project / "results/render/sampled/shard_000000.tar")
    assert found.kind == "frame shard"
    facts = found.facts
    assert facts["frames"] == facts["looked_at"] == FRAMES
    assert facts["frames_by_instances"] == {"1": FRAMES}
    assert "in 4 of 4 frames" in facts["classes"]["needle driver"]
    assert 75 < facts["depth_mm"]["min"] < 85 and 98 < facts["depth_mm"]["max"] < 102
    assert facts["provenance"]["rule"] == "render_shard"
    assert facts["record"] == "written by render_shard, unchanged since"


def test_a_dataset(project):
    found = describe(project / "results/dataset/sampled")
    assert found.kind == "dataset"
    assert found.facts["images"] == found.facts["annotations"] == FRAMES
    assert found.facts["annotations_by_class"] == {"needle driver": FRAMES}
    assert found.facts["visibility"]["min"] > 0.9 and 60 < found.facts["tool_distance_mm"]["min"] < 90
    coco = describe(project / "results/dataset/sampled/annotations.json")
    assert coco.kind == "COCO annotations" and coco.facts["images"] == FRAMES


@pytest.mark.parametrize(
    "path, kind, key",
    [
        ("results/splat/site/model.ply", "Gaussian splat", "gaussians"),
        ("results/splat/site", "Gaussian splat", "gaussians"),
        ("results/compose/sampled.json", "scene list", "cameras"),
        ("results/compose/sampled.parquet", "scene list", "world_from_camera"),
        ("results/render/sampled/shard_000000.json", "frame shard", "frames"),
        ("results/dataset/sampled/manifest.json", "dataset", "counts"),
        ("results/dataset/sampled/images/000000_000001.png", "image", "values"),
        ("results/dataset/sampled/masks/class/000000_000001.png", "mask", "share_of_pixels"),
        ("results", "results of a run", "datasets"),
        ("brought/IMG_41.mp4", "video", "fps"),
        ("brought/logB.csv", "tracker log", "sensors"),
        ("brought/lens.json", "JSON document", "camera_matrix"),
    ],
)
def test_kinds(project, path, kind, key):
    found = describe(project / path)
    assert found.kind == kind and key in found.facts
    json.dumps(found.facts, allow_nan=False)


def test_records_of_stages(tmp_path):
    write_ingest(tmp_path / "ingest/scene", "scene", "scene", 1)
    write_splat(tmp_path / "splat")
    assert describe(tmp_path / "ingest/scene/ingest.json").kind == "record of an ingested recording"
    assert describe(tmp_path / "ingest/scene").kind == "ingested recording"
    assert describe(tmp_path / "splat/splat.json").kind == "record of a trained splat"


def test_known_values_of_an_image(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(np.array([[0, 0, 0, 200]], np.uint8)))
    assert describe(tmp_path / "a.png").facts["share_of_pixels"] == {"0": 0.75, "200": 0.25}


@pytest.mark.parametrize(
    "path",
    [
        "results/render/sampled/shard_000000.tar",
        "results/dataset/sampled",
        "results/splat/site/model.ply",
        "results/compose/sampled.parquet",
        "results/dataset/sampled/masks/class/000000_000001.png",
        "brought/IMG_42.mp4",
        "brought/logC.csv",
    ],
)
def test_pictures(project, path, tmp_path, capsys):
    assert cli.main(["inspect", str(project / path), "--picture", str(tmp_path / "a.png")]) == 0
    picture = decode_image((tmp_path / "a.png").read_bytes())
    assert picture.ndim == 3 and picture.dtype == np.uint8 and picture.std() > 5
    assert "picture: " in capsys.readouterr().out


def test_a_change_since_it_was_written_is_said(tmp_path):
    folder = write_results(tmp_path / "results")
    file = folder / "annotations.json"
    file.write_text(file.read_text() + "\n")
    assert "CHANGED" in describe(file).facts["record"]


def test_text_and_json_say_the_same(project, capsys):
    shard = str(project / "results/render/sampled/shard_000000.tar")
    assert cli.main(["inspect", shard, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"path", "kind", "facts"} and document["facts"]["frames"] == FRAMES
    assert cli.main(["inspect", shard]) == 0
    assert "visibility" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.tar", b"no tar"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 999999999\nproperty float f_dc_0\nend_header\n"),
        ("a.parquet", b"PAR1 and no more PAR1"),
        ("a.json", b"[" * 100_000),
        ("a.json", b'{"camera": {"width": "x"}}'),
        ("a.json", b'{"images": [{"id": 1}], "annotations": [], "categories": []}'),
        ("a.png", b"\x89PNG\r\n\x1a\nand no more"),
        ("a.yaml", b"{a: [}"),
        ("a.mp4", b"no video"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.exe", b"MZ"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path, capsys, name, content):
    (tmp_path / name).write_bytes(content)
    assert cli.main(["inspect", str(tmp_path / name)]) == 2
    assert "to mend:" in capsys.readouterr().err


def test_cut_shards_are_refused(project, tmp_path, capsys):
    source = project / "results/render/sampled/shard_000000.tar"
    (tmp_path / "a.tar").write_bytes(source.read_bytes()[:-40_000])
    (tmp_path / "a.json").write_bytes(source.with_suffix(".json").read_bytes())
    assert cli.main(["inspect", str(tmp_path / "a.tar")]) == 2


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path, capsys):
    write_json(tmp_path / "a.json", {"\x1b[2Jkey": "\x1b]0;title\x07"})
    assert cli.main(["inspect", str(tmp_path / "a.json")]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_images_outside_the_dataset_are_not_read(tmp_path):
    image = {"id": 1, "file_name": "../secret.png", "width": 4, "height": 3}
    write_json(tmp_path / "d" / "annotations.json", {"images": [image], "annotations": [], "categories": []})
    assert cli.main(["inspect", str(tmp_path / "d" / "annotations.json"), "--picture", str(tmp_path / "p.png")]) == 2


def test_what_has_no_picture_says_so(tmp_path, capsys):
    write_json(tmp_path / "a.json", {"a": 1})
    assert cli.main(["inspect", str(tmp_path / "a.json"), "--picture", str(tmp_path / "p.png")]) == 2
    assert "no picture" in capsys.readouterr().err and not os.path.exists(tmp_path / "p.png")
    assert cli.main(["inspect", str(tmp_path / "a.json"), "--picture", str(tmp_path / "p.gif")]) == 2

"""`splatscope export`: what it says, what it refuses, and what is left when it was stopped."""

import json
import re
import shutil
from pathlib import Path

import pytest

import export_material as material
from splatscope.cli import main
from splatscope.commands.export import FORMAT_NAMES
from splatscope.errors import InputError
from splatscope.exports import FORMATS, Dataset, coco, export_dataset
from splatscope.exports.export import MARKER
from splatscope.files import read_json, sha256, write_json

DOCUMENT = Path(__file__).parents[1] / "docs" / "exports.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    material.write_dataset(folder / "results", lengths=(6,))
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A working directory with results of its own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATASET = Path("results/dataset/sampled")


def test_every_command_of_the_document_runs(here, capsys):
    commands = re.findall(r"^    splatscope (export .+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        assert main(command.split()) == 0, command
    capsys.readouterr()


def test_the_document_has_a_row_for_every_format():
    table, _ = DOCUMENT.read_text().split("## Reading them")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", table, flags=re.MULTILINE)
    assert rows == list(FORMATS)


def test_a_dataset_is_named_by_its_folder_or_by_its_name(here, capsys):
    assert main(["export", "sampled", "--to", "coco,voc,coco"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in said] == ["coco: exports/sampled/coco", "voc: exports/sampled/voc"]
    assert "6 images, 8 of 8 annotations" in said[0]
    assert main(["export", str(DATASET), "--to", "coco", "--output", "elsewhere", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (export,) = said["exports"]
    assert (said["dataset"], export["format"], export["folder"]) == ("sampled", "coco", "elsewhere/coco")
    files = [path for path in Path("elsewhere/coco").rglob("*") if path.is_file()]
    assert export["files"] == len(files) and export["size_bytes"] == sum(path.stat().st_size for path in files)
    marker = read_json(Path("elsewhere/coco") / MARKER)
    assert all(sha256(Path("elsewhere/coco") / name) == digest for name, digest in marker["files"].items())
    assert ", ".join(FORMATS) == FORMAT_NAMES


def _refused(capsys, arguments, *texts):
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and all(part in said for part in ("found:", "expected:", "to mend:", *texts)), said
    assert not Path("exports").exists() or not list(Path("exports").rglob("*partial*"))


def test_bad_input_is_refused_with_what_mends_it(here, capsys):
    _refused(capsys, ["nowhere", "--to", "coco"], "nowhere", "no such folder")
    _refused(capsys, ["results", "--to", "coco"], "no manifest.json there")
    _refused(capsys, ["sampled", "--to", "coco,kitti"], "'kitti'", "one of coco, yolo-detect")
    _refused(capsys, ["sampled", "--to", "coco", "--output", str(DATASET / "coco")], "a folder in the dataset itself")
    shutil.rmtree("results/render")
    _refused(capsys, ["sampled", "--to", "bop"], "0 of the 1 frame shards", "--without-depth")
    assert main(["export", "sampled", "--to", "bop", "--without-depth"]) == 0


def test_shards_are_found_where_they_are_said_to_be_and_must_be_the_ones(here, capsys):
    shutil.move("results/render", "shards")
    assert main(["export", "sampled", "--to", "bop", "--shards", "shards"]) == 0
    tar = Path("shards/sampled/shard_000000.tar")
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    _refused(capsys, ["sampled", "--to", "bop", "--shards", "shards"], "shard_000000.tar", "SHA-256")


def test_damaged_and_missing_files_are_named(here, capsys):
    image = sorted((DATASET / "images").iterdir())[2]
    whole = image.read_bytes()
    for name in FORMATS:
        image.write_bytes(whole[:200] + b"?" + whole[201:])
        _refused(capsys, ["sampled", "--to", name], image.name, "a damaged or changed file")
        image.unlink()
        _refused(capsys, ["sampled", "--to", name], image.name, "no such file")
        image.write_bytes(whole)
    (DATASET / "poses.json").write_text("{")
    _refused(capsys, ["sampled", "--to", "coco"], "poses.json", "a damaged or changed file")


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("annotations.json", lambda c: c["annotations"][0].update(category_id=99), "annotation 1"),
        ("annotations.json", lambda c: c["annotations"][0].update(bbox=[1, 2]), "annotations.0.bbox"),
        ("annotations.json", lambda c: c["images"][0].update(file_name="../../secret.png"), "secret"),
        ("annotations.json", lambda c: c["annotations"][0]["segmentation"].update(counts="~"), "segmentation"),
        ("poses.json", lambda c: c["images"].clear(), "poses.json"),
        ("manifest.json", lambda c: c.update(schema_version=1), "schema_version"),
        ("manifest.json", lambda c: c.pop("classes"), "classes"),
        ("manifest.json", lambda c: c.update(name="../up"), "name"),
        ("manifest.json", lambda c: c["counts"].clear(), "no counts"),
    ],
)
def test_datasets_that_lie_are_refused(here, capsys, file, change, text):
    content = read_json(DATASET / file)
    change(content)
    write_json(DATASET / file, content)
    if file != "manifest.json":
        manifest = read_json(DATASET / "manifest.json")
        manifest["files"][file] = sha256(DATASET / file)
        write_json(DATASET / "manifest.json", manifest)
    _refused(capsys, ["sampled", "--to", "bop"], text)


def test_a_full_disk_is_said_before_anything_is_written(here, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    _refused(capsys, ["sampled", "--to", "coco"], "0.0 MB free")
    assert not list(Path("exports").rglob("*.png"))


def test_what_is_not_ours_is_left_alone_and_an_older_export_is_replaced(here, capsys):
    mine = Path("exports/sampled/coco/notes.txt")
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    _refused(capsys, ["sampled", "--to", "coco"], "something that is no export of ours")
    assert mine.read_text() == "mine"
    mine.unlink()
    assert main(["export", "sampled", "--to", "coco"]) == 0  # into an empty folder
    mine.write_text("old")
    assert main(["export", "sampled", "--to", "coco"]) == 0
    assert not mine.exists() and [path.name for path in Path("exports/sampled").iterdir()] == ["coco"]


def test_a_stopped_export_leaves_the_older_one_and_is_begun_anew(here, monkeypatch):
    dataset, folder = Dataset(DATASET), here / "coco"
    export_dataset(dataset, "coco", folder)
    before = (folder / MARKER).read_bytes()
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, "coco", folder, stop)
    assert (folder / MARKER).read_bytes() == before and not list(here.glob(".coco*"))
    left = here / ".coco.partial/train/stale.png"  # of a killed process
    left.parent.mkdir(parents=True)
    left.write_bytes(b"old")
    export_dataset(dataset, "coco", folder)
    assert (folder / MARKER).read_bytes() == before and not list(folder.rglob("stale.png"))


def test_two_do_not_write_the_same_export_at_once(here, monkeypatch):
    def write_and_try_again(dataset, folder, advance):
        with pytest.raises(InputError, match="another process that is writing it"):
            export_dataset(dataset, "coco", here / "coco")
        return written(dataset, folder, advance)

    written = coco.write
    monkeypatch.setattr(coco, "write", write_and_try_again)
    assert export_dataset(Dataset(DATASET), "coco", here / "coco").images == 6


def test_images_are_kept_as_they_are_or_said_to_be_changed(tmp_path):
    """A dataset of JPEGs: no format but BOP and CholecSeg8k, which want PNG, encodes them again."""
    material.write_dataset(tmp_path / "results", config={"image_format": "jpg"}, lengths=(3,))
    dataset = Dataset(tmp_path / "results/dataset/sampled")
    originals = {sha256(path) for path in (dataset.folder / "images").iterdir()}
    for name in ("coco", "yolo-detect", "voc", "croissant"):
        folder = export_dataset(dataset, name, tmp_path / name).folder
        assert {sha256(path) for path in folder.rglob("*.jpg") if path.name != "contact.jpg"} == originals
    for name, pattern in (("bop", "rgb/*.png"), ("cholecseg8k", "*_endo.png")):
        folder = export_dataset(dataset, name, tmp_path / name).folder
        assert len(list(folder.rglob(pattern))) == 3


def test_formats_need_what_they_are_about(tmp_path):
    material.write_dataset(tmp_path / "results", lengths=(3,))
    dataset = Dataset(tmp_path / "results/dataset/sampled")
    dataset.keypoints.clear()
    with pytest.raises(InputError, match="a dataset without keypoints"):
        export_dataset(dataset, "yolo-pose", tmp_path / "pose")
    dataset.images[:] = [image for image in dataset.images if not image.instances]
    with pytest.raises(InputError, match="no instrument whose pose is known"):
        export_dataset(dataset, "bop", tmp_path / "bop")

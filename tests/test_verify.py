"""Damage among results: what is found before a run, what only reading every byte finds, and what is done about it."""

import json
import os
import time
from pathlib import Path

import pytest

from shard_material import some_frame
from splatscope import cli, shards
from splatscope.errors import InputError
from splatscope.files import sha256, write_json
from splatscope.records import Records
from splatscope.run_lock import claim_folder
from splatscope.verify import find_damage, give_back_times, mend_times, repair

YEAR_NS = 365 * 86_400 * 10**9


@pytest.fixture
def results(tmp_path) -> Path:
    """A shard with its manifest, a picture, and a small dataset, all recorded."""
    results = tmp_path / "results"
    shards.write_shard(results / "render" / "a.tar", [some_frame("000001"), some_frame("000002")])
    (results / "splat").mkdir()
    (results / "splat" / "picture.png").write_bytes(bytes(range(256)))
    dataset = results / "dataset" / "d"
    (dataset / "images").mkdir(parents=True)
    for name in ("images/1.png", "images/2.png", "train.txt", "annotations.json"):
        (dataset / name).write_bytes(name.encode())
    files = {name: sha256(dataset / name) for name in ("images/1.png", "images/2.png", "train.txt", "annotations.json")}
    write_json(dataset / "manifest.json", {"files": files})
    records = Records(results)
    for file in ("render/a.tar", "render/a.json", "splat/picture.png"):
        records.add(results / file, "some_rule")
    for file in ("annotations.json", "manifest.json"):
        records.add(dataset / file, "annotate_dataset")
    (results / "logs").mkdir()
    (results / "logs" / "a.log").write_text("no result")
    return results


def flip(file: Path, *, secretly: bool = False) -> None:
    """Flip a bit; secretly: so that size and time of modification stay."""
    times = os.stat(file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    with open(file, "r+b") as handle:
        handle.write(content)
    if secretly:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_sound_results_raise_no_doubt(results):
    findings = find_damage(Records(results))
    assert findings.recorded == 5
    assert not (findings.damaged or findings.missing or findings.changed or findings.remake)
    assert find_damage(Records(results), every_byte=True) == findings


@pytest.mark.parametrize("file", ["render/a.tar", "splat/picture.png", "dataset/d/manifest.json"])
def test_a_flipped_bit_is_found_though_size_and_time_are_kept(results, file):
    flip(results / file, secretly=True)
    findings = find_damage(Records(results))
    assert list(findings.damaged) == [results / file] and findings.remake == {results / file}
    assert "SHA-256" in findings.damaged[results / file]


def test_a_truncated_file_is_found(results):
    os.truncate(results / "render" / "a.tar", 1000)
    assert "1000 bytes, but" in find_damage(Records(results)).damaged[results / "render" / "a.tar"]


@pytest.mark.parametrize("name", ["images/1.png", "train.txt"])
def test_damage_to_a_file_without_a_record_is_found_by_the_datasets_manifest(results, name):
    flip(results / "dataset" / "d" / name, secretly=True)
    findings = find_damage(Records(results))
    assert list(findings.damaged) == [results / "dataset" / "d" / name]
    assert findings.remake == {results / "dataset" / "d" / "manifest.json"}


def test_a_missing_image_is_damage_to_its_dataset(results):
    (results / "dataset" / "d" / "images" / "2.png").unlink()
    findings = find_damage(Records(results))
    assert findings.damaged == {results / "dataset" / "d" / "images" / "2.png": "missing"}


def test_a_large_dataset_is_left_to_verify(results, monkeypatch):
    monkeypatch.setattr("splatscope.records.MAX_MEMBERS", 1)
    manifest = results / "dataset" / "d" / "manifest.json"
    Records(results).add(manifest, "annotate_dataset")
    flip(results / "dataset" / "d" / "images" / "1.png")
    quick = find_damage(Records(results))
    assert quick.left_out == [manifest] and not quick.damaged
    assert list(find_damage(Records(results), every_byte=True).damaged) == [
        results / "dataset" / "d" / "images" / "1.png"
    ]


def test_a_deleted_file_is_missing_not_damaged(results):
    (results / "splat" / "picture.png").unlink()
    findings = find_damage(Records(results))
    assert findings.missing == [results / "splat" / "picture.png"] and not findings.damaged and not findings.remake


def test_a_record_that_cannot_be_read_condemns_its_file(results):
    place = results / "digests" / "splat" / "picture.png.json"
    place.write_text(place.read_text()[:20])
    findings = find_damage(Records(results))
    assert findings.remake == {results / "splat" / "picture.png"}
    repair(Records(results), findings)
    assert Records(results).read(results / "splat" / "picture.png").set_aside


def test_what_an_unfinished_job_left_is_not_taken_for_a_result(results):
    records, file = Records(results), results / "splat" / "picture.png"
    records.begin(file)
    assert find_damage(records).changed.keys() == {file}  # nothing was written yet
    file.write_bytes(b"with other settings")
    assert find_damage(records).damaged == {file: "left by a job that did not finish"}
    file.unlink()
    assert find_damage(records).remake == {file}


def test_repair_moves_aside_and_remembers_until_the_job_has_run(results):
    records, file = Records(results), results / "splat" / "picture.png"
    for number in range(2):
        file.write_bytes(b"damaged %d" % number)
        repair(records, find_damage(records))
        assert not file.exists()
        assert find_damage(records).remake == {file}
        file.write_bytes(b"made again")
        records.add(file, "some_rule")
        assert not find_damage(records).remake
    kept = sorted((results / "damaged" / "splat").iterdir())
    assert [path.read_bytes() for path in kept] == [b"damaged 0", b"damaged 1"]


def test_repair_of_a_dataset_takes_its_manifest_too(results):
    flip(results / "dataset" / "d" / "images" / "1.png")
    records = Records(results)
    repair(records, find_damage(records))
    assert (results / "damaged" / "dataset" / "d" / "images" / "1.png").exists()
    assert (results / "damaged" / "dataset" / "d" / "manifest.json").exists()
    assert find_damage(records).remake == {results / "dataset" / "d" / "manifest.json"}


@pytest.mark.parametrize("offset, expected", [(-20 * YEAR_NS, "recorded"), (20 * YEAR_NS, "now"), (1000, "found")])
def test_times_that_a_clock_got_wrong_are_mended(results, offset, expected):
    records, file = Records(results), results / "splat" / "picture.png"
    recorded = records.read(file).mtime_ns
    time.sleep(0.01)  # for "found" to lie in the past
    os.utime(file, ns=(0, recorded + offset))
    findings = find_damage(records)
    assert list(findings.changed) == [file] and not findings.damaged
    mend_times(records, findings)
    found = os.stat(file).st_mtime_ns
    if expected == "now":
        assert abs(found - time.time_ns()) < 60e9
    else:
        assert found == {"recorded": recorded, "found": recorded + offset}[expected]
    assert not find_damage(records).changed


def test_a_result_made_again_alike_gets_its_time_back(results):
    records, file = Records(results), results / "splat" / "picture.png"
    os.utime(file, ns=(10**18, 10**18))
    records.add(file, "some_rule")
    before = dict(records.all())
    content = file.read_bytes()
    file.write_bytes(content)
    records.add(file, "some_rule")
    (results / "render" / "a.json").write_text("{}")
    records.add(results / "render" / "a.json", "some_rule")
    new = os.stat(results / "render" / "a.json").st_mtime_ns
    give_back_times(records, before)
    assert os.stat(file).st_mtime_ns == 10**18
    assert os.stat(results / "render" / "a.json").st_mtime_ns == new
    assert not find_damage(records).changed


def test_links_into_a_shared_cache_are_not_ours_to_judge(results, tmp_path):
    file = results / "splat" / "picture.png"
    (tmp_path / "cached").write_bytes(b"by another checkout")
    file.unlink()
    file.symlink_to(tmp_path / "cached")
    findings = find_damage(Records(results))
    assert not findings.damaged and not findings.missing and Records(results).read(file) is None


def test_the_command_lists_what_it_finds(results, capsys):
    assert cli.main(["verify", str(results)]) == 0
    flip(results / "splat" / "picture.png")
    (results / "render" / "a.json").unlink()
    (results / "notes.txt").write_text("mine")
    assert cli.main(["verify", str(results)]) == 1
    said = capsys.readouterr().out
    assert f"damaged: {results}/splat/picture.png" in said
    assert f"missing: {results}/render/a.json" in said
    assert f"unrecorded: {results}/notes.txt" in said
    assert "images/1.png" not in said and "a.log" not in said
    assert (results / "splat" / "picture.png").exists()


def test_the_command_finds_what_left_no_trace(results, capsys):
    """As a disk that forgets: the record is given the times that the file has after the damage."""
    file = results / "splat" / "picture.png"
    flip(file)
    place, stat = results / "digests" / "splat" / "picture.png.json", os.stat(file)
    record = json.loads(place.read_text()) | {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
    place.write_text(json.dumps(record))
    assert not find_damage(Records(results)).damaged
    assert cli.main(["verify", str(results)]) == 1


def test_the_command_holds_unrecorded_shards_against_their_manifests(results, capsys):
    shards.write_shard(results / "old" / "b.tar", [some_frame("000001")])
    assert cli.main(["verify", str(results)]) == 0
    flip(results / "old" / "b.tar")
    assert cli.main(["verify", str(results)]) == 1
    assert "in its manifest" in capsys.readouterr().out


def test_the_command_repairs(results, capsys):
    flip(results / "splat" / "picture.png")
    assert cli.main(["verify", str(results), "--repair"]) == 1
    assert not (results / "splat" / "picture.png").exists()
    assert "run the same snakemake command" in capsys.readouterr().out
    assert cli.main(["verify", str(results)]) == 1  # missing until it is made again


def test_the_command_does_not_repair_under_a_run(results, tmp_path, capsys):
    lock = claim_folder(tmp_path / ".snakemake")
    flip(results / "splat" / "picture.png")
    assert cli.main(["verify", str(results), "--repair"]) == 2
    assert "another run at work here" in capsys.readouterr().err
    assert (results / "splat" / "picture.png").exists()
    lock.release()
    assert cli.main(["verify", str(results), "--repair"]) == 1


def test_no_run_begins_while_the_command_repairs(results, tmp_path, monkeypatch):
    refused = []

    def repaired(records, findings):
        with pytest.raises(InputError, match="another run"):
            claim_folder(tmp_path / ".snakemake")
        refused.append(True)

    monkeypatch.setattr("splatscope.verify.repair", repaired)
    cli.main(["verify", "--repair", str(results)])
    assert refused
    claim_folder(tmp_path / ".snakemake").release()


def test_the_command_refuses_what_is_no_folder(tmp_path, capsys):
    assert cli.main(["verify", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_paths_outside_results_have_no_record(tmp_path):
    records = Records(tmp_path / "results")
    for file in (tmp_path / "video.mp4", Path("/etc/hosts"), tmp_path / "results" / "logs" / "a.log"):
        assert records.place(file) is None and records.read(file) is None


def test_a_second_run_is_refused_and_a_dead_ones_locks_go(tmp_path):
    folder = tmp_path / ".snakemake"
    (folder / "locks").mkdir(parents=True)
    (folder / "locks" / "0.output.lock").write_text("results/a")
    lock = claim_folder(folder)
    assert not (folder / "locks").exists()
    with pytest.raises(InputError, match=rf"another run at work here \(process {os.getpid()} on "):
        claim_folder(folder)
    lock.release()
    claim_folder(folder).release()

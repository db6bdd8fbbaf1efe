"""A dataset that is not what was declared fails the run; the picture of the offenders stays."""

import json

import pytest

import fake_results as fake
from splatscope.images import decode_image
from splatscope.shards import write_shard

TARGET = "results/check/simulated.passed"
ONLY = ("--allowed-rules", "check_dataset", "require_checks")  # the shard is taken as it is


@pytest.fixture
def folder(tmp_path, repository):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "recordings.tsv").write_text((repository / "config" / "recordings.tsv").read_text())
    frames = [fake.frame(index, second=index > 2) for index in range(4)]
    write_shard(tmp_path / "results/simulate/episode_000000.tar", frames)
    return tmp_path


def settings(grasper: float) -> tuple[str, str, str]:
    return "--config", "simulate={'episodes': 1}", f"checks={{'class_floors': {{'grasper': {grasper}}}}}"


def test_a_failed_check_fails_the_run_and_leaves_the_picture(folder, run_snakemake):
    run = run_snakemake(folder, "--cores", "1", TARGET, *ONLY, *settings(0.9))
    assert run.code != 0
    assert "results/check/simulated.jpg, check class_floors of the dataset simulated" in run.output
    assert "no grasper, which is in 25.0% of the frames" in run.output and "Traceback" not in run.output
    assert not (folder / TARGET).exists()
    assert decode_image((folder / "results/check/simulated.jpg").read_bytes()).shape[1] == 1800
    assert not json.loads((folder / "results/check/simulated.json").read_text())["passed"]
    run = run_snakemake(folder, "--cores", "1", TARGET, *ONLY, *settings(0.2))
    assert run.code == 0, run.output[-3000:]
    assert (folder / TARGET).read_text().startswith("simulated: 4 frames passed ")


def test_a_class_that_nobody_knows_is_refused_before_any_job(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "--config", "checks={'class_floors': {'graspr': 0.5}}")
    assert run.code != 0 and "did you mean grasper" in run.output and "Traceback" not in run.output

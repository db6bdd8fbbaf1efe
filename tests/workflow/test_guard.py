"""What a run does before its DAG: damage, locks of the dead, a second run; on the quickest job there is."""

import os

import pytest

from splatscope.files import sha256
from splatscope.run_lock import claim_folder

TARGET = "results/phantom/calibration.yaml"
COMMAND = ("--cores", "1", "--", TARGET)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository, run_snakemake):
    """A folder in which the target was made."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "config").mkdir()
    (folder / "config" / "recordings.tsv").write_text((repository / "config" / "recordings.tsv").read_text())
    run = run_snakemake(folder, *COMMAND)
    assert run.code == 0, run.output
    assert (folder / "results" / "digests" / "phantom" / "calibration.yaml.json").exists()
    return folder


def test_damage_is_reported_by_a_dry_run_and_made_good_by_a_run(folder, run_snakemake):
    file, truth = folder / TARGET, folder / "results" / "phantom" / "truth" / "truth.json"
    right, seen = sha256(file), os.stat(truth).st_mtime_ns
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    dry = run_snakemake(folder, "--dry-run", *COMMAND)
    assert f"Damaged: {TARGET}: SHA-256" in dry.output and file.read_bytes() == content
    run = run_snakemake(folder, *COMMAND)
    assert run.code == 0 and f"Damaged: {TARGET}: SHA-256" in run.output
    assert sha256(file) == right
    assert (folder / "results" / "damaged" / "phantom" / "calibration.yaml").read_bytes() == content
    # what the same job made beside it came out alike and looks no newer: nothing that depends on it runs again
    assert os.stat(truth).st_mtime_ns == seen


def test_locks_of_a_killed_run_are_no_hindrance_and_those_of_a_live_one_are_respected(folder, run_snakemake):
    locks = folder / ".snakemake" / "locks"
    lock = claim_folder(folder / ".snakemake")
    locks.mkdir()
    for kind in ("input", "output"):
        (locks / f"0.{kind}.lock").write_text(f"{TARGET}\n")
    refused = run_snakemake(folder, *COMMAND)
    assert refused.code != 0 and f"another run at work here (process {os.getpid()} on " in refused.output
    assert "Traceback" not in refused.output and "--unlock" not in refused.output
    assert len(list(locks.iterdir())) == 2
    lock.release()
    (folder / TARGET).unlink()
    run = run_snakemake(folder, *COMMAND)
    assert run.code == 0, run.output
    assert (folder / TARGET).exists()


def test_a_job_that_failed_under_new_settings_is_not_forgotten(folder, run_snakemake):
    """Snakemake forgets it, and would say that there is nothing to be done for what was made from its old result."""
    phantom = folder / "results" / "phantom"
    (phantom / "calibration.yaml").unlink()
    for note in (folder / ".snakemake" / "metadata").iterdir():
        note.unlink()  # as after a failure
    run = run_snakemake(folder, "--cores", "1", "--", "results/phantom/truth/truth.json")
    assert run.code == 0 and (phantom / "calibration.yaml").exists(), run.output

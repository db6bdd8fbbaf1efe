"""The whole way on a short phantom: same bytes on one core and on two, and only what must run again does."""

import json
import shutil
from pathlib import Path

import pytest

from splatscope.files import sha256
from splatscope.shards import verify_shard

TINY = Path(__file__).parent / "tiny.yaml"
pytestmark = pytest.mark.slow  # two whole runs

CHECKS = {"check_dataset", "require_checks"}
DOWNSTREAM_OF_ANNOTATE = {"all", "annotate_dataset", "write_summary", "write_report"}


@pytest.fixture(scope="module")
def source(tmp_path_factory, repository):
    """A copy of the workflow and its library, to be edited."""
    source = tmp_path_factory.mktemp("source")
    shutil.copy2(repository / "Snakefile", source)
    for part in ("config", "profiles", "resources", "workflow"):
        shutil.copytree(repository / part, source / part)
    return source


@pytest.fixture(scope="module")
def runs(tmp_path_factory, source, run_snakemake):
    """Folders of two runs with equal settings, on one core and on two."""
    folders = []
    for cores in ("1", "2"):
        folder = tmp_path_factory.mktemp(f"cores_{cores}")
        (folder / "config").mkdir()
        shutil.copy(source / "config" / "recordings.tsv", folder / "config")
        run = run_snakemake(folder, "--cores", cores, "--configfile", str(TINY), source=source)
        assert run.code == 0, run.output[-6000:]
        folders.append(folder)
    return folders


@pytest.fixture
def would_run(runs, source, run_snakemake):
    """Jobs that a dry run in the second folder lists."""

    def jobs(*arguments: str) -> set[str]:
        run = run_snakemake(runs[1], "--dry-run", "--configfile", str(TINY), *arguments, source=source)
        assert run.code == 0, run.output[-3000:]
        return set(run.jobs)

    return jobs


def test_results_are_there(runs):
    results = runs[1] / "results"
    assert (results / "report.html").stat().st_size > 100_000
    summary = json.loads((results / "summary.json").read_text())
    assert summary["dataset.frames"] == 12
    assert summary["replay.psnr_mean"] > 12
    assert summary["poses.hand_eye.translation_error_mm"] < 5
    assert len(json.loads((results / "dataset" / "sampled" / "annotations.json").read_text())["images"]) == 12


def test_shards_are_what_their_manifests_say(runs):
    shards = sorted((runs[1] / "results").rglob("*.tar"))
    assert len(shards) >= 12
    for shard in shards:
        verify_shard(shard)


@pytest.mark.parametrize(
    "pattern",
    ["*.tar", "*.ply", "sfm/*/*.bin", "poses/*.parquet", "compose/*.parquet", "dataset/sampled/manifest.json"],
)
def test_equal_bytes_on_one_core_and_two(runs, pattern):
    first, second = (
        {path.relative_to(folder): sha256(path) for path in (folder / "results").rglob(pattern)} for folder in runs
    )
    assert first, "nothing to compare"
    assert [str(path) for path in first if first[path] != second.get(path)] == []


def test_second_run_has_nothing_to_do(runs, source, run_snakemake):
    run = run_snakemake(runs[1], "--cores", "2", "--configfile", str(TINY), source=source)
    assert run.code == 0
    assert "Nothing to be done" in run.output


def test_a_changed_threshold_reruns_what_depends_on_it(would_run):
    assert would_run("--config", "annotate={'min_area_px': 30}") == DOWNSTREAM_OF_ANNOTATE | CHECKS


def test_an_edited_library_module_reruns_its_stage(would_run, source):
    assert would_run() == set()
    with open(source / "workflow" / "src" / "splatscope" / "annotate" / "coco.py", "a") as file:
        file.write("\n# edited\n")
    assert would_run() == DOWNSTREAM_OF_ANNOTATE | CHECKS

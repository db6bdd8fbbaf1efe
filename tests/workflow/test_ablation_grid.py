"""The ablation's grid of tracker errors: one job a cell, and a longer list runs only what is new."""

import pytest

SHORT = ["--config", "ablation={'jitter_mm': [0, 1], 'jitter_deg': [0], 'distortion': [], 'views_percent': []}"]
LONG = ["--config", "ablation={'jitter_mm': [0, 1, 2], 'jitter_deg': [0, 1], 'distortion': [], 'views_percent': [50]}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository, run_snakemake):
    """A finished ablation over the short lists: empty files, and Snakemake's notes on what they were made with."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "config").mkdir()
    (folder / "config" / "recordings.tsv").write_text((repository / "config" / "recordings.tsv").read_text())
    listed = run_snakemake(folder, "--summary", "ablation", *SHORT)
    assert listed.code == 0, listed.output
    files = [line.split("\t")[0] for line in listed.output.splitlines() if line.startswith("results/")]
    assert "results/ablation/cases/jitter_1mm_0deg.parquet" in files
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    noted = run_snakemake(folder, "--cores", "1", "--touch", "--forceall", "ablation", *SHORT)
    assert noted.code == 0, noted.output
    return folder


def test_nothing_is_left_to_do(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "ablation", *SHORT)
    assert run.code == 0 and "Nothing to be done" in run.output, run.output


def test_longer_lists_run_only_what_is_new(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "ablation", *LONG)
    assert run.code == 0, run.output
    # 1 mm and 2 mm at 1 degree, 0 mm at 1 degree, 2 mm at 0 degrees, and the new share of views with its splats
    expected = {"ablate_case": 5, "gather_ablation": 1, "train_fewer_views": 2, "extract_from_fewer_views": 1}
    assert run.jobs == expected | {"ablation": 1}
    assert "Replaying the scene recordings: jitter_2mm_0deg" in run.output
    assert "Replaying the scene recordings: jitter_1mm_0deg" not in run.output


def test_a_changed_setting_of_all_cases_runs_them_all(folder, run_snakemake):
    changed = [SHORT[0], SHORT[1].replace("{'jitter_mm'", "{'frames': 7, 'jitter_mm'")]
    run = run_snakemake(folder, "--dry-run", "ablation", *changed)
    assert run.jobs["ablate_case"] == 8

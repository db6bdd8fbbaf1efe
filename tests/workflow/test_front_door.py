"""The Snakefile before any job starts: what would run, and what is refused."""

import av
import numpy as np
import pytest


def write_video(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(0, 100, 10):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path, repository):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "recordings.tsv").write_text((repository / "config" / "recordings.tsv").read_text())
    return tmp_path


def test_default_run_is_complete(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run")
    assert run.code == 0, run.output
    assert run.jobs["ingest_recording"] == 4
    assert run.jobs["train_splat"] == 2
    assert run.jobs["evaluate_replay"] == 2
    assert run.jobs["write_report"] == 1


def test_every_dataset_of_the_default_run_is_checked_unless_nothing_is_declared(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run")
    assert run.jobs["check_dataset"] == run.jobs["require_checks"] == run.jobs["annotate_dataset"]
    nothing = "{min_visibility: null, max_depth_disagreement: null, min_difference: null}"
    (folder / "nothing.yaml").write_text(f"checks: {nothing}\n")
    run = run_snakemake(folder, "--dry-run", "--configfile", "nothing.yaml")
    assert run.code == 0, run.output
    assert "check_dataset" not in run.jobs and run.jobs["write_report"] == 1


def test_mixed_datasets_need_frames_of_both_worlds(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "mix", "--config", "simulate={'episodes': 3}")
    assert run.code == 0, run.output
    assert run.jobs["mix_captured"] == run.jobs["render_shard"] == 2
    assert run.jobs["mix_simulated"] == run.jobs["simulate_episode"] == 3
    assert run.jobs["annotate_dataset"] == 2


def test_baselines_train_on_what_splats_are_trained_on(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "baselines")
    assert run.code == 0, run.output
    assert run.jobs["train_baseline"] == 2 * run.jobs["train_splat"] == 4
    assert run.jobs["render_baseline"] == 2 and run.jobs["evaluate_replay"] == 3


def test_detectors_are_trained_only_when_asked_for(folder, run_snakemake):
    settings = "proof={'folds': 2, 'efficiency_percents': [50], 'segmentation': {'enabled': False}}"
    run = run_snakemake(folder, "--dry-run", "proof", "--config", settings)
    assert run.code == 0, run.output
    assert run.jobs["train_detector"] == 2 * (3 + 2 + 1 + 2) and "train_proof_segmenter" not in run.jobs
    assert run.jobs["gather_real_images"] == 2 and run.jobs["evaluate_proof"] == 1
    assert "train_splat" in run.jobs and "write_report" not in run.jobs


def test_background_alone_is_enough(folder, run_snakemake):
    table = "name\trole\tvideo\nsite_video\tbackground\tvideo.mp4\n"
    (folder / "config" / "recordings.tsv").write_text(table)
    write_video(folder / "video.mp4")
    run = run_snakemake(folder, "--dry-run")
    assert run.code == 0, run.output
    assert "extract_tool" not in run.jobs and run.jobs["write_report"] == 1


REFUSED = {
    "unknown key": ("my.yaml", "splat:\n  iteratons: 5\n", "my.yaml, line 2, key splat.iteratons"),
    "bad value": ("my.yaml", "seed: -3\n", "my.yaml, line 1, key seed"),
    "missing table": ("my.yaml", "recordings: elsewhere.tsv\n", "elsewhere.tsv"),
    "unknown role": ("config/recordings.tsv", "name\trole\tvideo\na\tbackgruond\tv.mp4\n", "line 2, column role"),
    "missing video": ("config/recordings.tsv", "name\trole\tvideo\na\tbackground\tv.mp4\n", "line 2, column video"),
}


def test_bad_unit_is_refused_before_any_job(folder, run_snakemake):
    """A tracker log in metres, found before anything runs."""
    write_video(folder / "video.mp4")
    rows = "".join(f"{index / 40} {0.1 + index * 1e-4} 0.02 0.3 0 0 0 1\n" for index in range(100))
    (folder / "poses.txt").write_text(rows)
    table = "name\trole\tvideo\ttracker\nsite_video\tbackground\tvideo.mp4\tposes.txt\n"
    (folder / "config" / "recordings.tsv").write_text(table)
    run = run_snakemake(folder, "--dry-run")
    assert run.code != 0
    assert "poses.txt" in run.output and "metres" in run.output and "tracker_unit" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("name, content, message", REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_before_any_job(folder, run_snakemake, name, content, message):
    (folder / "my.yaml").write_text("{}\n")
    (folder / name).write_text(content)
    run = run_snakemake(folder, "--dry-run", "--configfile", "my.yaml")
    assert run.code != 0
    assert message in run.output and "to mend:" in run.output
    assert "Traceback" not in run.output


def test_the_papers_page_asks_for_every_part(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "paper")
    assert run.code == 0, run.output
    assert run.jobs["write_paper"] == run.jobs["paper"] == 1
    assert {"ablate_case", "train_baseline", "train_detector", "restyle_shard"} <= set(run.jobs)
    awaited = next(line for line in run.output.splitlines() if "results/summary.json;" in line)
    assert "results/proof/proof.json" in awaited and "results/baselines/baselines.json" in awaited


def test_the_papers_page_leaves_out_what_is_not_wanted(folder, run_snakemake):
    run = run_snakemake(folder, "--dry-run", "paper", "--config", "paper={'parts': ['ablation']}")
    assert run.code == 0, run.output
    assert "ablate_case" in run.jobs and not {"train_baseline", "train_detector"} & set(run.jobs)


def test_the_default_run_makes_none_of_the_papers_page(folder, run_snakemake):
    jobs = run_snakemake(folder, "--dry-run").jobs
    assert "write_report" in jobs
    assert not {"ablate_case", "train_baseline", "train_detector", "write_paper"} & set(jobs)

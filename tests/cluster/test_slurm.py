"""The workflow on three Slurm nodes: one is lost in mid-run, and the results have the bytes of an undisturbed run."""

import time

import pytest
from runs import DATASETS, HERE, REPOSITORY, SMALL, result_digests, start_snakemake

pytestmark = pytest.mark.cluster


def wait_for_work(cluster, run, seconds=1200):
    """Wait until every node has been at work; the one of them that has just now begun to work, and its jobs."""
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end and run.process.poll() is None:
        busy = {node: jobs for node in cluster.names if (jobs := cluster.running_jobs(node))}
        seen |= set(busy)
        if seen == set(cluster.names) and busy:
            return busy
        time.sleep(0.2)
    raise AssertionError(f"only {seen} were at work:\n{run.output()[-4000:]}")


def test_a_lost_node_changes_no_byte(cluster, tmp_path, undisturbed):
    profile = ["--workflow-profile", str(HERE / "generic"), "--configfile", str(SMALL)]
    run = start_snakemake(tmp_path, *profile, "--", *DATASETS, environment=cluster.environment)
    try:
        busy = wait_for_work(cluster, run)
        node, jobs = next(iter(busy.items()))
        time.sleep(2)  # in the middle of what they do
        ended = cluster.kill_node(node)
        assert ended > len(jobs) + 1, "slurmd alone: its jobs lived on"
        run.finish()
    finally:
        run.end()
    assert "DOWN" in cluster.node_state(node)
    again = [job for job in cluster.finished_jobs() if job["JobId"] in jobs and int(job["Restarts"]) > 0]
    assert again and all(job["NodeList"] != node and job["JobState"] == "COMPLETED" for job in again)
    assert result_digests(tmp_path / "results") == undisturbed
    cluster.start_node(node)


def test_the_slurm_profile(cluster, tmp_path, undisturbed):
    """As it ships, but for what this cluster lacks: accounting. What asks for a GPU gets one, the others do not."""
    profile = ["--workflow-profile", str(REPOSITORY / "workflow" / "profiles" / "slurm"), "--configfile", str(SMALL)]
    lacking = ["--slurm-status-command", "squeue", "--slurm-no-account"]
    lacking += ["--slurm-init-seconds-before-status-checks", "5"]
    # the profile's group of four, here of rules that this small run has, on a GPU that they share
    shards = ["--groups", "restyle_shard=shards", "--set-resources", "restyle_shard:gpu=1"]
    before = {job["JobId"] for job in cluster.finished_jobs()}
    run = start_snakemake(tmp_path, *profile, *lacking, *shards, "--", *DATASETS, environment=cluster.environment)
    try:
        run.finish()
    finally:
        run.end()
    assert result_digests(tmp_path / "results") == undisturbed
    ours = [job for job in cluster.finished_jobs() if job["JobId"] not in before]
    assert len(ours) == 3 + 1 + 2, "three operations, their restyling in one, two datasets"
    assert [job.get("TresPerJob") for job in ours if "gpu" in str(job)] == ["gres:gpu:1"]

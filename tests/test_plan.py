"""`splatscope plan`: how much work is in a job, what a unit of it costs, how long many jobs take on few cores."""

import json

import pandas as pd
import pytest

from splatscope.config.model import Config
from splatscope.errors import InputError
from splatscope.plan.costs import Cost, Costs, costs_document, load_costs, measure_costs, measured_seconds
from splatscope.plan.estimate import COLUMNS, estimate, rows
from splatscope.plan.jobs import Job, Workflow
from splatscope.plan.schedule import makespan
from splatscope.plan.work import Work
from splatscope.recordings import read_recordings

BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def job(rule="render_shard", needed=True, threads=1, after=(), **wildcards) -> Job:
    name = "_".join(wildcards.values())
    return Job(rule, wildcards, threads, 0, (f"{rule}/{name}.tar",), f"benchmarks/{rule}/{name}.tsv", needed, after)


def workflow(jobs, repository, **settings) -> Workflow:
    rows = read_recordings(repository / "config/recordings.tsv", made_here="results/phantom")
    return Workflow(jobs, Config.model_validate(settings), {row.name: row for row in rows})


def test_the_processor_time_of_long_jobs_is_carried_on_to_their_end(tmp_path):
    """Snakemake last looked at the job after 46 of its 60 seconds."""
    path = tmp_path / "b.tsv"
    path.write_text(f"{BENCHMARK}60.0\t0:01:00\t700.5\t1\t1\t1\t0\t0\t50\t23.0\n")
    assert measured_seconds(path) == (pytest.approx(30.0), 60.0, 700.5)
    path.write_text(f"{BENCHMARK}10.0\t0:00:10\t700.5\t1\t1\t1\t0\t0\t50\t8.0\n")
    assert measured_seconds(path)[0] == pytest.approx(8.0)
    path.write_text(BENCHMARK)
    with pytest.raises(InputError, match="a table that Snakemake wrote"):
        measured_seconds(path)


def test_work_follows_the_settings(repository):
    compose = {"shard_size": 128, "width": 320, "height": 256, "recipe": {"frames": 300}}
    asked = workflow([], repository, compose=compose, simulate={"max_duration_s": 50.0})
    work = Work(asked, {})
    first, last = (job(dataset="sampled", shard=f"{n:06d}") for n in (0, 2))
    assert work.frames_made(first) == 128 and work.frames_made(last) == 44
    assert work.of(first) == pytest.approx(128 * 320 * 256 / 1e6)
    assert work.of(job("annotate_dataset", dataset="sampled")) == pytest.approx(300 * 320 * 256 / 1e6)
    assert work.of(job("write_report")) == 1
    assert work.of(job("render_phantom_recording", recording="scene")) == pytest.approx(8 * 30 * 640 * 512 * 1.21 / 1e6)
    episode = job("simulate_episode", episode="000000")
    longer = Work(workflow([], repository, simulate={"max_duration_s": 100.0}), {})
    assert longer.of(episode) == pytest.approx(2 * work.of(episode))
    known = Work(asked, {"cholecystectomy_short": 25.0})
    assert known.of(episode) == pytest.approx(work.of(episode) / 2) and known.frames_made(episode) == 125


def test_costs_are_measured_on_finished_jobs(tmp_path, repository):
    jobs = [job(dataset="sampled", shard=f"{n:06d}", needed=n > 1) for n in range(4)]
    asked = workflow(jobs, repository, compose={"recipe": {"frames": 512}})
    for one, seconds in zip(jobs[:2], (11.0, 13.0)):
        (tmp_path / one.benchmark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one.benchmark).write_text(f"{BENCHMARK}{seconds}\t0\t700\t1\t1\t1\t0\t0\t100\t{seconds}\n")
        (tmp_path / one.outputs[0]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one.outputs[0]).write_bytes(bytes(1000))
    work = Work(asked, {}, tmp_path)
    costs = measure_costs(asked, work, tmp_path, {"render_shard": 2.0})
    plan = estimate(asked, work, costs, nodes=1, cores_per_node=2)
    assert (plan.jobs, plan.cpu_s, plan.size_bytes) == (2, pytest.approx(24.0), pytest.approx(2000))
    assert plan.hours * 3600 == pytest.approx(12.0)
    assert plan.rules[0].frames == 256 and plan.rules[0].measured_on == 2
    shown = rows(plan)
    assert shown[0][:2] == ("render_shard", 2) and shown[0][-1] == 2 and shown[-1][2] == "24 s"
    assert all(len(row) == len(COLUMNS) for row in shown)
    assert shown[0][COLUMNS.index("disk/1k")] == "0 MB"  # 2,000 bytes for 256 frames


def test_a_rule_that_nobody_measured_is_said_to_be_a_guess(repository):
    asked = workflow([job("write_report")], repository)
    plan = estimate(asked, Work(asked, {}), {}, nodes=1, cores_per_node=1)
    assert plan.cpu_s > 0 and rows(plan)[0][-1] == "guess"


def test_costs_come_back_from_their_file(tmp_path):
    costs = Costs({"a": Cost(1.5, 0.25, 1e6, 700.0, None, 3)}, "a machine", {"short": 20.0})
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(costs_document(costs)))
    assert load_costs(path) == costs
    for text in ("{}", "[]", '{"machine": "a", "episode_s": {}, "rules": {"a": {"speed": 1}}}'):
        path.write_text(text)
        with pytest.raises(InputError, match="costs by rule"):
            load_costs(path)


def test_shipped_costs_are_of_rules_that_there_are(repository):
    costs = load_costs(repository / "resources/costs.json")
    text = "".join(path.read_text() for path in (repository / "workflow/rules").glob("*.smk"))
    assert all(f"rule {rule}:" in text for rule in costs.rules)
    assert {"render_shard", "simulate_episode", "restyle_shard", "train_splat"} <= set(costs.rules)
    assert all(cost.cpu_s_per_unit >= 0 and cost.start_s >= 0 and cost.jobs > 0 for cost in costs.rules.values())


@pytest.mark.parametrize(
    "seconds, cores, after, nodes, width, expected",
    [
        ([1, 1, 1, 1], [1] * 4, [[]] * 4, 1, 2, 2),
        ([1, 1, 1, 1], [1] * 4, [[]] * 4, 2, 2, 1),
        ([1, 2, 3], [1] * 3, [[], [0], [1]], 9, 9, 6),  # a chain
        ([2, 2, 2], [2, 2, 2], [[]] * 3, 1, 3, 6),  # one core always free, but none needs just one
        ([4, 1], [8, 1], [[]] * 2, 1, 2, 5),  # more threads than a node has cores
        ([5, 1, 1, 1, 1, 1], [1] * 6, [[]] * 6, 1, 2, 5),  # the longest first
        ([], [], [], 1, 1, 0),
    ],
)
def test_jobs_start_when_cores_and_inputs_are_there(seconds, cores, after, nodes, width, expected):
    assert makespan(seconds, cores, after, nodes, width) == expected


def test_tables_round_as_measuring_does():
    document = costs_document(Costs({"a": Cost(1.23456, 0.1, 2.0, 3.0)}, "m", {}))
    assert document["rules"]["a"]["start_s"] == 1.235
    assert pd.Series(document["rules"]["a"]).drop("gpu_s_per_unit").notna().all()

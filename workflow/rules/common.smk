# Loads and checks configuration and recordings, once, before any job starts; names that all rules use.

import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from splatscope.config.load import check_config
from splatscope.digests import code_digest, settings_digest
from splatscope.errors import InputError
from splatscope.ingest.check import validate_recording
from splatscope.recordings import Role, read_recordings
from splatscope.simulate.operation.scenario import find_scenario

PHANTOM = "results/phantom"
CLASSES = f"{workflow.basedir}/resources/classes.tsv"
SCENARIOS = f"{workflow.basedir}/config/scenarios"


def script_digest(name):
    """Digest of a script's import closure: a changed library module reruns its stages (see splatscope.digests)."""
    return code_digest(Path(workflow.basedir) / "workflow" / "scripts" / f"{name}.py")


def settings(section):
    """One section of the configuration as plain values, so that only jobs that use it rerun when it changes."""
    return getattr(CONFIG, section).model_dump(mode="json")


def recording_file(column):
    """Input function: the file in this column of the recording's row, or nothing."""
    return lambda wildcards: [str(RECORDINGS[wildcards.recording].files.get(column, ""))] * (
        column in RECORDINGS[wildcards.recording].files
    )


try:
    CONFIG = check_config(config, list(reversed(workflow.configfiles)))
    RECORDINGS = {row.name: row for row in read_recordings(CONFIG.recordings, made_here=PHANTOM)}
    PHANTOM_NAMES = [name for name, row in RECORDINGS.items() if Path(PHANTOM) in row.video.parents]
    SCENARIO = find_scenario(CONFIG.simulate.scenario, SCENARIOS)
    for row in RECORDINGS.values():
        if row.name not in PHANTOM_NAMES:
            validate_recording(row, CONFIG.ingest)
except InputError as error:
    raise WorkflowError(str(error)) from None

# of jobs that draw splats; "auto" takes what the machine has, and asks no scheduler for it
GPUS = int(CONFIG.device == "cuda")
BACKGROUNDS = [name for name, row in RECORDINGS.items() if row.role is Role.BACKGROUND]
TOOLS = [name for name, row in RECORDINGS.items() if row.role is Role.TOOL]
SCENES = [name for name, row in RECORDINGS.items() if row.role is Role.SCENE]
SITE = [name for name, row in RECORDINGS.items() if row.role is not Role.TOOL]
REPLAYS = ["replay", "replay_paper"] if SCENES and TOOLS else []
SHOWN = ["sampled"] + ["simulated"] * (CONFIG.simulate.episodes > 0)  # datasets in the report
MIXED = ["mixed_captured"] + ["mixed_simulated"] * bool(TOOLS and CONFIG.simulate.episodes)
GROUPS = {"site": SITE} | {tool: [tool] for tool in TOOLS}
MODELS = {"site": BACKGROUNDS} | {tool: [tool] for tool in TOOLS}
PHANTOM_TOOLS = [name for name in TOOLS if name in PHANTOM_NAMES]


def shard_files(dataset, suffix):
    """The files of a dataset's shards; their number is known from the settings before any frame is."""
    if dataset == "simulated":
        return [f"results/simulate/episode_{index:06d}.{suffix}" for index in range(CONFIG.simulate.episodes)]
    if dataset == "mixed_simulated":
        return [f"results/mix/{dataset}/shard_{index:06d}.{suffix}" for index in range(CONFIG.simulate.episodes)]
    if dataset == "mixed_captured":
        count = CONFIG.compose.shard_count("sampled")
        return [f"results/mix/{dataset}/shard_{index:06d}.{suffix}" for index in range(count)]
    count = CONFIG.compose.shard_count(dataset)
    return [f"results/render/{dataset}/shard_{index:06d}.{suffix}" for index in range(count)]


def if_replayed(*files):
    """The files of the replay, when there is a scene recording to replay."""
    return list(files) if REPLAYS else []


wildcard_constraints:
    recording="|".join(RECORDINGS),
    group="|".join(GROUPS),
    model="|".join(MODELS),
    tool="|".join(TOOLS) or "no_tool",
    dataset="sampled|replay|replay_paper|simulated|mixed_captured|mixed_simulated",
    shard=r"\d{6}",
    episode=r"\d{6}",

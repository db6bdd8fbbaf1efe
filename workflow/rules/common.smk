# Loads and checks configuration and recordings, once, before any job starts; names that all rules use.

import os
import re
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from splatscope.ablations.cases import list_cases
from splatscope.checks.declared import real_files, refuse_impossible
from splatscope.classes import read_class_table
from splatscope.config.load import check_config
from splatscope.config.restyle import PROOF_VARIANTS
from splatscope.digests import code_digest, settings_digest
from splatscope.errors import InputError
from splatscope.file_times import refuse_future
from splatscope.files import sha256
from splatscope.gpus import has_gpu
from splatscope.project import shipped
from splatscope.proof.run_list import detector_runs, segmenter_runs
from splatscope.recordings import Role, read_recordings
from splatscope.simulate.operation.scenario import find_scenario

PHANTOM = "results/phantom"
CLASSES = local(f"{workflow.basedir}/resources/classes.tsv")
SCENARIOS = f"{workflow.basedir}/config/scenarios"


def script_digest(name):
    """Digest of a script's import closure: a changed library module reruns its stages (see splatscope.digests)."""
    return code_digest(Path(workflow.basedir) / "workflow" / "scripts" / f"{name}.py")


def settings(section, *unused):
    """One section of the configuration as plain values, so that only jobs that use it rerun when it changes."""
    return getattr(CONFIG, section).of_a_job(*unused)


def growing(amount):
    """A resource that grows by as much with each attempt: a job that ran out of memory or time is tried with more."""
    return lambda wildcards, attempt: attempt * amount


def brought(path):
    """A file that nothing here makes. It lies on this machine, wherever results go (`--default-storage-provider`)."""
    return local(str(path))


def recording_file(column):
    """Input function: the file in this column of the recording's row, or nothing."""

    def files(wildcards):
        path = RECORDINGS[wildcards.recording].files.get(column)
        return [] if path is None else [str(path) if Path(PHANTOM) in path.parents else brought(path)]

    return files


try:
    CONFIG = check_config(config, list(reversed(workflow.configfiles)))
    RECORDINGS = {row.name: row for row in read_recordings(CONFIG.recordings, made_here=PHANTOM)}
    PHANTOM_NAMES = [name for name, row in RECORDINGS.items() if Path(PHANTOM) in row.video.parents]
    refuse_impossible(CONFIG.checks, read_class_table(CLASSES))
    SCENARIO = brought(find_scenario(CONFIG.simulate.scenario, SCENARIOS))
    BROUGHT = [row for row in RECORDINGS.values() if row.name not in PHANTOM_NAMES]
    refuse_future([CLASSES, SCENARIO, *(file for row in BROUGHT for file in row.files.values())])
    refuse_future((Path(workflow.basedir) / "workflow" / "scripts").iterdir())
    if BROUGHT:
        from splatscope.ingest.check import validate_recording  # takes seconds to import

        for row in BROUGHT:
            validate_recording(row, CONFIG.ingest)
except InputError as error:
    raise WorkflowError(str(error)) from None

# Resources stand in the rules, so that every executor finds them, and a profile of your own may overrule them
# (`set-resources`). mem_mb: the peak measured on the demo and on config/paper_smoke.yaml, half as much again, rounded up;
# runtime in minutes: about ten times what it took there.
# GPUs of each job that computes on a GPU where there is one; None asks for nothing, 0 would be a request of its own
GPUS = 1 if CONFIG.device == "cuda" or (CONFIG.device == "auto" and has_gpu()) else None
BACKGROUNDS = [name for name, row in RECORDINGS.items() if row.role is Role.BACKGROUND]
TOOLS = [name for name, row in RECORDINGS.items() if row.role is Role.TOOL]
SCENES = [name for name, row in RECORDINGS.items() if row.role is Role.SCENE]
TESTS = [name for name, row in RECORDINGS.items() if row.role is Role.TEST]
POSED_ABOUT = SCENES if TOOLS and CONFIG.compose.recipe.recorded_share else []  # by sampled frames
SITE = [name for name, row in RECORDINGS.items() if row.role is not Role.TOOL]
BASELINES = ["ngp", "nerfacto"]
REPLAYS = ["replay", "replay_paper"] if SCENES and TOOLS else []
SHOWN = ["sampled"] + ["simulated"] * (CONFIG.simulate.episodes > 0)  # datasets in the report
MIXED = ["mixed_captured"] + ["mixed_simulated"] * bool(TOOLS and CONFIG.simulate.episodes)
STUDIES = {"proof": ["default", *PROOF_VARIANTS]}
STUDIES["ablation"] = [*STUDIES["proof"], *CONFIG.restyle.variants]
GROUPS = {"site": SITE} | {tool: [tool] for tool in TOOLS}
PROOF_RECORDINGS = {"real": SCENES, "test": TESTS}  # who teaches and who tests detectors and segmenters
FREELY_POSED = CONFIG.compose.recipe.recorded_share < 1  # some of them
DETECTOR_RUNS = detector_runs(
    CONFIG.proof, both_poses=CONFIG.proof.synthetic.startswith("sampled") and bool(POSED_ABOUT) and FREELY_POSED
)
SEGMENTER_RUNS = segmenter_runs(CONFIG.proof)
MODELS = {"site": BACKGROUNDS} | {tool: [tool] for tool in TOOLS}
CASES = {case.name: case for case in list_cases(CONFIG.ablation)}
PHANTOM_TOOLS = [name for name in TOOLS if name in PHANTOM_NAMES]


def shard_files(dataset, suffix):
    """The files of a dataset's shards; their number is known from the settings before any frame is."""
    if dataset == "simulated":
        return [f"results/simulate/episode_{index:06d}.{suffix}" for index in range(CONFIG.simulate.episodes)]
    if dataset.endswith("_restyled"):
        folder = f"results/restyle/{dataset.removesuffix('_restyled')}/default"
        raw = shard_files(dataset.removesuffix("_restyled"), suffix)
        return [f"{folder}/{Path(file).name}" for file in raw]
    if dataset.startswith("replay_") and dataset.removeprefix("replay_") in BASELINES:
        count = CONFIG.compose.shard_count("replay")
        folder = f"results/baselines/{dataset.removeprefix('replay_')}/replay"
        return [f"{folder}/shard_{index:06d}.{suffix}" for index in range(count)]
    if dataset == "mixed_simulated":
        return [f"results/mix/{dataset}/shard_{index:06d}.{suffix}" for index in range(CONFIG.simulate.episodes)]
    if dataset == "mixed_captured":
        count = CONFIG.compose.shard_count("sampled")
        return [f"results/mix/{dataset}/shard_{index:06d}.{suffix}" for index in range(count)]
    count = CONFIG.compose.shard_count(dataset)
    return [f"results/render/{dataset}/shard_{index:06d}.{suffix}" for index in range(count)]


def judged_shards(dataset, judge, suffix):
    """The third of a dataset's shards that a segmenter learns from ("gate", "evaluation"), or that is looked at."""
    files = shard_files(dataset, suffix)
    third = ["gate", "evaluation", "proof"].index(judge)
    return files[third * len(files) // 3 : (third + 1) * len(files) // 3]


def raw_shard(dataset, name, suffix):
    """The file of the shard that a restyled one comes from."""
    return shards_by_name(dataset, suffix)[f"{name}.{suffix}"]


@cache  # thousands of jobs ask
def shards_by_name(dataset, suffix):
    return {Path(file).name: file for file in shard_files(dataset, suffix)}


def proof_files(dataset, variants, suffix):
    """Files of the restyled shards that the evaluation looks at, variant by variant."""
    names = [Path(file).stem for file in judged_shards(dataset, "proof", "tar")]
    return [f"results/restyle/{dataset}/{variant}/{name}.{suffix}" for variant in variants for name in names]


@cache
def restyle_variant(variant):
    """The section restyle, as a variant of it has it."""
    return CONFIG.restyle.variant(variant)


@cache
def restyle_settings(variant):
    """The settings of a variant of restyle, paths resolved."""
    return restyle_variant(variant).located(shipped).model_dump(mode="json")


def weight_files(place):
    """The weights in a folder on this machine; a hub id has none here."""
    return sorted(map(brought, Path(place).rglob("*.safetensors")))


@cache
def style_files(variant):
    """Weights that a variant of restyle reads; a LoRA may be one that train_style is still to make."""
    chosen = restyle_variant(variant)
    folders = [shipped(chosen.model), *(net.model for net in chosen.controlnets)]
    loras = [shipped(lora.path) for lora in chosen.loras if lora.path.endswith(".safetensors")]
    loras = [path if path.startswith("results/") else brought(path) for path in loras]
    look = [brought(file) for file in [shipped(chosen.look)] if Path(file).is_file()]
    return sorted({file for folder in folders for file in weight_files(folder)} | {*loras, *look})


def proof_settings():
    """The settings of how restyled frames are judged, paths resolved."""
    return CONFIG.restyle.proof.model_copy(update={"style_frames": STYLE_SET}).model_dump(mode="json")


def style_set_files():
    """The features of the real look, when they are a file; pictures in a folder are the user's to keep."""
    return [brought(STYLE_SET)] if Path(STYLE_SET).is_file() else []


def proof_annotation_files(pool):
    """The COCO files of these recordings; the phantom's truth needs none."""
    found = CONFIG.proof.annotations
    return [brought(found[name]) for name in PROOF_RECORDINGS[pool] if name in found]


def if_replayed(*files):
    """The files of the replay, when there is a scene recording to replay."""
    return list(files) if REPLAYS else []


@cache
def check_limits(dataset):
    """What must hold of a dataset."""
    return CONFIG.checks.of(dataset)


def real_frames(dataset):
    """The real frames that a dataset's must keep away from."""
    folder = check_limits(dataset).real_frames
    return [] if folder is None else [brought(file) for file in real_files(folder)]


def checked(*datasets):
    """Files that are only there when these datasets are what was declared; of those that anything was declared of."""
    return [f"results/check/{dataset}.passed" for dataset in datasets if check_limits(dataset).any_on]


def ablated_splats(case):
    """The files of the splats that a case of the ablation is drawn with."""
    percent, parts = CASES[case].views_percent, CASES[case].setup.parts
    kind = "tool_paper" if parts.extraction == "radius" else "tool"
    if percent == 100:
        site, folder = "results/splat/site/model.ply", "results/extract"
    else:
        folder = f"results/ablation/views_{percent}"
        site = f"{folder}/site/model.ply"
    return {
        "site": site,
        "tools": [f"{folder}/{tool}/{kind}.ply" for tool in TOOLS],
        "extracted": [f"{folder}/{tool}/extract.json" for tool in TOOLS],
    }


def finished(part):
    """The figures of a part of the paper's page, with their digest, once somebody has asked for them; nothing before."""
    file = f"results/{part}/{part}.json"
    if file in awaited():
        return [file]
    return {file: sha256(file)} if Path(file).is_file() else {}


def awaited():
    """Figures that the summary waits for, because the paper's page is asked for in the same run."""
    asked = "paper" in workflow.dag_settings.targets
    return [f"results/{part}/{part}.json" for part in PAPER_PARTS if asked and part in ("baselines", "proof")]


# with less than three shards there is none left to judge once the segmenters have learnt
RESTYLED = [name for name in CONFIG.restyle.datasets if name in SHOWN + MIXED and len(shard_files(name, "tar")) > 2]
BROWSED = [*SHOWN, *(f"{name}_restyled" for name in RESTYLED)]
# parts of the paper's page that these recordings and settings allow; each is a target of its name
PAPER_PARTS = [part for part in CONFIG.paper.parts if (RESTYLED if part == "restyle" else REPLAYS)]
STYLE_SET = shipped(CONFIG.restyle.proof.style_frames)


wildcard_constraints:
    recording="|".join(RECORDINGS),
    group="|".join(GROUPS),
    model="|".join(MODELS),
    tool="|".join(TOOLS) or "no_tool",
    dataset="(sampled|replay|replay_paper|replay_ngp|replay_nerfacto|simulated|mixed_captured|mixed_simulated)(_restyled)?",
    kind="|".join(BASELINES),
    variant="|".join(STUDIES["ablation"]),
    study="|".join(STUDIES),
    judge="gate|evaluation",
    case="|".join(map(re.escape, CASES)),
    percent=r"\d+",
    shard_name=r"(shard|episode)_\d{6}",
    shard=r"\d{6}",
    episode=r"\d{6}",

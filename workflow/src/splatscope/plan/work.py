"""How much work is in a job: a number that its processor time is proportional to, beside what starting it takes.

Each rule has its driver (frames, pixels, iterations, ..), read off the settings; a rule without one costs the same each
time. Units only need to be right relative to each other within a rule: what one costs is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from splatscope.config.model import Config
from splatscope.ingest.video import count_frames
from splatscope.plan.jobs import Job, Workflow

TETRAHEDRA = {"demo": 8_000, "standard": 19_000}
# Of one core, to weigh what depends on a frame's size against what does not; from runs of two sizes (bench/RESULTS.md).
SECONDS_PER_TET_SUBSTEP = 97e-9  # contacts, the surgeon and tables included
SECONDS_PER_MEGAPIXEL = 0.89
MEGAPIXELS_OF_A_DRAW = 0.12  # what finding a scene takes beside looking at its picture

SHARDS_OF = {"mix_captured": "sampled", "render_baseline": "replay"}  # datasets that the rule's name implies

Driver = Callable[["Work", Mapping[str, str]], float]


class Work:
    """The work in the jobs of a workflow. `episode_s` is how long an operation of a scenario lasts, by its name, where
    that was measured; others are taken to last as long as the settings let them. `folder` is the working directory."""

    def __init__(self, workflow: Workflow, episode_s: Mapping[str, float], folder: str | Path = "."):
        self.folder = Path(folder)
        self.config: Config = workflow.config
        self.recordings = workflow.recordings
        scenario = self.config.simulate.scenario
        self.episode_s = min(episode_s.get(scenario, float("inf")), self.config.simulate.max_duration_s)

    def of(self, job: Job) -> float:
        """Units of work in a job; 1 where a rule has no driver."""
        driver = DRIVERS.get(job.rule)
        return float(driver(self, job.wildcards)) if driver else 1.0

    def frames_made(self, job: Job) -> int:
        """Frames that come out of a job which makes frames of a dataset, else 0."""
        if job.rule in ("simulate_episode", "mix_simulated"):
            return round(self.episode_frames)
        if job.rule in SHARDS_OF or job.rule == "render_shard":
            return self.shard_frames(_dataset(job.rule, job.wildcards), job.wildcards["shard"])
        if job.rule == "restyle_shard":
            return self.restyled_frames(job.wildcards["dataset"], job.wildcards["shard_name"])
        return 0

    @property
    def episode_frames(self) -> float:
        return self.episode_s * self.config.simulate.frames_per_second

    def megapixels(self, dataset: str) -> float:
        """Of a frame."""
        section = self.config.simulate if "simulated" in dataset else self.config.compose
        return section.width * section.height / 1e6

    def shard_frames(self, dataset: str, shard: str) -> int:
        """Frames of one shard; the last of a dataset may have less."""
        if "simulated" in dataset:
            return round(self.episode_frames)
        compose = self.config.compose
        kind = "replay" if dataset.startswith("replay") else "sampled"
        size = compose.frames_per_shard(kind)
        return max(0, min(size, compose.frame_count(kind) - int(shard) * size))

    def dataset_frames(self, dataset: str) -> float:
        """Frames of a whole dataset."""
        raw = dataset.removesuffix("_restyled")
        if "simulated" in raw:
            shards, frames = self.config.simulate.episodes, self.episode_frames
        else:
            compose = self.config.compose
            shards, frames = 1, compose.replay_frames if raw.startswith("replay") else compose.recipe.frames
        if raw != dataset and self.config.restyle.frames_per_shard:
            shards = self.config.compose.shard_count("sampled") if shards == 1 else shards
            frames = min(frames, self.config.restyle.frames_per_shard)
        return shards * frames

    def restyled_frames(self, dataset: str, shard_name: str) -> int:
        frames = self.shard_frames(dataset, shard_name.rpartition("_")[2])
        return min(frames, self.config.restyle.frames_per_shard or frames)

    def video_frames(self, recording: str) -> float:
        """Of a recording, by its file; of the phantom's, by the settings."""
        path, phantom = self.folder / self.recordings[recording].video, self.config.phantom
        if not path.exists():
            return getattr(phantom, f"{recording}_s", phantom.background_s) * phantom.frames_per_second
        return _counted(path)

    def kept_frames(self, recording: str) -> float:
        """At most so many frames of a recording are kept."""
        return min(self.video_frames(recording), self.config.ingest.max_frames[self.recordings[recording].role])


@lru_cache
def _counted(path: Path) -> float:
    return count_frames(path)


def _episode(work: Work, wildcards: Mapping[str, str]) -> float:
    simulate = work.config.simulate
    substeps = work.episode_s * simulate.physics_rate_hz * simulate.substeps
    pictures = work.episode_frames * work.megapixels("simulated") * SECONDS_PER_MEGAPIXEL
    return substeps * TETRAHEDRA[simulate.anatomy] * SECONDS_PER_TET_SUBSTEP + pictures


def _phantom_recording(work: Work, wildcards: Mapping[str, str]) -> float:
    phantom = work.config.phantom
    seconds = getattr(phantom, f"{wildcards['recording']}_s", phantom.background_s)
    pixels = phantom.width * phantom.height * phantom.supersampling**2
    return seconds * phantom.frames_per_second * pixels / 1e6


def _pairs(work: Work, wildcards: Mapping[str, str]) -> float:
    """Image pairs that are matched; tools have a group each, everything else is the site."""
    tools = [name for name, row in work.recordings.items() if row.role == "tool"]
    members = [name for name in work.recordings if name not in tools]
    members = [wildcards["group"]] if wildcards["group"] in tools else members
    images = sum(work.kept_frames(name) for name in members)
    sfm = work.config.sfm
    return images * (images - 1) / 2 if images <= sfm.exhaustive_limit else images * sfm.neighbours


def _training(work: Work, wildcards: Mapping[str, str]) -> float:
    return work.config.splat.iterations * work.config.splat.max_width**2


def _restyled(work: Work, wildcards: Mapping[str, str]) -> float:
    settings = work.config.restyle.variant(wildcards["variant"])
    frames = work.restyled_frames(wildcards["dataset"], wildcards["shard_name"])
    steps = max(1, settings.sampler.steps * settings.sampler.strength)
    return frames * work.megapixels(wildcards["dataset"]) * steps


def _dataset(rule: str, wildcards: Mapping[str, str]) -> str:
    return SHARDS_OF.get(rule) or wildcards["dataset"]


def _shard_pixels(rule: str) -> Driver:
    def driver(work: Work, wildcards: Mapping[str, str]) -> float:
        dataset = _dataset(rule, wildcards)
        return work.shard_frames(dataset, wildcards["shard"]) * work.megapixels(dataset)

    return driver


def _dataset_pixels(work: Work, wildcards: Mapping[str, str]) -> float:
    return work.dataset_frames(wildcards["dataset"]) * work.megapixels(wildcards["dataset"])


def _proof_pixels(work: Work) -> float:
    return work.config.proof.width * work.config.proof.height / 1e6


def _baseline(work: Work, wildcards: Mapping[str, str]) -> float:
    return getattr(work.config.baselines, wildcards["kind"]).iterations


DRIVERS: dict[str, Driver] = {
    "render_phantom_recording": _phantom_recording,
    "ingest_recording": lambda work, wildcards: work.video_frames(wildcards["recording"]),
    "reconstruct_group": _pairs,
    "train_splat": _training,
    "train_fewer_views": _training,
    "sample_scenes": lambda work, wildcards: (
        work.dataset_frames("sampled") * (work.megapixels("sampled") + MEGAPIXELS_OF_A_DRAW)
    ),
    "compose_replay": lambda work, wildcards: work.dataset_frames("replay"),
    **{rule: _shard_pixels(rule) for rule in ("render_shard", *SHARDS_OF)},
    "mix_simulated": lambda work, wildcards: work.episode_frames * work.megapixels("simulated"),
    "simulate_episode": _episode,
    "draw_contact_sheet": lambda work, wildcards: work.dataset_frames("simulated") * work.megapixels("simulated"),
    "restyle_shard": _restyled,
    "evaluate_replay": lambda work, wildcards: work.dataset_frames("replay") * work.megapixels("replay"),
    "annotate_dataset": _dataset_pixels,
    "check_dataset": _dataset_pixels,
    "ablate_case": lambda work, wildcards: work.config.ablation.frames * work.megapixels("replay"),
    "train_baseline": _baseline,
    "train_detector": lambda work, wildcards: (
        work.config.proof.detection.epochs * work.config.proof.images * _proof_pixels(work)
    ),
    "train_proof_segmenter": lambda work, wildcards: (
        work.config.proof.segmentation.steps * work.config.proof.segmentation.batch * _proof_pixels(work)
    ),
    "train_style": lambda work, wildcards: (
        work.config.style_training.steps
        * work.config.style_training.batch_size
        * work.config.style_training.resolution**2
    ),
}

"""Which trainings the experiment consists of. Light to import: the Snakefile does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from splatscope.config.proof import ProofStageConfig

Arm = Literal["real", "synthetic", "mixed", "recorded_poses", "free_poses", "added"]
ARMS: tuple[Arm, ...] = ("real", "synthetic", "mixed")  # of equal size; "added" is real frames beside synthetic ones
POSE_ARMS: tuple[Arm, ...] = ("recorded_poses", "free_poses")  # synthetic frames posed about recorded ones, or freely
Task = Literal["tool", "classes"]  # of a segmenter


@dataclass(frozen=True)
class Run:
    """One training: an arm, the share of `proof.images` it has in percent (see draws.py), and the fold."""

    arm: Arm
    percent: int
    fold: int

    @property
    def name(self) -> str:
        """As in the names of its files."""
        return f"{self.arm}_{self.percent}_{self.fold}"


def detector_runs(config: ProofStageConfig, both_poses: bool) -> list[Run]:
    """All trainings of the detector: the equal arms, and the data-efficiency curves when any are wanted.

    `both_poses`: whether the synthetic dataset has frames posed about recorded ones and freely posed ones.
    """
    curve = sorted({*config.efficiency_percents, 100}) if config.efficiency_percents else []
    wanted = [(arm, 100) for arm in (*ARMS, *(POSE_ARMS if both_poses and config.pose_arms else ()))]
    wanted += [("real", percent) for percent in curve if percent < 100] + [("added", percent) for percent in curve]
    return [Run(arm, percent, fold) for arm, percent in wanted for fold in range(config.folds)]


def segmenter_runs(config: ProofStageConfig) -> list[tuple[Task, Run]]:
    """All trainings of the segmenter; of all classes only where the synthetic frames label tissue."""
    tasks: list[Task] = ["tool"] if config.segmentation.enabled else []
    if tasks and config.synthetic.startswith(("simulated", "mixed_simulated")):
        tasks.append("classes")
    return [(task, Run(arm, 100, fold)) for task in tasks for arm in ARMS for fold in range(config.folds)]

"""The whole configuration: one typed section per stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from splatscope.config.ablation import AblationConfig
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.baselines import BaselinesConfig
from splatscope.config.checks import ChecksConfig
from splatscope.config.compose import ComposeConfig
from splatscope.config.evaluate import EvaluateConfig
from splatscope.config.extract import ExtractConfig
from splatscope.config.ingest import IngestConfig
from splatscope.config.mix import MixConfig
from splatscope.config.paper import PaperConfig
from splatscope.config.phantom import PhantomConfig
from splatscope.config.poses import PosesConfig, SfmConfig
from splatscope.config.proof import ProofStageConfig
from splatscope.config.render import RenderConfig
from splatscope.config.report import ReportConfig
from splatscope.config.restyle import RestyleConfig
from splatscope.config.section import Section
from splatscope.config.simulate import SimulateConfig
from splatscope.config.splat import SplatConfig
from splatscope.config.style_training import StyleTrainingConfig


class Config(Section):
    """SplatScope's configuration."""

    recordings: str = "config/recordings.tsv"
    """Table of recordings; its paths are relative to the working directory."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random; the same seed gives the same bytes, except in what a splat learns on CUDA."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where splats are trained and drawn. "auto": on CUDA where PyTorch finds it and gsplat loads, else on the CPU.
    "cuda" refuses to run without it, and asks a cluster's scheduler for one GPU a job."""
    phantom: PhantomConfig = PhantomConfig()
    """The embedded recordings, made when recordings.tsv names files under results/phantom."""
    ingest: IngestConfig = IngestConfig()
    """Videos and tracker logs to sharp, undistorted frames with poses."""
    sfm: SfmConfig = SfmConfig()
    """Structure from motion (COLMAP)."""
    poses: PosesConfig = PosesConfig()
    """Metric scale, hand-eye transform and world alignment."""
    splat: SplatConfig = SplatConfig()
    """Gaussian splat training."""
    extract: ExtractConfig = ExtractConfig()
    """The tool's Gaussians out of the tool recording's splat."""
    simulate: SimulateConfig = SimulateConfig()
    """Simulated operations to frame shards."""
    compose: ComposeConfig = ComposeConfig()
    """What is where in each frame to be made."""
    render: RenderConfig = RenderConfig()
    """Scene list to frame shards."""
    mix: MixConfig = MixConfig()
    """Instruments of the other world laid into finished frames."""
    restyle: RestyleConfig = RestyleConfig()
    """Rendered frames to realistic ones."""
    style_training: StyleTrainingConfig = StyleTrainingConfig()
    """A LoRA of the look of your own real frames, for restyle.loras."""
    annotate: AnnotateConfig = AnnotateConfig()
    """Frame shards to the dataset."""
    checks: ChecksConfig = ChecksConfig()
    """What must hold of every dataset that is made, or the run fails and shows the offenders."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Replay of the scene recording against the real frames."""
    baselines: BaselinesConfig = BaselinesConfig()
    """The radiance fields of the paper's Table 1, beside our splats."""
    proof: ProofStageConfig = ProofStageConfig()
    """Detectors and segmenters trained on real, on synthetic and on both kinds of frames."""
    ablation: AblationConfig = AblationConfig()
    """What tracker errors cost, and what each part of the method is worth."""
    paper: PaperConfig = PaperConfig()
    """Both papers' tables and figures beside ours."""
    report: ReportConfig = ReportConfig()
    """The HTML report."""

"""Training of a Gaussian model from posed photographs: same seed, same bytes, also after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from splatscope.config.splat import SplatConfig
from splatscope.geometry import invert
from splatscope.splats.exposure import Exposure
from splatscope.splats.floaters import FreeSpace
from splatscope.splats.fused_adam import adam_on
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import PointCloud, TrainingView, initial_gaussians, look_distance
from splatscope.splats.losses import depth_variance, image_loss
from splatscope.splats.photographs import Photograph, heldout_views, photograph, psnr
from splatscope.splats.pose_refinement import PoseRefinement
from splatscope.splats.rasterizer import Render, render
from splatscope.splats.strategies.adaptive import AdaptiveDensity
from splatscope.splats.strategies.budget import Budget
from splatscope.splats.strategies.mcmc import Mcmc
from splatscope.splats.training_state import TrainingState, digest_of

PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "sh")
STRATEGIES = {"budget": Budget, "default": AdaptiveDensity, "mcmc": Mcmc}
COARSE_SHARE = 0.25  # of the iterations are shared evenly by the reduced resolutions
PROGRESS_EVERY_S = 5.0


@dataclass
class TrainingResult:
    gaussians: Gaussians  # on the training's device
    curve: list[dict]  # rows: iteration, psnr_heldout, count, seconds (of training, without the measurements)
    heldout: list[int]  # indices of the views held out
    heldout_psnr: list[float]  # dB, in the same order
    extent: float  # how far before the cameras the scene lies, in world units
    light: list[float] | None  # exponents of the fall-off with distance and of the cone; None where not learned
    world_from_camera: list[np.ndarray]  # [4, 4] of each view: refined, or as given (always so where held out)
    seconds: float


def train_gaussians(
    views: Sequence[TrainingView],
    points: PointCloud | None,
    config: SplatConfig,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    threads: int | None = None,
    report: Callable[[str], None] | None = None,
    stop_at: int | None = None,
) -> TrainingResult:
    """Learn a Gaussian model.

    Args:
        views: photographs without distortion; those of `heldout_views` are only measured.
        points: coloured points in world units; None starts from random points where the cameras look.
        device: "cpu" or "cuda"; all views lie there during training. Equal bytes are a promise of the CPU only: on
            CUDA gsplat adds gradients up in the order in which its threads come.
        checkpoint: file to write the state to now and then. When it is there and fits, training goes on from it, on
            either device, and ends with the same bytes as without the interruption.
        threads: of the rasterizer; does not change the result. (With `exposure`, PyTorch's own number of threads does:
            jobs set it to 1.)
        report: called with lines of progress.
        stop_at: end early, after this iteration (for tests of the checkpoint).

    ValueError when there are no views to train on or shapes do not fit.
    """
    report = report or (lambda line: None)
    trainer = _Trainer(views, points, config, seed, torch.device(device), threads or torch.get_num_threads(), report)
    if checkpoint is not None and Path(checkpoint).exists():
        trainer.report(trainer.state.load(Path(checkpoint), trainer.digest))
    trainer.run(checkpoint, stop_at or config.iterations)
    return trainer.result()


class _Trainer:
    def __init__(self, views, points, config: SplatConfig, seed: int, device: torch.device, threads: int, report):
        self.heldout = heldout_views(len(views), config.heldout_every)
        self.training = [index for index in range(len(views)) if index not in self.heldout]
        if not self.training:
            raise ValueError("expected at least one view to train on, got none")
        for view in views:
            if view.image.shape != (view.camera.height, view.camera.width, 3) or view.camera.distortion:
                raise ValueError(
                    f"expected an image [{view.camera.height}, {view.camera.width}, 3] of an undistorted camera, "
                    f"got {list(view.image.shape)}, distortion {view.camera.distortion}"
                )
        self.config, self.device, self.threads, self.report = config, device, threads, report
        self.photographs = [
            [photograph(view, level).to(device) for view in views] for level in range(max(config.coarse_to_fine, 1))
        ]
        self.given_poses = [view.world_from_camera for view in views]
        self.poses = [torch.from_numpy(invert(pose)).float()[None].to(device) for pose in self.given_poses]
        rng = np.random.default_rng(seed)
        self.extent = look_distance(views, points)
        self.free_space = FreeSpace([views[index] for index in self.training], points, config.free_space)
        count = min(config.initial_gaussians, config.max_gaussians)
        opacity = config.initial_opacity
        start = initial_gaussians(views, points, self.extent, count, config.sh_degree, opacity, rng)
        start = {name: getattr(start, name).contiguous() for name in PARAMETERS}
        self.digest = digest_of(views, config, seed, start)
        gaussians = adam_on(device, {name: value.requires_grad_() for name, value in start.items()})
        exponents = torch.tensor([[config.light_falloff, config.light_cone]], requires_grad=config.light)
        self.exposure = Exposure(len(self.training), device)
        self.refinement = PoseRefinement([self.given_poses[index] for index in self.training], self.extent)
        optimizers = {
            "gaussians": gaussians,
            "light": adam_on(device, {"exponents": exponents}),
            "exposure": self.exposure.optimizer,
            "poses": self.refinement.optimizer,
        }
        strategy = STRATEGIES[config.strategy](gaussians, config, self.extent, rng)
        self.state = TrainingState(optimizers, strategy, rng)

    def run(self, checkpoint: Path | None, until: int) -> None:
        state, config = self.state, self.config
        said = time.monotonic()
        before, since = state.seconds, state.iteration
        while state.iteration < until and not self.plateaued():
            started = time.monotonic()
            loss = self.step()
            state.iteration += 1
            if state.strategy.due(state.iteration):
                state.strategy.refine(state.iteration, self.useless())
            now = time.monotonic()
            state.seconds += now - started
            last = state.iteration == config.iterations
            if state.iteration % config.evaluate_every == 0 or last:
                self.measure()
            if checkpoint is not None and state.iteration % config.checkpoint_every == 0 and not last:
                state.save(Path(checkpoint), self.digest)
            if now - said >= PROGRESS_EVERY_S:
                said = now
                speed = (state.iteration - since) / (state.seconds - before)
                left = (config.iterations - state.iteration) / speed
                psnr = f"{state.curve[-1]['psnr_heldout']:.2f} dB" if state.curve else "not yet measured"
                self.report(
                    f"{state.iteration}/{config.iterations}  {speed:.1f} it/s  loss {loss.item():.4f}  "
                    f"held-out {psnr}  {state.strategy.count} Gaussians  {left:.0f} s to go"
                )

    def plateaued(self) -> bool:
        """Whether the last `patience` measurements brought no `min_gain`."""
        best, without_gain = -np.inf, 0
        for row in self.state.curve:
            gained = row["psnr_heldout"] >= best + self.config.min_gain
            best, without_gain = (row["psnr_heldout"], 0) if gained else (best, without_gain + 1)
        return bool(self.config.patience and self.heldout) and without_gain >= self.config.patience

    def step(self) -> torch.Tensor:
        """One image: draw, compare, go down the gradient. Returns the loss, not yet waited for."""
        state, config = self.state, self.config
        if not state.order:
            state.order = [self.training[index] for index in state.rng.permutation(len(self.training))]
        index = state.order.pop()
        row = self.training.index(index)
        shown = self.photographs[self.level()][index]
        degree = min(config.sh_degree, state.iteration // config.sh_interval)
        background = state.rng.uniform(size=3) if config.random_background else None
        background = None if background is None else torch.from_numpy(background).float().to(self.device)
        refines_pose = config.pose_refinement and state.iteration >= config.pose_start * config.iterations
        pose = self.refinement.camera_from_world(row).to(self.device) if refines_pose else self.poses[index]
        gaussians, offsets, absgrad = self.gaussians(), None, None
        if state.strategy.measures_pulls:
            offsets = torch.zeros(1, len(gaussians), 2, device=self.device, requires_grad=True)
            absgrad = torch.zeros_like(offsets, requires_grad=False) if config.absolute_gradients else None
        squares = self.squared_distances(gaussians, pose[0]) if config.depth_regulariser else None
        more = {"background": background, "features": squares, "mean_offsets": offsets, "absgrad": absgrad}
        drawn = self.draw(gaussians, pose, shown, degree, **more)
        color = self.exposure.apply(drawn.color, row) if config.exposure else drawn.color
        loss = image_loss(color, shown.image, shown.mask, config.ssim_weight, self.threads)
        loss = loss + self.regularisers(gaussians, drawn)
        loss.backward()
        if offsets is not None:
            state.strategy.observe((offsets.grad if absgrad is None else absgrad)[0], *shown.size)
        self.descend(degree, refines_pose)
        return loss.detach()

    def regularisers(self, gaussians: Gaussians, drawn: Render) -> torch.Tensor | float:
        """What the loss holds besides the image."""
        config, total = self.config, 0.0
        opacity_weight, scale_weight = (
            self.state.strategy.regulariser if weight is None else weight
            for weight in (config.opacity_regulariser, config.scale_regulariser)
        )
        if config.depth_regulariser:
            total = config.depth_regulariser * depth_variance(drawn, self.extent)
        if opacity_weight:
            total = total + opacity_weight * torch.sigmoid(gaussians.opacity_logits).mean()
        if scale_weight:
            total = total + scale_weight * torch.exp(gaussians.log_scales).mean() / self.extent
        return total

    def descend(self, degree: int, refines_pose: bool) -> None:
        """One step of all that learns."""
        state, config = self.state, self.config
        progress = state.iteration / config.iterations
        mean_rate = self.extent * config.mean_rate * (config.mean_rate_end / config.mean_rate) ** progress
        rates = {
            "means": mean_rate,
            "quaternions": config.quaternion_rate,
            "log_scales": config.scale_rate,
            "opacity_logits": config.opacity_rate,
            "sh": config.color_rate,
        }
        decay = config.sh_rate * config.sh_decay
        gaussians = state.optimizers["gaussians"]
        seen = gaussians.values["opacity_logits"].grad != 0 if config.sparse_adam else None
        gaussians.step(rates, config.sh_rate, (degree + 1) ** 2, self.threads, decay, seen)
        state.strategy.wander(mean_rate)
        if config.light:
            state.optimizers["light"].step({"exponents": config.light_rate * 0.1**progress})
        if config.exposure:
            self.exposure.step(config.exposure_rate * 0.01**progress)
        if refines_pose:
            self.refinement.step(config.pose_rate * 0.1**progress)

    def level(self) -> int:
        """How many times the images are halved now."""
        coarse = len(self.photographs) - 1
        return max(coarse - int(coarse * self.state.iteration / (COARSE_SHARE * self.config.iterations)), 0)

    def squared_distances(self, gaussians: Gaussians, pose: torch.Tensor) -> torch.Tensor:
        """[N, 1] squares of how much farther than the scene's extent each mean lies in a view, in units of it."""
        return ((gaussians.means @ pose[2, :3] + pose[2, 3]) / self.extent - 1)[:, None] ** 2

    def draw(self, gaussians: Gaussians, pose: torch.Tensor, shown: Photograph, degree: int, **more) -> Render:
        return render(gaussians, pose, shown.intrinsics, *shown.size, sh_degree=degree, threads=self.threads, **more)

    @torch.no_grad()
    def useless(self) -> torch.Tensor:
        """bool [N]: too faint, or where nothing can be."""
        values = self.state.optimizers["gaussians"].values
        faint = torch.sigmoid(values["opacity_logits"]) < self.config.min_opacity
        return faint | self.free_space.floating(values["means"])

    @torch.no_grad()
    def measure(self) -> None:
        """A row of the curve: mean PSNR over the held-out views."""
        psnr = self.heldout_psnr(self.gaussians())
        self.state.curve.append(
            {
                "iteration": self.state.iteration,
                "psnr_heldout": float(np.mean(psnr)) if psnr else float("nan"),
                "count": self.state.strategy.count,
                "seconds": round(self.state.seconds, 3),
            }
        )

    @torch.no_grad()
    def heldout_psnr(self, gaussians: Gaussians) -> list[float]:
        degree = min(self.config.sh_degree, self.state.iteration // self.config.sh_interval)
        values = []
        for index in self.heldout:
            shown = self.photographs[0][index]
            drawn = self.draw(gaussians, self.poses[index], shown, degree)
            values.append(psnr(drawn.color[0], shown.image, shown.mask))
        return values

    def gaussians(self) -> Gaussians:
        values, light = self.state.optimizers["gaussians"].whole(), None
        if self.config.light:
            exponents = self.state.optimizers["light"].values["exponents"].expand(len(values["means"]), 2)
            light = torch.cat([exponents.new_full((len(exponents), 1), self.extent), exponents], 1)
        return Gaussians(**values, light=light)

    def result(self) -> TrainingResult:
        gaussians = self.gaussians().detach().select(~self.useless())
        return TrainingResult(
            gaussians=gaussians,
            curve=self.state.curve,
            heldout=self.heldout,
            heldout_psnr=self.heldout_psnr(gaussians),
            extent=self.extent,
            light=self.state.optimizers["light"].values["exponents"][0].tolist() if self.config.light else None,
            world_from_camera=self.refined_poses(),
            seconds=self.state.seconds,
        )

    def refined_poses(self) -> list[np.ndarray]:
        poses = list(self.given_poses)
        if self.config.pose_refinement:
            for row, index in enumerate(self.training):
                poses[index] = self.refinement.world_from_camera(row)
        return poses

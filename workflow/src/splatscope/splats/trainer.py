"""Training of a Gaussian model from posed photographs: same seed, same bytes, also after an interruption."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from splatscope.config.splat import SplatConfig
from splatscope.files import atomic_path
from splatscope.geometry import invert
from splatscope.splats.floaters import FreeSpace
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import PointCloud, TrainingView, initial_gaussians, look_distance
from splatscope.splats.losses import depth_variance, image_loss
from splatscope.splats.optimizer import Adam
from splatscope.splats.rasterizer import Render, render
from splatscope.splats.refinement import PullMeter, grown_count, refine

PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "sh")
PROGRESS_EVERY_S = 5.0


@dataclass
class TrainingResult:
    gaussians: Gaussians
    curve: list[dict]  # rows: iteration, psnr_heldout, count, seconds
    heldout: list[int]  # indices of the views held out
    heldout_psnr: list[float]  # dB, in the same order
    extent: float  # how far before the cameras the scene lies, in world units
    light: list[float] | None  # exponents of the fall-off with distance and of the cone; None where not learned
    seconds: float


@dataclass
class _State:
    """All that changes during training, and so all that a checkpoint holds."""

    optimizer: Adam
    light: Adam  # of "exponents" [1, 2]: fall-off with distance, cone
    meter: PullMeter
    rng: np.random.Generator
    iteration: int = 0
    order: list[int] = field(default_factory=list)  # views still to be looked at in this round
    curve: list[dict] = field(default_factory=list)
    seconds: float = 0.0


def heldout_views(count: int, every: int) -> list[int]:
    """Indices of the views that are held out: the middle one of each `every`, none when there are too few."""
    return list(range(every // 2, count, every))


def train_gaussians(
    views: Sequence[TrainingView],
    points: PointCloud | None,
    config: SplatConfig,
    seed: int,
    *,
    checkpoint: Path | None = None,
    threads: int | None = None,
    report: Callable[[str], None] | None = None,
    stop_at: int | None = None,
) -> TrainingResult:
    """Learn a Gaussian model.

    Args:
        views: photographs without distortion; those of `heldout_views` are only measured.
        points: coloured points in world units; None starts from random points where the cameras look.
        checkpoint: file to write the state to now and then. When it is there and fits, training goes on from it and
            ends with the same bytes as without the interruption.
        threads: of the rasterizer; does not change the result.
        report: called with lines of progress.
        stop_at: end early, after this iteration (for tests of the checkpoint).

    ValueError when there are no views to train on or shapes do not fit.
    """
    trainer = _Trainer(views, points, config, seed, threads or torch.get_num_threads(), report or (lambda line: None))
    if checkpoint is not None and Path(checkpoint).exists():
        trainer.load(Path(checkpoint))
    trainer.run(checkpoint, stop_at or config.iterations)
    return trainer.result()


class _Trainer:
    def __init__(self, views, points, config: SplatConfig, seed: int, threads: int, report):
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
        self.config, self.threads, self.report = config, threads, report
        self.sizes = [(view.camera.width, view.camera.height) for view in views]
        self.images = [_as_tensor(view.image, view.mask) for view in views]
        self.masks = [None if view.mask is None or view.mask.all() else torch.from_numpy(view.mask) for view in views]
        self.poses = [torch.from_numpy(invert(view.world_from_camera)).float()[None] for view in views]
        self.intrinsics = [torch.from_numpy(view.camera.matrix).float()[None] for view in views]
        rng = np.random.default_rng(seed)
        self.extent = look_distance(views, points)
        self.free_space = FreeSpace([views[index] for index in self.training], points, config.free_space)
        count = min(config.initial_gaussians, config.max_gaussians)
        start = initial_gaussians(views, points, self.extent, count, config.sh_degree, rng)
        self.initial_count = len(start)
        values = {name: getattr(start, name).contiguous().requires_grad_() for name in PARAMETERS}
        light = {"exponents": torch.tensor([[config.light_falloff, config.light_cone]], requires_grad=config.light)}
        self.state = _State(Adam(values), Adam(light), PullMeter(len(start)), rng)
        self.digest = _digest(views, config, seed, start)

    def run(self, checkpoint: Path | None, until: int) -> None:
        state, config = self.state, self.config
        started = said = time.monotonic()
        before, since = state.seconds, state.iteration
        while state.iteration < until:
            loss = self.step()
            state.iteration += 1
            self.maybe_refine()
            now = time.monotonic()
            state.seconds = before + now - started
            last = state.iteration == config.iterations
            if state.iteration % config.evaluate_every == 0 or last:
                self.measure()
            if checkpoint is not None and state.iteration % config.checkpoint_every == 0 and not last:
                self.save(Path(checkpoint))
            if now - said >= PROGRESS_EVERY_S:
                said = now
                speed = (state.iteration - since) / (now - started)
                psnr = f"{state.curve[-1]['psnr_heldout']:.2f} dB" if state.curve else "not yet measured"
                self.report(
                    f"{state.iteration}/{config.iterations}  {speed:.1f} it/s  loss {loss:.4f}  held-out {psnr}  "
                    f"{len(state.meter.total)} Gaussians  {(config.iterations - state.iteration) / speed:.0f} s to go"
                )

    def step(self) -> float:
        """One image: draw, compare, go down the gradient."""
        state, config = self.state, self.config
        if not state.order:
            state.order = [self.training[index] for index in state.rng.permutation(len(self.training))]
        index = state.order.pop()
        degree = min(config.sh_degree, state.iteration // config.sh_interval)
        background = torch.from_numpy(state.rng.uniform(size=3)).float() if config.random_background else None
        values = state.optimizer.values
        offsets = torch.zeros(1, len(state.meter.total), 2, requires_grad=True)
        gaussians = self.gaussians()
        squares = self.squared_distances(gaussians, index) if config.depth_regulariser else None
        drawn = self.draw(gaussians, index, degree, background, offsets, squares)
        loss = image_loss(drawn.color, self.images[index], self.masks[index], config.ssim_weight, self.threads)
        if config.depth_regulariser:
            loss = loss + config.depth_regulariser * depth_variance(drawn, self.extent)
        if config.opacity_regulariser:
            loss = loss + config.opacity_regulariser * torch.sigmoid(values["opacity_logits"]).mean()
        if config.scale_regulariser:
            loss = loss + config.scale_regulariser * torch.exp(values["log_scales"]).mean() / self.extent
        loss.backward()
        state.meter.add(offsets.grad[0])
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
        state.optimizer.step(rates, config.sh_rate, (degree + 1) ** 2, self.threads, decay)
        if config.light:
            state.light.step({"exponents": config.light_rate * 0.1**progress})
        return loss.item()

    def squared_distances(self, gaussians: Gaussians, index: int) -> torch.Tensor:
        """[N, 1] squares of how much farther than the scene's extent each mean lies in a view, in units of it."""
        pose = self.poses[index][0]
        return ((gaussians.means @ pose[2, :3] + pose[2, 3]) / self.extent - 1)[:, None] ** 2

    def draw(
        self, gaussians: Gaussians, index: int, degree: int, background=None, offsets=None, features=None
    ) -> Render:
        width, height = self.sizes[index]
        return render(
            gaussians,
            self.poses[index],
            self.intrinsics[index],
            width,
            height,
            background=background,
            features=features,
            sh_degree=degree,
            mean_offsets=offsets,
            threads=self.threads,
        )

    def maybe_refine(self) -> None:
        state, config = self.state, self.config
        first, last = (
            round(share * config.iterations) // config.refine_every * config.refine_every
            for share in (config.refine_start, config.refine_end)
        )
        settled = config.iterations - 2 * config.refine_every  # the last replaced ones need time to learn
        if state.iteration % config.refine_every or not first < state.iteration <= settled:
            return
        target = grown_count(state.iteration, first, last, self.initial_count, config.max_gaussians)
        refine(state.optimizer, state.meter.mean(), self.useless(), target)
        state.meter = PullMeter(len(state.optimizer.values["means"]))

    @torch.no_grad()
    def useless(self) -> torch.Tensor:
        """bool [N]: too faint, or where nothing can be."""
        values = self.state.optimizer.values
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
                "count": len(self.state.meter.total),
                "seconds": round(self.state.seconds, 2),
            }
        )

    @torch.no_grad()
    def heldout_psnr(self, gaussians: Gaussians) -> list[float]:
        degree = min(self.config.sh_degree, self.state.iteration // self.config.sh_interval)
        return [
            psnr(self.draw(gaussians, index, degree).color[0], self.images[index], self.masks[index])
            for index in self.heldout
        ]

    def gaussians(self) -> Gaussians:
        values, light = self.state.optimizer.values, None
        if self.config.light:
            exponents = self.state.light.values["exponents"].expand(len(values["means"]), 2)
            light = torch.cat([torch.full((len(exponents), 1), self.extent), exponents], 1)
        return Gaussians(**values, light=light)

    def result(self) -> TrainingResult:
        gaussians = self.gaussians().detach().select(~self.useless())
        return TrainingResult(
            gaussians=gaussians,
            curve=self.state.curve,
            heldout=self.heldout,
            heldout_psnr=self.heldout_psnr(gaussians),
            extent=self.extent,
            light=self.state.light.values["exponents"][0].tolist() if self.config.light else None,
            seconds=self.state.seconds,
        )

    def save(self, path: Path) -> None:
        state = self.state
        content = {
            "digest": self.digest,
            "optimizer": state.optimizer.state(),
            "light": state.light.state(),
            "meter": [state.meter.total, state.meter.views],
            "rng": state.rng.bit_generator.state,
            "iteration": state.iteration,
            "order": state.order,
            "curve": state.curve,
            "seconds": state.seconds,
        }
        with atomic_path(path) as temporary:
            torch.save(content, temporary)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; one of other views, settings or seed, or a broken one, is left aside, saying so."""
        try:
            content = torch.load(path, weights_only=True)
            fits = content["digest"] == self.digest
        except Exception as error:  # torch raises many kinds for a broken file
            self.report(f"{path} is no checkpoint ({type(error).__name__}): starting anew")
            return
        if not fits:
            self.report(f"{path} belongs to other views or settings: starting anew")
            return
        state = self.state
        state.optimizer.restore(content["optimizer"])
        state.light.restore(content["light"])
        state.meter.total, state.meter.views = content["meter"]
        state.rng.bit_generator.state = content["rng"]
        state.iteration, state.order, state.curve = content["iteration"], content["order"], content["curve"]
        state.seconds = content["seconds"]
        self.report(f"going on from {path} at iteration {state.iteration}")


def psnr(image: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of an image [H, W, 3], clipped to 0..1, over the pixels of the mask."""
    squares = (image.clamp(0, 1) - target) ** 2
    if mask is not None:
        squares = squares[mask]
    return -10 * float(torch.log10(squares.double().mean().clamp_min(1e-10)))


def _as_tensor(image: np.ndarray, mask: np.ndarray | None) -> torch.Tensor:
    """float32 [H, W, 3] whose planes are contiguous, as the native loss reads them; black where masked."""
    image = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image.astype(np.float32)
    if mask is not None:
        image = np.where(
            mask[..., None], image, np.float32(0)
        )  # what is there must not reach SSIM windows across the edge
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).permute(1, 2, 0)


def _digest(views: Sequence[TrainingView], config: SplatConfig, seed: int, start: Gaussians) -> str:
    digest = hashlib.sha256(f"{config.model_dump_json()} {seed}".encode())
    for view in views:
        digest.update(np.ascontiguousarray(view.image).tobytes() + view.world_from_camera.tobytes())
        digest.update(repr(view.camera).encode() + (b"" if view.mask is None else view.mask.tobytes()))
    for name in PARAMETERS:
        digest.update(getattr(start, name).detach().numpy().tobytes())
    return digest.hexdigest()

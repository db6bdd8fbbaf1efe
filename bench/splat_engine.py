"""The splat engine beside its peers, in one run on one machine: `make bench-splat OPENSPLAT=folder`.

Every figure is the least of several interleaved repetitions, ours and the peer's in turn, two threads each unless said
otherwise. The table is printed, and results/bench/splat.json holds it as a list of
{work, ours, peer, peer_version, ratio, unit, at_least}; `ratio` is how many times better ours is. A row whose peer or
whose input is not there says so and has no figure.

    python bench/splat_engine.py --opensplat OpenSplat --run results --run results/real/fox_given_poses/results
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch is loaded; as in every job of the workflow
import torch

sys.path.insert(0, str(Path(__file__).parent))
from comparison import Table
from peers import gsplat_reference, opensplat
from splat_scenes import (
    as_tensors,
    centred,
    sampled_points,
    tissue,
    tissue_camera,
    tissue_views,
    views_of_run,
)

from splatscope.config.splat import SplatConfig
from splatscope.splats import native
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.initialise import TrainingView
from splatscope.splats.rasterizer import render
from splatscope.splats.trainer import heldout_views, psnr, train_gaussians

THREADS = 2
ROUNDS = 8
PARAMETERS = ("means", "quaternions", "log_scales", "opacity_logits", "sh")
TO_OPENGL = np.diag([1.0, -1, -1, 1])
PEER_STEPS = 2000
SHORT_SCHEDULES = (120, 200, 300, 500, 800)
MEMORY_PROBE = """
import re, torch
from pathlib import Path
from bench.splat_scenes import as_tensors, tissue, tissue_camera
from splatscope.splats.rasterizer import render
import numpy as np
gaussians, camera = tissue(1_000_000, 1280, 1024), tissue_camera(1280, 1024)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: making the scene takes more than drawing it
with torch.no_grad():
    render(gaussians, *as_tensors(np.eye(4), camera), 1280, 1024, threads=2)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e6)
"""


def least_times(works: dict[str, Callable[[], object]], repeats: dict[str, int]) -> dict[str, float]:
    """Least wall seconds of each work; in each of several rounds the works take turns, `repeats` times each."""
    for work in works.values():
        work()
    least = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            for _ in range(repeats[name]):
                started = time.perf_counter()
                work()
                least[name] = min(least[name], time.perf_counter() - started)
    return least


def forward_backward(count: int, width: int, height: int, peer, reference) -> dict[str, Callable[[], object]]:
    """One image and the gradients by all parameters: ours, OpenSplat's and gsplat's reference's."""
    gaussians, camera = tissue(count, width, height), tissue_camera(width, height)
    pose, intrinsics = as_tensors(np.eye(4), camera)
    by_image = torch.randn(3, height, width, generator=torch.Generator().manual_seed(0)).permute(1, 2, 0)
    interleaved = by_image.contiguous()  # each gets its gradient as its own images lie in memory
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in PARAMETERS}

    def run(draw, by_image) -> Callable[[], None]:
        def work():
            for leaf in leaves.values():
                leaf.grad = None
            draw().backward(by_image)

        return work

    def activated():
        return leaves["means"], leaves["log_scales"].exp(), leaves["quaternions"], leaves["opacity_logits"].sigmoid()

    def by_peer():
        means, scales, quaternions, opacities = activated()
        view = (pose[0], camera.fx, camera.fy, width, height, 3)
        return peer.draw(means, scales, quaternions, opacities[:, None], leaves["sh"], *view)

    def by_reference():
        means, scales, quaternions, opacities = activated()
        return reference(means, quaternions, scales, opacities, leaves["sh"], pose[0], intrinsics[0], width, height)

    def ours(threads: int):
        return lambda: render(Gaussians(**leaves), pose, intrinsics, width, height, threads=threads).color

    works = {
        "ours": run(ours(THREADS), by_image[None]),
        "one thread": run(ours(1), by_image[None]),
        "opensplat": run(by_peer, interleaved),
    }
    with torch.no_grad():
        image, other = ours(THREADS)(), by_peer()
        print(f"{count} at {width}x{height}: mean abs difference of the images {(image[0] - other).abs().mean():.1e}")
    if reference:
        works["gsplat"] = run(by_reference, interleaved)
    return works


class Peer:
    """OpenSplat training on our views."""

    def __init__(self, module, views: list[TrainingView], points, iterations: int, densify_until: int):
        self.heldout = heldout_views(len(views), SplatConfig().heldout_every)
        self.training = [index for index in range(len(views)) if index not in self.heldout]
        poses = np.stack([view.world_from_camera @ TO_OPENGL for view in views])
        centre = poses[self.training, :3, 3].mean(0)  # its own normalisation of the cameras
        scale = 1 / np.abs(poses[self.training, :3, 3] - centre).max()
        poses[:, :3, 3] = (poses[:, :3, 3] - centre) * scale
        self.poses = torch.from_numpy(poses).float()
        self.views = views
        self.images = [torch.from_numpy(np.ascontiguousarray(view.image)).float() / 255 for view in views]
        focal = torch.tensor([[view.camera.fx, view.camera.fy] for view in views])
        self.trainer = module.Trainer(
            [self.images[index] for index in self.training],
            self.poses[self.training],
            focal[self.training],
            torch.from_numpy((points.positions - centre) * scale).float(),
            torch.from_numpy((points.colors * 255).round().astype(np.uint8)),
            iterations,
            500,
            densify_until,
        )
        self.rng = np.random.default_rng(0)
        self.order: list[int] = []

    def step(self, number: int) -> None:
        if not self.order:
            self.order = list(self.rng.permutation(len(self.training)))
        self.trainer.step(int(self.order.pop()), number)

    def heldout_psnr(self, number: int) -> float:
        values = []
        for index in self.heldout:
            camera = self.views[index].camera
            size = (camera.fx, camera.fy, camera.width, camera.height)
            values.append(psnr(self.trainer.render(self.poses[index], *size, number), self.images[index]))
        return float(np.mean(values))


def training_steps(module) -> tuple[float, float]:
    """Seconds of a training step at 640x480 from 20,000 points, refinement's share included: ours, OpenSplat's."""
    views = tissue_views(640, 480, 12)
    points = sampled_points(views, 20_000)
    config = SplatConfig(  # the peer's own work: full images, no light, no depth, one background
        max_width=640,
        iterations=1000,
        initial_gaussians=20_000,
        max_gaussians=20_000,
        evaluate_every=100_000,
        coarse_to_fine=0,
        light=False,
        depth_regulariser=0.0,
        random_background=False,
    )
    peer = Peer(module, views, points, PEER_STEPS, 1000)
    times, ours = [], []
    for part in range(3):
        for number in range(470 + 10 * part, 480 + 10 * part):
            started = time.perf_counter()
            peer.step(number)
            times.append(time.perf_counter() - started)
        result = train_gaussians(views, points, config, 0, threads=THREADS, stop_at=200)
        ours.append(result.seconds / 200)
    started = time.perf_counter()
    peer.step(500)
    refinement = time.perf_counter() - started - min(times)
    return min(ours), min(times) + refinement / 500


def time_to_quality(table: Table, name: str, views, points, module, version: str) -> None:
    """Wall time to the held-out PSNR that OpenSplat has after 2,000 steps; same images, as many Gaussians.

    Ours is the first of a few short schedules that gets there; time for measuring is left out on both sides.
    """
    peer = Peer(module, views, points, PEER_STEPS, PEER_STEPS // 2)
    seconds = 0.0
    for number in range(1, PEER_STEPS + 1):
        started = time.perf_counter()
        peer.step(number)
        seconds += time.perf_counter() - started
    reached, count = peer.heldout_psnr(PEER_STEPS), peer.trainer.count()
    size = f"{views[0].camera.width}x{views[0].camera.height}"
    work = f"to OpenSplat's held-out PSNR after {PEER_STEPS} steps, {name}, {size}"
    print(f"{work}: OpenSplat {seconds:.1f} s, {reached:.2f} dB, {count} Gaussians", flush=True)
    for iterations in SHORT_SCHEDULES:
        quick = SplatConfig(
            iterations=iterations,
            max_gaussians=count,
            evaluate_every=10,
            refine_every=max(iterations // 12, 10),
            sh_interval=iterations // 4,
        )
        result = train_gaussians(views, points, quick, 0, threads=THREADS)
        there = [row for row in result.curve if row["psnr_heldout"] >= reached]
        best = max(row["psnr_heldout"] for row in result.curve)
        more = {"psnr": reached, "gaussians": count, "iterations": iterations, "psnr_ours_at_the_end": best}
        print(f"{iterations} iterations: {best:.2f} dB in {result.seconds:.1f} s", flush=True)
        if there:
            table.add(work, there[0]["seconds"], seconds, version, "s", 40, **more)
            break
    else:
        table.missing(work, f"ours ended at {best:.2f} dB, below {reached:.2f} dB")
    result = train_gaussians(views, points, SplatConfig(max_gaussians=count), 0, threads=THREADS)
    ours = float(np.mean(result.heldout_psnr))
    work = f"held-out PSNR, {name}, {size}, {count} Gaussians"
    table.add(work, ours, reached, version, "dB (ratio: difference)", None, ratio=ours - reached)


def peak_memory() -> float:
    """GB of a whole process that draws 1,000,000 Gaussians at 1280x1024, interpreter and PyTorch included."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", MEMORY_PROBE], capture_output=True, text=True, cwd=root, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opensplat", type=Path, default=Path("OpenSplat"), help="folder with OpenSplat's sources")
    parser.add_argument("--build", type=Path, default=Path("results/bench/build"))
    parser.add_argument("--out", type=Path, default=Path("results/bench/splat.json"))
    parser.add_argument("--run", type=Path, action="append", default=[], help="results folder of a finished run")
    parser.add_argument("--only", default="", help="kernels, step, quality or memory")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    native.require()
    module, version = opensplat.load(options.opensplat, options.build / "opensplat")
    version = f"OpenSplat {version}"
    reference, gsplat_version = gsplat_reference.load(options.build / "gsplat")
    table = Table(options.out)

    if options.only in ("", "kernels"):
        works = forward_backward(50_000, 640, 480, module, reference)
        times = least_times(works, {"ours": 10, "one thread": 5, "opensplat": 2, "gsplat": 1})
        milli = {name: 1000 * value for name, value in times.items()}
        work = "forward + backward, 640x480, 50k Gaussians, SH3"
        table.add(work, milli["ours"], milli["opensplat"], version, "ms", 20)
        table.add(work, milli["ours"], milli["gsplat"], f"gsplat {gsplat_version} PyTorch reference", "ms", 150)
        table.add("1 -> 2 threads, 640x480, 50k", milli["ours"], milli["one thread"], "itself, 1 thread", "ms", 1.9)
        works = forward_backward(50_000, 1280, 1024, module, None)
        times = least_times(works, {"ours": 10, "one thread": 5, "opensplat": 1})
        milli = {name: 1000 * value for name, value in times.items()}
        table.add("forward + backward, 1280x1024, 50k", milli["ours"], milli["opensplat"], version, "ms", 40)
        table.add("1 -> 2 threads, 1280x1024, 50k", milli["ours"], milli["one thread"], "itself, 1 thread", "ms", 1.9)
    if options.only in ("", "memory"):
        table.add("peak memory, 1M Gaussians, 1280x1024, inference", peak_memory(), 1.5, "the limit", "GB", 1.0)
    if options.only in ("", "step"):
        ours, peer = training_steps(module)
        table.add("training step, 640x480, 20k points", 1000 * ours, 1000 * peer, version, "ms", 45)
    if options.only in ("", "quality"):
        for results in options.run:
            if not (results / "poses" / "poses.json").exists():
                table.missing(
                    f"time to quality on {results}", "no finished run there: `make demo` or `make real` first"
                )
                continue
            views, points = views_of_run(results, "site", 320)
            time_to_quality(table, str(results), [centred(view) for view in views], points, module, version)
    print(json.dumps(table.rows, indent=1))


if __name__ == "__main__":
    main()

"""The splat engine on CUDA: `make bench-splat-cuda`.

Training beside a loop of gsplat's own parts, the dataset's frames a second with all labels, and how far colours are
from the native backend's. The table is printed; results/bench/splat_cuda.json holds it. Refuses to run without CUDA.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from peers.gsplat_training import VERSION, GsplatTraining
from splat_scenes import as_tensors, sampled_points, tissue, tissue_camera, tissue_views

from splatscope.compose.scene_list import Placement, Scene, SceneHeader
from splatscope.config.render import RenderConfig
from splatscope.config.splat import SplatConfig
from splatscope.files import write_json
from splatscope.geometry import look_at
from splatscope.render import render_frame
from splatscope.splats import native
from splatscope.splats.device import cuda_missing
from splatscope.splats.initialise import initial_gaussians, look_distance
from splatscope.splats.rasterizer import render
from splatscope.splats.trainer import train_gaussians

STEPS, ROUNDS = 400, 3
FRAMES, DRAWING_THREADS = 300, 8
ASKED_FRAMES_PER_SECOND, ASKED_DIFFERENCE = 300, 1e-4
TARGET = np.array([0, 0, 80.0])  # where `tissue` lies


def training_rates(count: int, device: torch.device) -> tuple[float, float]:
    """Steps a second at 640x480 with `count` Gaussians, ours and the peer's: the best of several, in turn."""
    views = tissue_views(640, 480, 12)
    points = sampled_points(views, count)
    config = SplatConfig(  # the peer's own work: full images, no light, no depth, one background, signed gradients
        iterations=10 * STEPS,
        initial_gaussians=count,
        max_gaussians=count,
        sh_interval=1,
        evaluate_every=10**6,
        heldout_every=10**6,
        coarse_to_fine=0,
        light=False,
        depth_regulariser=0.0,
        random_background=False,
        absolute_gradients=False,
    )
    extent = look_distance(views, points)
    start = initial_gaussians(views, points, extent, count, 3, config.initial_opacity, np.random.default_rng(0))
    best = [0.0, 0.0]
    for part in range(ROUNDS + 1):  # the first warms up
        ours = train_gaussians(views, points, config, 0, device=device, stop_at=STEPS)
        peer = GsplatTraining(views, start, extent, device)
        torch.cuda.synchronize()
        started = time.perf_counter()
        for number in range(STEPS):
            peer.step(number)
        torch.cuda.synchronize()
        rates = STEPS / ours.seconds, STEPS / (time.perf_counter() - started)
        best = [max(pair) for pair in zip(best, rates)] if part else best
    return best[0], best[1]


def frames_per_second(device: torch.device) -> float:
    """Frames of 640x512 with colour, classes, instances, amodal masks and depth; encoding is not in it."""
    camera = tissue_camera(640, 512)
    site, tool = (tissue(50_000, 640, 512, seed).to(device) for seed in (0, 1))
    tool = tool.select(tool.means[:, 0].abs() < 6)  # a bar across the image
    header = SceneHeader("sampled", "exact", {"background": camera}, {"tool": "tool"}, {})

    def scene(index: int) -> Scene:
        angle = 2 * np.pi * index / FRAMES
        eye = np.array([12 * np.cos(angle), 9 * np.sin(angle), 4 * np.sin(2 * angle)])
        placement = np.eye(4)
        placement[:3, 3] = 20 * np.cos(angle), 10 * np.sin(angle), -25
        placed = (Placement("tool", 1, 14, placement),)
        return Scene(index, 0, index, look_at(eye, TARGET, np.array([0, -1.0, 0])), placed, "background")

    def work(scene: Scene):
        return render_frame(scene, header, site, {"tool": tool}, RenderConfig())

    scenes = [scene(index) for index in range(FRAMES)]
    with ThreadPoolExecutor(DRAWING_THREADS) as pool:
        for _ in pool.map(work, scenes[:20]):
            pass
        started = time.perf_counter()
        for _ in pool.map(work, scenes):
            pass
        return FRAMES / (time.perf_counter() - started)


@torch.no_grad()
def difference(device: torch.device) -> float:
    """Mean absolute difference of colours from the native backend's, over views of the tissue at 640x512."""
    gaussians, camera, found = tissue(50_000, 640, 512), tissue_camera(640, 512), []
    for x in (-12.0, 0.0, 12.0):
        view = as_tensors(look_at(np.array([x, 0, 0]), TARGET, np.array([0, -1.0, 0])), camera)
        expected = render(gaussians, *view, 640, 512, backend="native").color
        drawn = render(gaussians.to(device), *(value.to(device) for value in view), 640, 512).color
        found.append(float((drawn.cpu() - expected).abs().mean()))
    return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/bench/splat_cuda.json"))
    options = parser.parse_args()
    if (reason := cuda_missing()) is not None:
        sys.exit(f"this benchmark is of CUDA, but {reason}; `make bench-splat` is that of the CPU")
    native.require()
    device, name, rows = torch.device("cuda"), torch.cuda.get_device_name(), []

    def add(work: str, ours: float, peer: float, version: str, unit: str, ratio: float) -> None:
        short = "" if ratio >= 1 else " (short)"
        print(f"{work}: ours {ours:.4g} {unit}, {version} {peer:.4g} {unit}: {ratio:.2f}x{short}", flush=True)
        rows.append({"work": work, "ours": ours, "peer": peer, "peer_version": version, "ratio": ratio, "unit": unit})
        rows[-1] |= {"at_least": 1, "device": name}
        write_json(options.out, rows)

    for count in (20_000, 50_000):
        ours, peer = training_rates(count, device)
        add(f"training, 640x480, {count} Gaussians", ours, peer, VERSION, "steps/s", ours / peer)
    rate = frames_per_second(device)
    asked = ASKED_FRAMES_PER_SECOND
    add("dataset frames with all labels, 640x512", rate, asked, "asked for", "frames/s", rate / asked)
    found = difference(device)
    limit = ASKED_DIFFERENCE
    add("colours against native, 640x512, mean abs", found, limit, "the limit", "of 1", limit / max(found, 1e-12))


if __name__ == "__main__":
    main()

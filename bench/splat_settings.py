"""What the trainer's settings are worth: held-out PSNR and processor time of variants, on finished runs.

    python bench/splat_settings.py --run results --run results/real/fox_given_poses/results

Each variant changes one thing of the defaults, at a reduced size (240 px, 1,500 iterations, 12,000 Gaussians, one
thread, seed 0). The table is printed; results/bench/splat_settings.json holds it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch is loaded; as in every job of the workflow
import torch
from splat_scenes import views_of_run

from splatscope.config.splat import SplatConfig
from splatscope.files import write_json
from splatscope.splats.trainer import train_gaussians

SIZE = {"max_width": 240, "iterations": 1500, "sh_interval": 300, "max_gaussians": 12_000, "initial_gaussians": 8000}
VARIANTS = {
    "the defaults": {},
    "signed gradients": {"absolute_gradients": False},
    "initial opacity 0.1": {"initial_opacity": 0.1},
    "full resolution throughout": {"coarse_to_fine": 0},
    "three resolutions": {"coarse_to_fine": 3},
    "strategy default": {"strategy": "default"},
    "strategy mcmc": {"strategy": "mcmc", "refine_every": 30},
    "mcmc without regularisers": {
        "strategy": "mcmc",
        "refine_every": 30,
        "opacity_regulariser": 0.0,
        "scale_regulariser": 0.0,
    },
    "sparse Adam": {"sparse_adam": True},
    "no light at the camera": {"light": False},
    "no depth regulariser": {"depth_regulariser": 0.0},
    "black background": {"random_background": False},
    "exposure maps": {"exposure": True},
    "pose refinement": {"pose_refinement": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", required=True, help="results folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path("results/bench/splat_settings.json"))
    parser.add_argument("--only", action="append", help="a variant's name; all where none is given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for results in options.run:
        views, points = views_of_run(results, "site", SIZE["max_width"])
        for name in options.only or VARIANTS:
            started = time.process_time()
            result = train_gaussians(views, points, SplatConfig(**(SIZE | VARIANTS[name])), 0, threads=1)
            row = {
                "run": str(results),
                "variant": name,
                "psnr_heldout": float(np.mean(result.heldout_psnr)),
                "cpu_seconds": time.process_time() - started,
                "gaussians": len(result.gaussians),
            }
            rows.append(row)
            print("  ".join(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
            write_json(options.out, rows)


if __name__ == "__main__":
    main()

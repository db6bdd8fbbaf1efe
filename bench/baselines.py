"""How many iterations of each radiance field take as long as training our splat, on one thread of this machine.

    python bench/baselines.py --run results

Processor time, so that other work on the machine counts less: of a whole training of the splat, and of the first
iterations of each field with its learning rates as configured. The table is printed; results/bench/baselines.json holds
it. A field's iterations get cheaper as it becomes opaque, so that a whole training takes a little less than is said.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch is loaded; as in every job of the workflow
import torch
from splat_scenes import views_of_run

from splatscope.baselines.training import FIELDS, train_radiance_field
from splatscope.config.baselines import BaselinesConfig
from splatscope.config.splat import SplatConfig
from splatscope.files import write_json
from splatscope.splats.trainer import train_gaussians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="results folder of a finished run")
    parser.add_argument("--group", action="append", help="a splat's name; site and all tools where none is given")
    parser.add_argument("--share", type=float, default=0.2, help="of a field's iterations that are run")
    parser.add_argument("--out", type=Path, default=Path("results/bench/baselines.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    splat_config, config = SplatConfig(), BaselinesConfig()
    rows = []
    for group in options.group or sorted(path.name for path in (options.run / "splat").iterdir()):
        views, points = views_of_run(options.run, group, splat_config.max_width)
        started = time.process_time()
        train_gaussians(views, points, splat_config.model_copy(update={"evaluate_every": 10**9}), 0, threads=1)
        splat_seconds = time.process_time() - started
        for kind in FIELDS:
            settings = getattr(config, kind)
            iterations = max(int(options.share * settings.iterations), 1)
            short = config.model_copy(update={kind: settings.model_copy(update={"iterations": iterations})})
            result = train_radiance_field(kind, views, points, short, 0, 10**6)
            each = result.cpu_seconds / iterations
            row = {"model": group, "kind": kind, "splat_cpu_seconds": round(splat_seconds, 1)}
            row |= {"cpu_ms_per_iteration": round(1000 * each, 2), "iterations": int(splat_seconds / each)}
            rows.append(row)
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    write_json(options.out, rows)


if __name__ == "__main__":
    main()

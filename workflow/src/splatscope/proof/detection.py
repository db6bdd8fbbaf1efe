"""One training of a detector, from image sets to detections on the test set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from splatscope.config.proof import DetectionConfig
from splatscope.devices import torch_device
from splatscope.files import write_table
from splatscope.proof.detection_tables import detections_table
from splatscope.proof.detectors import train_detector, training_steps
from splatscope.proof.image_sets import read_set
from splatscope.proof.run_list import Run
from splatscope.proof.runs import Sets, Sizes, training_images, training_seed


def run_detector(
    run: Run,
    sets: Sets,
    sizes: Sizes,
    config: DetectionConfig,
    seed: int,
    *,
    device: str,
    detections_parquet: str | Path,
    weights: str | Path,
    curve_csv: str | Path,
) -> None:
    """Train a detector on the images of a run and write what it finds on the test set, its weights and its loss.

    The table's columns: image (index in the test set), x, y, width, height (px), score, class_id.
    """
    images = training_images(run, sets, sizes, seed)
    test = read_set(sets.test)
    class_ids = sorted({int(c) for path in asdict(sets).values() for item in read_set(path) for c in item.classes})
    losses: list[tuple[int, float]] = []

    def progress(step: int, steps: int, loss: float) -> None:
        losses.append((step, loss))
        if step % 20 == 0 or step == steps:
            print(f"detector: step {step} of {steps}, loss {loss:.3f}", flush=True)

    detector = train_detector(
        images,
        class_ids,
        config,
        training_steps(sizes.images, config),
        training_seed(run, seed),
        device=torch_device(device),
        progress=progress,
    )
    found = detector.detect([item.rgb for item in test])
    write_table(detections_parquet, detections_table(found))
    write_table(curve_csv, pd.DataFrame(losses, columns=["step", "loss"]))
    detector.save(weights)

"""Splats from fewer views."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.splat import SplatConfig
from splatscope.files import write_table
from splatscope.splats.stage import train_splat


def fewer_views(table: pd.DataFrame, percent: int) -> pd.DataFrame:
    """A pose table in which `percent` of the valid rows stay valid, spread evenly."""
    valid = np.flatnonzero(table["valid"].to_numpy(bool))
    count = max(1, round(len(valid) * percent / 100)) if len(valid) else 0
    kept = valid[np.linspace(0, len(valid) - 1, count).round().astype(int)]
    return table.assign(valid=np.isin(np.arange(len(table)), kept))


def train_on_fewer_views(
    percent: int,
    frame_shards: Sequence[Path],
    pose_tables: Sequence[Path],
    camera_files: Sequence[Path],
    valid_masks: Sequence[Path],
    points_ply: Path,
    config: SplatConfig,
    seed: int,
    *,
    model_path: Path,
    summary_path: Path,
    device: str = "cpu",
    threads: int | None = None,
) -> None:
    """Train a splat as the stage splat does, from `percent` of each recording's frames with a pose.

    The point cloud and the poses are those of all frames. Raises InputError as train_splat does.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tables = [folder / f"{number}_{path.name}" for number, path in enumerate(pose_tables)]
        for path, thinned in zip(pose_tables, tables):
            write_table(thinned, fewer_views(pd.read_parquet(path), percent))
        train_splat(
            frame_shards,
            tables,
            camera_files,
            valid_masks,
            points_ply,
            config,
            seed,
            model_path=model_path,
            curve_path=folder / "curve.csv",
            summary_path=summary_path,
            heldout_path=folder / "heldout.png",
            turntable_path=folder / "turntable.mp4",
            device=device,
            threads=threads,
        )

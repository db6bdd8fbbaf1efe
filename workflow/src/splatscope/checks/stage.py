"""Checking a dataset: measure, judge, draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.checks import class_floors, depth, duplicates, visibility
from splatscope.checks.contact_sheet import draw_offenders
from splatscope.checks.declared import real_files
from splatscope.checks.measures import Measures
from splatscope.checks.measuring import kept_annotations, measure_shard
from splatscope.checks.outcome import Outcome
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.checks import CheckLimits
from splatscope.errors import InputError
from splatscope.files import write_bytes, write_json, write_table
from splatscope.images import encode_jpeg
from splatscope.processes import map_in_order

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CheckOutputs:
    """Files that the stage writes."""

    results: Path  # .json: each check with its limit, worst value, number of offenders, the first ones, passed
    picture: Path  # .jpg: a contact sheet of offenders
    frames: Path  # .parquet: a row for each frame


def check_dataset(
    shards: Sequence[str | Path],
    class_table: Mapping[str, int],
    limits: CheckLimits,
    annotate: AnnotateConfig,
    out: CheckOutputs,
    *,
    dataset: str,
    processes: int = 1,
) -> dict:
    """Check the dataset that `annotate` makes of these shards and write what was found; returns the results.

    A check that does not pass raises nothing: see `requirement`. `class_table` holds ids by name. Frames are held
    one at a time in each process; of each, 768 bytes are kept where near-duplicates are looked for, and 5 KB where
    there are real frames to compare with. Equal input gives equal bytes for any number of processes.

    Raises InputError for unreadable shards and real frames, frames without label maps, and no frame at all.
    """
    work = partial(measure_shard, class_table=class_table, limits=limits, annotate=annotate)
    parts = []
    for part in map_in_order(work, sorted(map(Path, shards)), processes):
        parts.append(part)
        print(f"check {dataset}: {sum(len(one.names) for one in parts)} frames so far", flush=True)
    if not any(part.names for part in parts):
        raise InputError(
            next(iter(shards), out.results),
            found=f"no frame in {len(shards)} shards that is kept",
            expected="one or more",
            remedy="set annotate.keep_empty_frames: true, or look at what render made",
        )
    measures = Measures.joined(parts)
    real = {}
    if limits.min_difference is not None:
        measures.earlier, measures.difference = duplicates.nearest_earlier(measures.thumbnails)
    if limits.real_frames is not None:
        from splatscope.checks import privacy  # brings PyTorch, which takes seconds

        measures.real_files = real_files(limits.real_frames)
        measures.nearest_real, measures.real_distance, real = privacy.nearest_real(
            measures.features, measures.real_files
        )
    outcomes = _judge(measures, limits)
    results = {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset,
        "frames": len(measures.names),
        "instances": len(measures.instance),
        "checks": [outcome.to_dict() for outcome in outcomes],
        "passed": all(outcome.passed for outcome in outcomes),
        "real_frames": real,
        "settings": limits.model_dump(mode="json"),
    }
    write_table(out.frames, _frame_table(measures))
    annotations_of = partial(kept_annotations, class_table=class_table, annotate=annotate, file=out.picture)
    picture = draw_offenders(dataset, outcomes, measures, annotations_of, limits.depth_slack_mm)
    write_bytes(out.picture, encode_jpeg(picture))
    write_json(out.results, results)
    return results


def _judge(measures: Measures, limits: CheckLimits) -> list[Outcome]:
    """The outcome of every check that is on."""
    switches = [
        (visibility, limits.min_visibility is not None),
        (class_floors, bool(limits.class_floors)),
        (depth, limits.max_depth_disagreement is not None),
        (duplicates, limits.min_difference is not None),
    ]
    if limits.real_frames is not None:
        from splatscope.checks import privacy

        switches.append((privacy, True))
    return [one.check(measures, limits) for one, on in switches if on]


def _frame_table(measures: Measures) -> pd.DataFrame:
    """A row for each frame: frame; least visibility, greatest depth_disagreement of its instances (NaN: none);
    earlier_frame and difference; real_frame and real_distance. What was not looked at has no column."""
    columns = {"frame": measures.names}
    of_instances = pd.DataFrame({"frame": measures.frame, "v": measures.visibility, "d": measures.disagreement})
    grouped = of_instances.groupby("frame")
    columns["visibility"] = grouped["v"].min().reindex(range(len(measures.names))).to_numpy()
    columns["depth_disagreement"] = grouped["d"].max().reindex(range(len(measures.names))).to_numpy()
    if len(measures.earlier):
        columns["earlier_frame"] = [measures.names[index] if index >= 0 else None for index in measures.earlier]
        columns["difference"] = np.round(measures.difference, 4)
    if measures.real_files:
        columns["real_frame"] = [measures.real_files[index].name for index in measures.nearest_real]
        columns["real_distance"] = np.round(measures.real_distance, 4)
    return pd.DataFrame(columns)

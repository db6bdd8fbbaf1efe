"""How much of labels and realism restyled frames keep: one row of figures for each variant of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.restyle_proof import ProofConfig
from splatscope.evaluate.similarity import load_lpips
from splatscope.files import read_json, write_json, write_text
from splatscope.images import to_float
from splatscope.restyle.consistency import consistency_figures
from splatscope.restyle.labelled_images import LabelledImage, group_of_class, labelled_frame
from splatscope.restyle.segmenter import Segmenter, class_ious, count_pixels, load_segmenter, mean_iou
from splatscope.restyle.style_distance import StyleSet, load_style_set
from splatscope.shards import Frame, manifest_path, read_shard

NEEDED_MAPS = ("class_map", "flow_forward")
DIVERSITY_PAIRS = 100


def evaluate_restyling(
    raw_shards: Sequence[str | Path],
    restyled_shards: Mapping[str, Sequence[str | Path]],
    score_tables: Mapping[str, Sequence[str | Path]],
    class_table: dict[str, int],
    config: ProofConfig,
    *,
    segmenter_file: str | Path,
    lpips_weights: str | Path | None,
    seed: int,
    device: str,
    summary_json: str | Path,
    table_csv: str | Path,
) -> dict:
    """Measure every variant's shards against the unstyled ones they come from, and write figures and table.

    Of each variant: mIoU of a segmenter that learnt from unstyled frames of other shards, warp error, distance to the
    style set, dropped frames. The unstyled frames, those that were restyled and no others, are the row "raw". Raises
    InputError for a style set or weights that cannot be used.
    """
    segmenter = load_segmenter(segmenter_file, device)
    style = load_style_set(config, device)
    lpips = load_lpips(lpips_weights or None)
    group_of = group_of_class(class_table)
    keys = {
        Path(shard).stem: pd.read_parquet(table)["key"].tolist()
        for shard, table in zip(restyled_shards["default"], score_tables["default"])
    }
    clips = {
        Path(shard).stem: {frame.key: frame for frame in read_shard(shard, maps=NEEDED_MAPS, keys=set(keys[Path(shard).stem]))}
        for shard in raw_shards
    }
    raw = [frame for clip in clips.values() for frame in clip.values()]
    rows = {"raw": _labels_kept(segmenter, (labelled_frame(frame, group_of) for frame in raw))}
    rows["raw"] |= style.distance([frame.rgb for frame in raw], seed) | {"frames": len(raw), "dropped": 0}
    ...

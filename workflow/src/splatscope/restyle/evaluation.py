"""How much of labels and realism restyled frames keep: a row of figures for the unstyled frames and each variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.restyle_proof import ProofConfig
from splatscope.devices import torch_device
from splatscope.evaluate.similarity import Lpips, load_lpips
from splatscope.files import write_json, write_text
from splatscope.images import to_float
from splatscope.restyle.consistency import consistency_figures
from splatscope.restyle.labelled_images import GROUP_NAMES, group_of_class, labelled_frame
from splatscope.restyle.pictures import COLUMNS
from splatscope.restyle.segmenter import Segmenter, class_ious, count_pixels, load_segmenter, mean_iou
from splatscope.restyle.style_distance import StyleSet, diversity, load_style_set
from splatscope.restyle.style_features import within_view
from splatscope.shards import Frame, read_shard

Clip = dict[str, Frame]  # frames of one shard by key
LABEL_MAPS = ("class_map", "flow_forward")


def evaluate_restyling(
    raw_shards: Sequence[str | Path],
    restyled_shards: Mapping[str, Sequence[str | Path]],
    score_tables: Sequence[str | Path],
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
    """Measure the restyled shards of each variant against the unstyled ones that they come from.

    `raw_shards` are those that no segmenter learnt from; `restyled_shards` holds for each variant the shards made of
    them; `score_tables` are the fidelity tables of the whole restyled dataset, for its counts. The unstyled frames that
    were restyled are the row "raw". Writes figures (JSON) and the rows (CSV), and returns the figures. Raises
    InputError for a style set or weights that cannot be used.
    """
    where = torch_device(device)
    judge = _Judge(
        load_segmenter(segmenter_file, where),
        group_of_class(class_table),
        load_style_set(config, where),
        load_lpips(lpips_weights),
        seed,
    )
    restyled = {name: [_read(path, ()) for path in paths] for name, paths in restyled_shards.items()}
    shot = [set().union(*(clips[i] for clips in restyled.values())) for i in range(len(raw_shards))]
    raw = [_read(path, LABEL_MAPS, keys) for path, keys in zip(raw_shards, shot)]
    rows = [judge.row("raw", raw, raw)] + [judge.row(name, raw, clips) for name, clips in restyled.items()]
    for row in rows:
        row["miou_ratio"] = row["miou"] / rows[0]["miou"]
    scores = pd.concat([pd.read_parquet(path) for path in score_tables])
    dropped = int((scores["outcome"] == "dropped").sum())
    about = next(
        (frame.meta["restyle"] for clips in restyled.values() for clip in clips for frame in clip.values()), {}
    )
    figures = {
        "model": about.get("model"),
        "licence": about.get("licence"),
        "frames": len(scores) - dropped,
        "dropped": dropped,
        "classes": GROUP_NAMES,
        "segmenter": f"{judge.segmenter.architecture}, from {judge.segmenter.start}",
        "style_set": _describe(judge.style.style.provenance),
        "strip_columns": COLUMNS,
        **judge.names,
        "rows": rows,
    }
    write_json(summary_json, figures)
    write_text(table_csv, pd.json_normalize(rows).to_csv(index=False))
    return figures


class _Judge:
    """What all variants are measured with."""

    def __init__(self, segmenter: Segmenter, group_of: np.ndarray, style: StyleSet, lpips: Lpips | None, seed: int):
        self.segmenter, self._group_of, self.style, self._lpips, self._seed = segmenter, group_of, style, lpips, seed
        self.names: dict[str, str] = {}

    def row(self, variant: str, raw: list[Clip], restyled: list[Clip]) -> dict:
        """Figures of one variant; `raw` clips hold every frame of the restyled ones, and those dropped."""
        pairs = [(unstyled[key], clip[key].rgb) for unstyled, clip in zip(raw, restyled) for key in sorted(clip)]
        counts = count_pixels(self.segmenter, (self._labelled(frame, image) for frame, image in pairs))
        shown = [within_view(frame, image) for frame, image in pairs]
        distance = self.style.distance(shown, self._seed)
        total = sum(map(len, raw))
        self.names = {name: value for name, value in distance.items() if name.endswith(("_name", "_remark"))}
        spread = distance["feature_diversity"]
        self.names["diversity_name"] = f"cosine distance ({self.style.network.name})"
        if self._lpips:
            order = np.random.default_rng([self._seed, 712]).permutation(len(pairs))
            spread = diversity([to_float(pairs[i][1]) for i in order], self._lpips)
            self.names["diversity_name"] = f"LPIPS ({self._lpips.network})"
        return {
            "variant": variant,
            "frames": len(pairs),
            "dropped_fraction": 1 - len(pairs) / total,
            "miou": mean_iou(counts),
            "iou": class_ious(counts),
            **_consistency(raw, restyled),
            **{name: distance[name] for name in ("style_distance", "style_distance_std", "frechet_distance")},
            "diversity": spread,
        }

    def _labelled(self, frame: Frame, image: np.ndarray):
        return labelled_frame(replace(frame, rgb=image), self._group_of)


def _consistency(raw: list[Clip], restyled: list[Clip]) -> dict[str, float | None]:
    """Warp errors over all pairs of neighbours that were both kept, None when there are none."""
    found: list[dict] = []
    weights: list[int] = []
    for unstyled, clip in zip(raw, restyled):
        for run in _runs(sorted(unstyled), clip):
            figures = consistency_figures([unstyled[key] for key in run], [to_float(clip[key].rgb) for key in run])
            found.append(figures)
            weights.append(figures["frame_pairs"])
    names = ("warp_error", "warp_error_lai2018", "warp_error_raw")
    if not found:
        return dict.fromkeys(names)
    return {name: float(np.average([figures[name] for figures in found], weights=weights)) for name in names}


def _runs(keys: list[str], clip: Clip) -> Iterator[list[str]]:
    """Stretches of two or more neighbours among `keys` that the clip has."""
    for kept, run in groupby(keys, key=clip.__contains__):
        stretch = list(run)
        if kept and len(stretch) > 1:
            yield stretch


def _read(path: str | Path, maps: Sequence[str], keys: set[str] | None = None) -> Clip:
    return {frame.key: frame for frame in read_shard(path, maps=maps, keys=keys)}


def _describe(provenance: dict) -> str:
    """What a style set is, in a few words."""
    what = provenance.get("origin") or provenance.get("folder") or "frames of unknown origin"
    return f"{what}, {len(provenance.get('files', ()))} frames"

"""Looking at every frame once, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from splatscope.annotate.records import Annotation, image_name, read_annotations
from splatscope.checks import depth, duplicates
from splatscope.checks.measures import Measures
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.checks import CheckLimits
from splatscope.shards import Frame, read_shard

MAPS = ("class_map", "instance_map", "amodal_bits", "depth_mm")


def kept_annotations(
    frame: Frame, class_table: Mapping[str, int], annotate: AnnotateConfig, file: Path
) -> list[Annotation]:
    """The instances of a frame of `file` that stand in the dataset."""
    class_names = {identifier: name for name, identifier in class_table.items()}
    return read_annotations(frame, class_names, annotate, Counter(), str(file))


def measure_shard(
    shard: Path, class_table: Mapping[str, int], limits: CheckLimits, annotate: AnnotateConfig
) -> Measures:
    """What the checks need to know of a shard's frames and of the instances that stand in the dataset.

    `class_table` holds ids by name. Raises InputError for an unreadable shard and frames without label maps.
    """
    network = None
    if limits.real_frames is not None:
        from splatscope.checks import privacy  # brings PyTorch, which takes seconds

        network = privacy.EfficientNetLite0()
    names, places, classes, thumbnails, features, instances = [], [], [], [], [], []
    for frame in read_shard(shard, maps=MAPS):
        annotations = kept_annotations(frame, class_table, annotate, shard)
        if not annotations and not annotate.keep_empty_frames:
            continue
        contradicted = [float("nan")] * len(annotations)
        if limits.max_depth_disagreement is not None:
            contradicted = depth.measure(frame, annotations, limits.depth_slack_mm)
        instances += [(len(names), a.instance, a.visibility, wrong) for a, wrong in zip(annotations, contradicted)]
        pixels = np.bincount(frame.class_map.reshape(-1), minlength=256)
        classes.append([pixels[class_table[name]] >= annotate.min_area_px for name in limits.class_floors])
        if limits.min_difference is not None:
            thumbnails.append(duplicates.measure(frame.rgb))
        if network is not None:
            features.append(privacy.measure(frame, network))
        names.append(image_name(shard, frame.key))
        places.append((shard, frame.key))
    columns = np.array(instances, np.float64).reshape(-1, 4).T
    return Measures(
        names,
        places,
        np.array(classes, bool).reshape(len(names), len(limits.class_floors)),
        np.array(thumbnails, np.int8).reshape(len(names), duplicates.SIZE if limits.min_difference is not None else 0),
        np.array(features, np.float32).reshape(len(names), network.dimensions if network is not None else 0),
        *columns[:2].astype(np.int64),
        *columns[2:],
    )

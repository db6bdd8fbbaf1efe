"""How near made frames come to real ones that they must not repeat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from splatscope.checks.measures import Measures
from splatscope.checks.nearest import nearest
from splatscope.checks.outcome import Offender, Outcome, judge
from splatscope.config.checks import CheckLimits
from splatscope.restyle.style_features import EfficientNetLite0, measure_style, within_view
from splatscope.shards import Frame

MEASURE = f"cosine distance of features ({EfficientNetLite0.name}) to the nearest real frame"


def measure(frame: Frame, network: EfficientNetLite0) -> np.ndarray:
    """float32 [D]: the frame's feature."""
    return network([within_view(frame)])[0]


def nearest_real(features: np.ndarray, files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, dict]:
    """Of each frame (features [N, D]) the index of its nearest real one and the cosine distance, 0 to 2; and what the
    real frames are: files with SHA-256. Raises InputError for an unreadable one."""
    real = measure_style(files, EfficientNetLite0())
    index, squared = nearest(_unit(features), _unit(real.features))
    return index, squared / 2, real.provenance["files"]


def check(measures: Measures, limits: CheckLimits) -> Outcome:
    """Frames that come too close to a real one."""

    def describe(frame: int) -> Offender:
        value = round(float(measures.real_distance[frame]), 4)
        twin = measures.real_files[measures.nearest_real[frame]]
        text = f"{value:.4f} from the real frame {twin.name}"
        return Offender(measures.names[frame], value, text, twin=str(twin), twin_is_real=True)

    return judge(
        "min_real_distance", MEASURE, limits.min_real_distance, measures.real_distance, describe, at_least=True
    )


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

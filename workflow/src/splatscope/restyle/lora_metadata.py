"""What of a LoRA file's metadata reaches peft: how strong it is. Ranks and layers follow from the weights themselves,
so that no metadata can name a regular expression to be matched, a class to be made or a size to be allocated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from splatscope.errors import InputError

LARGEST_ALPHA = 1e6
_LAYER = re.compile(r"\^?\w+(\.\w+)*")


def peft_settings(
    path: Path, metadata: Any, prefix: str, weights: Mapping[str, torch.Tensor]
) -> dict[str, object] | None:
    """Arguments of peft's LoraConfig for one part, by `prefix.name` as diffusers wants them.

    `weights` are the part's own, as peft names them. None when the metadata say nothing about it.
    Raises InputError for scales that are none.
    """
    if not isinstance(metadata, dict) or metadata.get(f"{prefix}.lora_alpha") is None:
        return None
    ranks = {key.partition(".lora_A.")[0]: len(value) for key, value in weights.items() if ".lora_A." in key}
    pattern = metadata.get(f"{prefix}.alpha_pattern") or {}
    if not isinstance(pattern, dict) or not all(_LAYER.fullmatch(layer) for layer in pattern):
        raise _refused(path, f"{prefix}.alpha_pattern", pattern, "scales by name of a layer")
    for layer, alpha in {"lora_alpha": metadata[f"{prefix}.lora_alpha"], **pattern}.items():
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) <= LARGEST_ALPHA:
            raise _refused(path, f"{prefix}, {layer}", alpha, f"a scale of at most {LARGEST_ALPHA:g}")
    settings = {
        "r": max(ranks.values()),
        "rank_pattern": {f"^{layer}": rank for layer, rank in ranks.items()},
        "target_modules": sorted(ranks),
        "lora_alpha": metadata[f"{prefix}.lora_alpha"],
        "alpha_pattern": pattern,
        "use_rslora": metadata.get(f"{prefix}.use_rslora") is True,
    }
    return {f"{prefix}.{name}": value for name, value in settings.items()}


def _refused(path: Path, where: str, found: Any, expected: str) -> InputError:
    return InputError(
        path, f"metadata, {where}", found=repr(found), expected=expected, remedy="download or train the LoRA again"
    )

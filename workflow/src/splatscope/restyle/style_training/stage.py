"""The job train_style: from a base model and a folder of real frames to a LoRA."""

from __future__ import annotations

from pathlib import Path

import torch

from splatscope.config.style_training import StyleTrainingConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import load_base_model
from splatscope.restyle.style_training.lora import train_lora
from splatscope.restyle.style_training.optimizers import arithmetic


def train_style(
    model: str | Path,
    config: StyleTrainingConfig,
    seed: int,
    out: str | Path,
    *,
    device: str = "auto",
    allow_pickles: bool = False,
) -> Path:
    """Train the LoRA of the frames that `config` names.

    Args:
        model, allow_pickles: base model, as base_model.load_base_model takes it.
        config: settings; `frames` must name a folder.
        seed: of all that is random.
        out: folder that gets what lora.train_lora writes.
        device: "cpu", "cuda", or "auto": CUDA where there is one.

    Returns the path of the LoRA. Raises InputError as these two functions do, when no folder is named, and when CUDA is
    asked for and there is none.
    """
    if not config.frames:
        raise InputError(
            "style_training.frames",
            found="nothing",
            expected="a folder of real frames",
            remedy="set the key to a folder of about 100 frames of the look that you want",
        )
    place = _place(device)
    # frozen weights may lie in half precision; what is trained never does
    base = load_base_model(model, device=place, dtype=arithmetic(config.precision, place), allow_pickles=allow_pickles)
    print(f"training a LoRA of {base.name} (licence: {base.licence}) on {place.type}", flush=True)
    return train_lora(base, config.frames, config, out, seed=seed, log=lambda line: print(line, flush=True))


def _place(device: str) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device", found="cuda, but PyTorch finds none", expected="a CUDA device", remedy="set device to auto or cpu"
        )
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")

"""Where networks run."""

from __future__ import annotations

import torch

from splatscope.errors import InputError


def torch_device(setting: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" stands for. Raises InputError for CUDA that PyTorch does not find."""
    found = torch.cuda.is_available()
    if setting == "cuda" and not found:
        raise InputError(
            "device",
            found="cuda, but PyTorch finds no CUDA device",
            expected="a CUDA device and a PyTorch built for it",
            remedy="set device to auto or cpu, or mend the installation",
        )
    return torch.device("cuda" if found and setting != "cpu" else "cpu")

"""Where splats are trained and drawn: the setting `device`, and whether CUDA can be had."""

from __future__ import annotations

import warnings
from functools import lru_cache

import torch

from splatscope.errors import InputError


def choose_device(setting: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" stands for; "auto" is CUDA where it can be had.

    Raises InputError when CUDA is asked for and cannot be had.
    """
    if setting == "cpu":
        return torch.device("cpu")
    reason = cuda_missing()
    if reason is None:
        return torch.device("cuda")
    if setting == "cuda":
        raise InputError(
            "device",
            found=f"cuda, but {reason}",
            expected="a CUDA device, a PyTorch built for it, and gsplat with its kernels",
            remedy="set device to auto or cpu, or mend the installation",
        )
    if torch.cuda.is_available():
        warnings.warn(f"there is a CUDA device, but {reason}: using the CPU", stacklevel=2)
    return torch.device("cpu")


@lru_cache(maxsize=1)
def cuda_missing() -> str | None:
    """What keeps gsplat from drawing on CUDA; None where nothing does.

    The first call on a machine may compile gsplat's kernels, which takes some minutes.
    """
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    try:
        from gsplat.cuda import _backend
    except Exception as error:  # it compiles here, which fails in many ways
        return f"gsplat does not load ({type(error).__name__}: {error})"
    return None if _backend._C is not None else "gsplat has no kernels and finds no CUDA toolkit to compile them with"

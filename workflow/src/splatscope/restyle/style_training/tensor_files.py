"""Safetensors files of equal bytes for equal content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from splatscope.errors import InputError
from splatscope.files import write_bytes


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors by name and text metadata, atomically."""
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, dict(metadata))
    write_bytes(path, _with_sorted_metadata(content))


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors by name, on the CPU, and metadata. Raises InputError when the file cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, OSError) as error:
        raise InputError(
            path,
            found=f"a file that cannot be read ({error})",
            expected="tensors in safetensors format",
            remedy="delete it and run the same command again",
        ) from error


def read_tensor(path: str | Path, name: str) -> torch.Tensor:
    """One tensor of a file that is known to hold it."""
    with safe_open(path, "pt") as file:
        return file.get_tensor(name)


def _with_sorted_metadata(content: bytes) -> bytes:
    """safetensors writes metadata in an order that changes from run to run; this puts it in that of its keys."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns its data to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + length :]

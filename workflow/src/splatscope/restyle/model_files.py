"""Finding a model's files and loading its parts by diffusers' and transformers' own classes, safely."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from splatscope.documents import parse_yaml
from splatscope.errors import InputError

PICKLES = (".bin", ".ckpt", ".pt", ".pth")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = [  # what a pipeline or a ControlNet needs, without the single-file checkpoints beside them
    *("model_index.json", "config.json", "README.md", "LICENSE*", "*/*.json", "*/*.txt"),
    *("diffusion_pytorch_model*.safetensors", "*/diffusion_pytorch_model*.safetensors"),
    "text_encoder*/model*.safetensors",
]


def model_folder(source: str | Path, what: str) -> Path:
    """The local folder of `source`, a folder or a hub id, which is downloaded unless it is in the hub's cache.

    Raises InputError for anything else, and when the hub cannot be reached or does not have it.
    """
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        raise InputError(
            source,
            found="one file",
            expected=f"{what} as a folder in diffusers' layout",
            remedy=f"StableDiffusionPipeline.from_single_file({str(source)!r}).save_pretrained(FOLDER), in Python, "
            "with diffusers",
        )
    if path.exists() or not _HUB_ID.fullmatch(str(source)):
        raise InputError(source, found="no such folder", expected=what, remedy="correct the path")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(str(source), allow_patterns=_HUB_FILES, ignore_patterns=["*non_ema*"]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(
            source,
            found=f"neither a local folder nor to be had from the hub ({first_line(error)})",
            expected=what,
            remedy=f"where there is a network: huggingface-cli download {source} --local-dir FOLDER; then name that "
            "folder instead",
        ) from error


def model_licence(folder: Path) -> str:
    """The licence that the front matter of the folder's model card states, else "unknown (see ...)"."""
    card = folder / "README.md"
    if not card.is_file():
        return f"unknown ({folder.name} has no model card: see where it was published)"
    matter = re.match(r"---[ \t]*\n(.*?)\n---", card.read_text(errors="replace"), re.DOTALL)
    try:
        fields = parse_yaml(matter.group(1).encode(), card) if matter else None
    except InputError:
        fields = None
    if not isinstance(fields, dict) or not fields.get("license"):
        return f"unknown (see {folder.name}/README.md)"
    name = fields.get("license_name") if fields["license"] == "other" else None
    return str(name or fields["license"])


def load_part(kind: type, folder: Path, dtype: torch.dtype, *, allow_pickles: bool) -> Any:
    """The model in `folder` as the class `kind`, in evaluation mode, on the CPU.

    Raises InputError when the folder, its configuration or its weights are absent, broken, incomplete, of other shapes
    than the configuration says, not finite, or pickles that are not allowed.
    """
    weights, variant = _weight_files(folder, allow_pickles)
    safe = weights[0].suffix == ".safetensors"
    for path in weights if safe else ():
        _check_safetensors(path)
    keyword = "torch_dtype" if kind.__module__.startswith("diffusers.") else "dtype"
    try:
        model, report = kind.from_pretrained(
            str(folder),
            **{keyword: dtype},
            variant=variant,
            use_safetensors=safe,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise _broken(folder, kind, first_line(error)) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise _broken(folder, kind, f"no weights for {_some(missing)}")
    bad = [name for name, value in model.named_parameters() if not torch.isfinite(value).all()]
    if bad:
        raise _broken(folder, kind, f"values that are not finite in {_some(bad)}")
    return model.eval().requires_grad_(False)


def _weight_files(folder: Path, allow_pickles: bool) -> tuple[list[Path], str | None]:
    """Weight files of a part, and the variant (file name infix) they are of."""
    if not folder.is_dir():
        raise InputError(
            folder,
            found="no such folder",
            expected="a part of a model in diffusers' layout",
            remedy="download the whole model, or correct the path",
        )
    safe = sorted(folder.glob("*.safetensors"))
    if safe:
        plain = [path for path in safe if ".fp16" not in path.name and ".non_ema" not in path.name]
        return (plain, None) if plain else (safe, "fp16")
    pickles = sorted(path for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles and allow_pickles:
        return pickles, None
    names = ", ".join(path.name for path in pickles)
    raise InputError(
        folder,
        found=f"only {names}, which are pickles: loading one may run any program" if pickles else "no weights",
        expected="weights as .safetensors",
        remedy="download the .safetensors of this model, or, if you trust the files, set restyle.allow_pickles, or "
        "convert them once: DiffusionPipeline.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW), "
        "in Python, with diffusers"
        if pickles
        else "download the model again, with its weights",
    )


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, framework="pt") as content:
            content.keys()
    except (SafetensorError, OSError) as error:
        raise InputError(
            path,
            found=f"broken: {first_line(error)}",
            expected="a complete .safetensors file",
            remedy="download the file again and compare its size with the published one",
        ) from error


def _broken(folder: Path, kind: type, found: str) -> InputError:
    return InputError(
        folder,
        found=found,
        expected=f"the configuration and weights of one {kind.__name__}",
        remedy="download this folder again; do not mix files of different models",
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def first_line(error: BaseException) -> str:
    """What a library said, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

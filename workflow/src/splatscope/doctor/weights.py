"""Weights of networks that nothing here may download."""

from __future__ import annotations

from pathlib import Path

from splatscope.config.model import Config
from splatscope.doctor.check import Check, State


def check_weights(config: Config, folder: Path, repository: Path) -> list[Check]:
    """The restyling model that the configuration names, and the backbone of LPIPS.

    A path counts from `folder`, where the workflow runs, else among what ships in `repository`.
    """
    return [
        _restyling(config.restyle.model, folder, repository),
        _lpips(config.evaluate.lpips_backbone_weights, folder),
    ]


def _restyling(model: str, folder: Path, repository: Path) -> Check:
    shipped = not (folder / model).exists()
    place = repository / model if shipped else folder / model
    if not place.is_dir():
        found = f"{model}, no folder here: taken for a hub id, which must be in the hub's cache"
        return Check("restyling_model", State.NOTE, found, "set restyle.model to a folder in diffusers' layout")
    weights = [file for file in place.rglob("*.safetensors") if file.stat().st_size > 0]
    if not (place / "model_index.json").is_file() or not weights:
        found = f"{place}, without {'weights' if (place / 'model_index.json').is_file() else 'model_index.json'}"
        return Check("restyling_model", State.MISSING, found, "copy the whole folder, in diffusers' layout")
    size = sum(file.stat().st_size for file in weights)
    return Check("restyling_model", State.OK, f"{model}{' (ships)' if shipped else ''}, {size / 1e6:.0f} MB of weights")


def _lpips(configured: str | None, folder: Path) -> Check:
    from splatscope.evaluate.similarity import BACKBONES

    remedy = "set evaluate.lpips_backbone_weights to torchvision's AlexNet weights"
    if configured is not None:
        if (folder / configured).is_file():
            return Check("lpips_weights", State.OK, configured)
        return Check(
            "lpips_weights", State.MISSING, f"{configured}, which does not exist", f"correct the path, or {remedy}"
        )
    import torch

    cache = Path(torch.hub.get_dir()) / "checkpoints"
    there = next((cache / one.file_name for one in BACKBONES if (cache / one.file_name).is_file()), None)
    if there:
        return Check("lpips_weights", State.OK, str(there))
    return Check("lpips_weights", State.NOTE, "none: LPIPS is left out of the figures", remedy)

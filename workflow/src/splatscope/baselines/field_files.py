"""Trained radiance fields as files: tensors and what they were made of, in one .safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from splatscope.baselines.scene import Scene
from splatscope.baselines.training import FIELDS, Field, new_field
from splatscope.config.baselines import BaselinesConfig
from splatscope.errors import InputError
from splatscope.files import write_bytes

SCHEMA_VERSION = 1


def write_field(path: str | Path, kind: str, field: Field, config: BaselinesConfig, views: int) -> None:
    """`views`: how many images have an appearance of their own."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "views": views,
        "scene": field.scene.to_dict(),
        "settings": config.model_dump(mode="json"),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in field.state_dict().items()}
    write_bytes(path, save(tensors, {"field": json.dumps(content, sort_keys=True)}))


def read_field(path: str | Path, device: torch.device | str = "cpu") -> Field:
    """A trained field, ready to draw. Raises InputError for anything that `write_field` did not write."""
    try:
        with safe_open(str(path), "pt") as file:
            content = json.loads((file.metadata() or {})["field"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if content["schema_version"] != SCHEMA_VERSION or content["kind"] not in FIELDS:
            raise ValueError(f"schema {content['schema_version']}, kind {content['kind']}")
        config, scene = BaselinesConfig.model_validate(content["settings"]), Scene.from_dict(content["scene"])
        field = new_field(content["kind"], config, scene, content["views"], seed=0)
        field.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="a radiance field that train_baseline wrote",
            remedy="delete the file and run the same command again",
        ) from error
    return field.to(device).eval()

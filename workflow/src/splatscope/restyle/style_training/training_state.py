"""The state of a training, and its checkpoint: safetensors, with what is no tensor as JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch.optim.lr_scheduler import LRScheduler

from splatscope.errors import InputError
from splatscope.files import remove_leftovers
from splatscope.restyle.style_training.tensor_files import read_tensors, write_tensors


@dataclass
class TrainingState:
    """All that changes during training. What is random follows from the seed and the step's number: it is no state."""

    parameters: list[torch.nn.Parameter]
    average: EMAModel | None
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    step: int = 0
    losses: list[float] = field(default_factory=list)  # since the last row of the curve
    curve: list[dict] = field(default_factory=list)

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write a checkpoint; `identity` says by name what it belongs to: base model, frames, settings, seed."""
        optimizer, scaler = self.optimizer.state_dict(), self.scaler.state_dict()
        tensors = {f"parameter.{index}": value for index, value in enumerate(self.parameters)}
        if self.average is not None:
            tensors |= {f"average.{index}": value for index, value in enumerate(self.average.shadow_params)}
        plain: dict[str, dict] = {}
        for index, values in optimizer["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
                else:
                    plain.setdefault(str(index), {})[name] = value
        rest = {
            "identity": identity,
            "step": self.step,
            "losses": self.losses,
            "curve": self.curve,
            "optimizer": {"plain": plain, "groups": optimizer["param_groups"]},
            "schedule": self.schedule.state_dict(),
            "scaler": scaler,
            "averaged_steps": None if self.average is None else self.average.optimization_step,
        }
        state = json.dumps(rest)
        write_tensors(path, tensors, {"state": state, "digest": _digest(tensors, state)})

    def load(self, path: Path, identity: dict[str, Any]) -> str:
        """Take over a checkpoint; a damaged one is renamed. Says what was done.

        Raises InputError when it belongs to another base model, other frames, settings or seed: hours of training are
        not thrown away silently.
        """
        remove_leftovers(path)
        try:
            tensors, metadata = read_tensors(path)
            damaged = metadata.get("digest") != _digest(tensors, metadata.get("state", ""))
        except InputError:
            damaged = True
        if damaged:
            aside = path.with_stem(f"{path.stem}.damaged")
            path.replace(aside)
            return f"{path} is damaged, it is {aside} now: starting anew"
        rest = json.loads(metadata["state"])
        _compare(path, rest.get("identity", {}), json.loads(json.dumps(identity)))
        saved = rest["optimizer"]
        state: dict[int, dict] = {int(index): dict(values) for index, values in saved["plain"].items()}
        for name, value in tensors.items():
            kind, index, *key = name.split(".", 2)
            if kind == "optimizer":
                state.setdefault(int(index), {})[key[0]] = value
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters):
                parameter.copy_(tensors[f"parameter.{index}"])
            if self.average is not None:
                for index, value in enumerate(self.average.shadow_params):
                    value.copy_(tensors[f"average.{index}"])
                self.average.optimization_step = rest["averaged_steps"]
        self.optimizer.load_state_dict({"state": state, "param_groups": saved["groups"]})
        self.schedule.load_state_dict(rest["schedule"])
        self.scaler.load_state_dict(rest["scaler"])
        self.step, self.losses, self.curve = rest["step"], rest["losses"], rest["curve"]
        return f"going on from {path} at step {self.step}"


def _digest(tensors: dict[str, torch.Tensor], state: str) -> str:
    """SHA-256 over what a checkpoint holds: the file format does not look whether its numbers are those written."""
    digest = hashlib.sha256(state.encode())
    for name, value in sorted(tensors.items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _compare(path: Path, saved: dict, wanted: dict) -> None:
    for name in sorted({*saved, *wanted}):
        if saved.get(name) != wanted.get(name):
            raise InputError(
                path,
                name,
                found=f"a checkpoint of a training with {name} {_short(saved.get(name))}",
                expected=_short(wanted.get(name)),
                remedy="delete the checkpoint to start anew, or go back to what it was made with",
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Optimizer, learning-rate schedule, arithmetic on the device."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch.optim.lr_scheduler import LRScheduler
from transformers.optimization import Adafactor

from splatscope.config.style_training import TrainingConfig


def make_optimizer(groups: list[dict[str, Any]], config: TrainingConfig) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """The optimizer of `groups` (parameters, and their own "lr" where they have one) and its schedule."""
    rates = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "adafactor":
        # given a rate, it must not be scaled by the parameters' size: a LoRA's second matrix starts at 0
        fixed = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        optimizer: torch.optim.Optimizer = Adafactor(groups, **rates, **fixed)
    else:
        optimizer = torch.optim.AdamW(groups, **rates)
    schedule = get_scheduler(
        config.schedule, optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=config.steps
    )
    return optimizer, schedule


def arithmetic(precision: str, device: torch.device) -> torch.dtype:
    """The type that the setting `precision` stands for on a device."""
    if device.type != "cuda":
        return torch.float32
    if precision == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]

"""Adam on CUDA, by PyTorch's fused kernels."""

from __future__ import annotations

import torch
from torch.optim.adamw import adamw

from splatscope.splats.optimizer import BETAS, EPSILON, Adam


class FusedAdam(Adam):
    """As Adam, in one kernel for each tensor of values.

    Such a kernel knows one rate, so the bands above 0 of "sh" are values of their own here: "sh_rest". They are with
    "sh" again in `whole`, and in `state`, which is the same for both optimisers.
    """

    def __init__(self, values: dict[str, torch.Tensor], device: torch.device | str = "cuda"):
        self.device = torch.device(device)
        super().__init__(self._split(values))

    @torch.no_grad()
    def step(self, rates, tail_rate=0.0, active_coefficients=1, threads=1, tail_decay=0.0, seen=None) -> None:
        # bands that are not active need no care: their gradients and moments are 0, and so are they
        for name, value in self.values.items():
            gradient, value.grad = value.grad, None
            if not value.numel():
                continue
            rate, decay = (tail_rate, tail_decay) if name == "sh_rest" else (rates[name], 0.0)
            tensors = [value, gradient, self.first[name], self.second[name]]
            stepped = tensors if seen is None else [tensor[seen] for tensor in tensors]
            adamw(
                *([tensor] for tensor in stepped),
                [],
                [torch.full((), float(self.steps), device=self.device)],
                fused=True,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=rate,
                weight_decay=decay / rate if decay else 0.0,  # it shrinks values by this times the rate
                eps=EPSILON,
                maximize=False,
            )
            if seen is not None:
                for tensor, new in zip(tensors, stepped):
                    tensor[seen] = new
        self.steps += 1

    def whole(self) -> dict[str, torch.Tensor]:
        return _joined(self.values)

    def state(self) -> dict:
        parts = {"values": self.values, "first": self.first, "second": self.second}
        on_cpu = {
            part: {name: tensor.detach().cpu() for name, tensor in _joined(tensors).items()}
            for part, tensors in parts.items()
        }
        return {**on_cpu, "steps": self.steps}

    def restore(self, state: dict) -> None:
        learned = {name: value.requires_grad for name, value in self.values.items()}
        values = self._split(state["values"])
        self.values = {name: value.requires_grad_(learned[name]) for name, value in values.items()}
        self.first, self.second = self._split(state["first"]), self._split(state["second"])
        self.steps = state["steps"]

    def _split(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        parts = dict(tensors)
        if "sh" in parts:
            parts["sh"], parts["sh_rest"] = tensors["sh"][:, :1], tensors["sh"][:, 1:]
        return {
            name: part.detach()
            .to(self.device, copy=True, memory_format=torch.contiguous_format)
            .requires_grad_(part.requires_grad)
            for name, part in parts.items()
        }


def adam_on(device: torch.device, values: dict[str, torch.Tensor]) -> Adam:
    """The optimiser for a device, with the values there."""
    return Adam(values) if device.type == "cpu" else FusedAdam(values, device)


def _joined(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    whole = dict(tensors)
    if "sh_rest" in whole:
        whole["sh"] = torch.cat([tensors["sh"], whole.pop("sh_rest")], 1)
    return whole

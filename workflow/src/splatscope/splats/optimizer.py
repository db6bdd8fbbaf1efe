"""Adam on a growing set of Gaussians."""

from __future__ import annotations

import torch

from splatscope.splats import native

BETAS, EPSILON = (0.9, 0.999), 1e-15


class Adam:
    """Adam (Kingma & Ba 2015) with its moments as plain tensors, so that Gaussians can be replaced and added.

    Args:
        values: parameters by name, each [N, ...] float32; stepped in place.
    """

    def __init__(self, values: dict[str, torch.Tensor]):
        self.values = values
        self.first = {name: torch.zeros_like(value) for name, value in values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in values.items()}
        self.steps = 0

    @torch.no_grad()
    def step(
        self,
        rates: dict[str, float],
        tail_rate: float = 0.0,
        active_coefficients: int = 1,
        threads: int = 1,
        tail_decay: float = 0.0,
        seen: torch.Tensor | None = None,
    ) -> None:
        """One step by the gradients in `.grad`, which are then cleared.

        Args:
            rates: learning rate by name; that of "sh" is for band 0.
            tail_rate: learning rate of the higher bands of "sh".
            tail_decay: share by which the higher bands shrink.
            active_coefficients: coefficients of "sh" per colour that are trained so far.
            seen: bool [N]; where False, the values and their moments stay as they are. None: all are stepped.
        """
        self.steps += 1
        for name, value in self.values.items():
            rows = [tensor.view(len(value), -1) for tensor in (value, value.grad, self.first[name], self.second[name])]
            columns = rows[0].shape[1]
            head, active = (3, 3 * active_coefficients) if name == "sh" else (columns, columns)
            if native.available():
                native.adam(
                    *rows,
                    head=head,
                    active=active,
                    rate=rates[name],
                    tail_rate=tail_rate,
                    tail_decay=tail_decay,
                    betas=BETAS,
                    epsilon=EPSILON,
                    step=self.steps,
                    threads=threads,
                    seen=seen,
                )
            else:
                rate = torch.full((columns,), tail_rate)
                rate[:head] = rates[name]
                decay = torch.full((columns,), tail_decay)
                decay[:head] = 0
                if seen is None:
                    _step(*rows, rate, decay, active, self.steps)
                else:
                    stepped = [tensor[seen] for tensor in rows]
                    _step(*stepped, rate, decay, active, self.steps)
                    for tensor, new in zip(rows, stepped):
                        tensor[seen] = new
            value.grad = None

    def whole(self) -> dict[str, torch.Tensor]:
        """The values, each name whole; differentiable."""
        return self.values

    def state(self) -> dict:
        """All of it on the CPU, for a checkpoint."""
        values = {name: value.detach() for name, value in self.values.items()}
        return {"values": values, "first": self.first, "second": self.second, "steps": self.steps}

    def restore(self, state: dict) -> None:
        """Take over what `state` gave."""
        learned = {name: value.requires_grad for name, value in self.values.items()}
        self.values = {name: value.requires_grad_(learned[name]) for name, value in state["values"].items()}
        self.first, self.second, self.steps = state["first"], state["second"], state["steps"]

    def replace_rows(self, rows: torch.Tensor) -> None:
        """Forget the moments of these Gaussians, whose values were replaced."""
        for moments in (self.first, self.second):
            for tensor in moments.values():
                tensor[rows] = 0

    def keep_rows(self, kept: torch.Tensor) -> None:
        """Take away all Gaussians but those of a bool mask [N]."""
        for name, value in self.values.items():
            self.values[name] = value.detach()[kept].requires_grad_(value.requires_grad)
            for moments in (self.first, self.second):
                moments[name] = moments[name][kept]

    def append_rows(self, values: dict[str, torch.Tensor]) -> None:
        """Add Gaussians, without moments."""
        for name, added in values.items():
            grown = torch.cat([self.values[name].detach(), added]).contiguous()
            self.values[name] = grown.requires_grad_(self.values[name].requires_grad)
            for moments in (self.first, self.second):
                moments[name] = torch.cat([moments[name], torch.zeros_like(added)])


def _step(value, gradient, first, second, rate, decay, active, step) -> None:
    value, gradient, first, second = (tensor[:, :active] for tensor in (value, gradient, first, second))
    rate, decay = rate[:active], decay[:active]
    first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    root = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
    value.mul_(1 - decay).sub_(rate / (1 - BETAS[0] ** step) * first / root)

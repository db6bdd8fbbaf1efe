"""Reference-only control: self-attention that also looks at a reference image, noised to the same level.

As published with ControlNet's web extension (its "reference_only", balanced): the U-Net runs once on the reference and
its self-attentions keep what they were shown; on the image itself they attend to that too. The weight chooses how
many of them do: they are ordered by channels, widest first, and take part while their share lies below the weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_BALANCE = 0.5  # of the pass without a prompt: half attends to the reference, or guidance would undo it or overdo it


class ReferenceAttention:
    """Reference-only control of a U-Net. While entered, its self-attentions are ours; afterwards its own again."""

    def __init__(self, unet: torch.nn.Module, weight: float):
        self._unet = unet
        self._own = unet.attn_processors
        names = [name for name in self._own if name.endswith("attn1.processor")]
        widths = {name: unet.get_submodule(name.removesuffix(".processor")).query_dim for name in names}
        names.sort(key=lambda name: -widths[name])
        chosen = [name for index, name in enumerate(names) if index / len(names) < weight]
        self._attentions = {name: _SharedAttention(self._own[name]) for name in chosen}

    def __enter__(self) -> ReferenceAttention:
        self._unet.set_attn_processor({**self._own, **self._attentions})
        return self

    def __exit__(self, *exception) -> None:
        self._unet.set_attn_processor(self._own)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within it the U-Net's input is the reference."""
        yield from self._mode("record", 0)

    @contextmanager
    def attending(self, unprompted: int) -> Iterator[None]:
        """Within it the U-Net's input attends to the reference; its first `unprompted` images have no prompt."""
        yield from self._mode("attend", unprompted)

    def _mode(self, mode: str, unprompted: int) -> Iterator[None]:
        for attention in self._attentions.values():
            attention.mode, attention.unprompted = mode, unprompted
        try:
            yield
        finally:
            for attention in self._attentions.values():
                attention.mode = "own"


class _SharedAttention:
    """An attention processor of diffusers, round the layer's own one."""

    def __init__(self, own):
        self._own = own
        self.mode = "own"
        self.unprompted = 0
        self._reference: torch.Tensor | None = None

    def __call__(self, attention, hidden_states: torch.Tensor, encoder_hidden_states=None, *args, **kwargs):
        if self.mode != "attend":
            if self.mode == "record":
                self._reference = hidden_states
            return self._own(attention, hidden_states, encoder_hidden_states, *args, **kwargs)
        both = torch.cat([hidden_states, self._reference], dim=1)  # [N, 2 * tokens, channels]
        attended = self._own(attention, hidden_states, both, *args, **kwargs)
        if self.unprompted:
            alone = self._own(attention, hidden_states[: self.unprompted], None, *args, **kwargs)
            attended[: self.unprompted].lerp_(alone, 1 - _BALANCE)
        return attended

"""What the small model's pictures are called: the words that its tokenizer and text encoder know."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

DOMAINS = ("real laparoscopy", "simulated laparoscopy", "phantom")
REAL, SIMULATED, PHANTOM = DOMAINS
_LEAST_SHARE = 0.01  # of the picture that a class must cover to be named


def caption(domain: str, class_map: np.ndarray, class_names: dict[int, str]) -> str:
    """ "real laparoscopy, liver, fat": the domain, then the classes seen in `class_map` [H, W], largest first."""
    ids, counts = np.unique(class_map, return_counts=True)
    largest_first = sorted(zip(-counts, ids, strict=True))
    named = [class_names[i] for n, i in largest_first if i not in (0, 255) and -n >= _LEAST_SHARE * class_map.size]
    return ", ".join([domain, *named])


def vocabulary(class_names: Iterable[str]) -> list[str]:
    """Every word of every caption, sorted."""
    return sorted({word for text in (*DOMAINS, *class_names) for word in text.replace("-", " - ").split()} | {","})

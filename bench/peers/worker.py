"""Work in a process of its own: a line of JSON asks, a line of JSON answers. Runs in the peers' environment too."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np

_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the libraries print is not an answer


def serve(about: dict, work: Callable[[dict], tuple[Callable, Callable]]) -> None:
    """Say what this is; then for every request `work` gives what is to be timed and what makes an answer of its result.

    The answer gets wall_s and processor_s (all threads) of what was timed.
    """
    _say(about)
    for line in sys.stdin:
        timed, describe = work(json.loads(line))
        wall, processor = time.perf_counter(), time.process_time()
        result = timed()
        seconds = {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}
        _say(describe(result) | seconds)


def hanging(frames: list[np.ndarray], body: dict) -> dict:
    """How a body hung: its mean sag after every frame (positions [V, 3] in m), and how it was at the end."""
    down = body["gravity"] / np.linalg.norm(body["gravity"])
    corners = frames[-1][body["tets"]]
    return {
        "finite": bool(np.isfinite(frames[-1]).all()),
        "inverted": float((np.linalg.det(corners[:, 1:] - corners[:, :1]) <= 0).mean()),
        "sags_mm": [float(((positions - body["vertices"]) @ down).mean() * 1e3) for positions in frames],
    }


def _say(answer: dict) -> None:
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()

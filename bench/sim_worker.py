"""An operation in a process of its own: sim_worker.py INDEX '{"width": 640, ...}'; a request asks for frames, or for as
many as there is time for (seconds)."""

from __future__ import annotations

import itertools
import json
import sys
import time

from peers.worker import serve
from sim_frames import start_episode


def main() -> None:
    episode = start_episode(int(sys.argv[1]), **json.loads(sys.argv[2]))
    frames = episode.frames()
    tets = len(episode.tissue.tets)

    def make(asked: dict) -> int:
        end = time.perf_counter() + asked.get("seconds", float("inf"))
        for made in itertools.count():
            if made == asked.get("frames") or time.perf_counter() >= end:
                return made
            next(frames)

    def work(asked: dict):
        return lambda: make(asked), lambda made: {"frames": made}

    serve({"tets": tets}, work)


if __name__ == "__main__":
    main()

"""An operation in a process of its own: sim_worker.py INDEX '{"width": 640, ...}'; a request asks for frames."""

from __future__ import annotations

import json
import sys

from peers.worker import serve
from sim_frames import start_episode


def main() -> None:
    episode = start_episode(int(sys.argv[1]), **json.loads(sys.argv[2]))
    frames = episode.frames()
    tets = len(episode.tissue.tets)

    def work(asked: dict):
        return lambda: sum(1 for _ in zip(range(asked["frames"]), frames)), lambda made: {"frames": made}

    serve({"tets": tets}, work)


if __name__ == "__main__":
    main()

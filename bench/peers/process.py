"""A worker (see worker.py) seen from the bench."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


class PeerMissing(Exception):
    """The peer is not installed or does not run here."""


class PeerProcess:
    """Starts a script that serves requests; `about` is what it says of itself."""

    def __init__(self, python: Path | str, script: Path, *arguments: Path | str, log: Path):
        if not Path(python).exists():
            raise PeerMissing(f"{python} is not there: run `make bench-sim`, which installs it")
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w") as errors:
            self._process = subprocess.Popen(
                [str(Path(python).absolute()), str(script), *map(str, arguments)],
                cwd=log.parent,  # some leave logs where they run
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.about = self.answer()

    def send(self, **request) -> None:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise PeerMissing(f"it ended with status {self._process.wait()}, see {self._log}")
        return json.loads(line)

    def ask(self, **request) -> dict:
        self.send(**request)
        return self.answer()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

"""Fuzzes one parser, guided by the coverage of our modules: `python worker.py PARSER EXECUTIONS FOLDER [SEED]`.

Writes FOLDER/PARSER.json (executions, seconds, crashes, peak memory), and inputs that ended in anything but a result or
an InputError, one for each kind and place of error, to FOLDER/PARSER/. A death of the process or a hang in native
code is left for run.py to see.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["splatscope", "plyfile"], enable_loader_override=False):
    from parsers import PARSERS

    from splatscope.errors import InputError

    NAME, EXECUTIONS, FOLDER = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    PARSER = PARSERS[NAME]()
SEED = sys.argv[4] if len(sys.argv) > 4 else "1"
HANG_S = 5  # of processor time
NATIVE_HANG_S = 30  # the same where Python's code has no turn to say so: the process dies
MEMORY = 2**30  # bytes above what the process has when it begins
LONGEST = 6000  # bytes of an input


class Hang(BaseException):
    """Raised in the parser's code; not an Exception, so that none of its handlers takes it for a broken file."""


class Run:
    """The executions so far, and what went wrong in them."""

    def __init__(self):
        self.place = Path(tempfile.mkdtemp(prefix=f"fuzz_{NAME}_", dir="/dev/shm"))
        self.count, self.accepted, self.kinds = 0, 0, {}
        self.began = time.monotonic()

    def execute(self, content: bytes) -> None:
        if self.count >= EXECUTIONS:
            self.end()
        self.count += 1
        path = self.place / PARSER.file
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        signal.setitimer(signal.ITIMER_VIRTUAL, NATIVE_HANG_S)
        try:
            PARSER.read(path)
            self.accepted += 1
        except InputError as error:
            try:
                str(error).encode()
                if len(str(error)) > 500_000:
                    raise ValueError("a message too long to read")
            except ValueError as problem:
                self.keep(content, problem)
        except (Exception, Hang, SystemExit) as error:
            self.keep(content, error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def keep(self, content: bytes, error: BaseException) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "splatscope" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        kind = f"{type(error).__name__} at {where}"
        if kind not in self.kinds:
            self.kinds[kind] = 0
            folder = FOLDER / NAME
            folder.mkdir(parents=True, exist_ok=True)
            stem = hashlib.sha256(content).hexdigest()[:12]
            (folder / stem).write_bytes(content)
            lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-6)
            (folder / f"{stem}.txt").write_text("".join(lines)[-4000:].encode("utf-8", "replace").decode())
        self.kinds[kind] += 1

    def end(self) -> None:
        result = {
            "executions": self.count,
            "accepted": self.accepted,
            "seconds": time.monotonic() - self.began,
            "cpu_seconds": time.process_time(),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "crashes": self.kinds,
        }
        (FOLDER / f"{NAME}.json").write_text(json.dumps(result, indent=1))
        shutil.rmtree(self.place)
        os._exit(0)


def on_alarm(number, frame) -> None:
    raise Hang(f"more than {HANG_S} s")


def mutate(content: bytes, largest: int, seed: int) -> bytes:
    random = Random(seed)
    if random.random() < 0.25:
        return atheris.Mutate(content, largest)
    if random.random() < 0.4:  # what the corpus grows to is mostly broken at its first line
        content = random.choice(PARSER.seeds)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        content = PARSER.mutate(content, random)
    return content[:largest]


def main() -> None:
    run = Run()
    corpus = run.place / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(PARSER.seeds):
        (corpus / str(index)).write_bytes(seed)
    signal.signal(signal.SIGPROF, on_alarm)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    options = ["-timeout=3600", "-rss_limit_mb=0", f"-seed={SEED}", f"-max_len={LONGEST}", "-len_control=0"]
    options += [f"-artifact_prefix={FOLDER}/{NAME}.died.", "-verbosity=0", "-reload=0", str(corpus)]
    atheris.Setup([sys.argv[0], *options], run.execute, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""`make fuzz`: fuzzes every parser, several at a time, and prints what came of it.

python tests/fuzz/run.py [--executions 200000] [--jobs 2] [--folder results/fuzz] [PARSER ...]

Exit status 1 when a parser crashed, hung, took too much memory or did not get all its executions. An input that did it
belongs, once the parser is mended, into tests/fuzz/crashes/PARSER, where the tests read it again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def fuzz(name: str, executions: int, folder: Path, seed: int) -> dict:
    """What the worker of one parser reports; a crash of its own when the process died."""
    shutil.rmtree(folder / name, ignore_errors=True)
    for old in (folder / f"{name}.json", *folder.glob(f"{name}.died.*")):
        old.unlink(missing_ok=True)
    one_thread = {variable: "1" for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with open(folder / f"{name}.log", "w") as log:
        began = time.monotonic()
        command = [sys.executable, str(HERE / "worker.py"), name, str(executions), str(folder), str(seed)]
        status = subprocess.run(command, stdout=log, stderr=log, env=os.environ | one_thread).returncode
    report = folder / f"{name}.json"
    if status or not report.exists():
        found = {f"process ended with status {status}, see {folder / name}.log": 1}
        return {"executions": 0, "accepted": 0, "seconds": time.monotonic() - began, "peak_mb": 0, "crashes": found}
    return json.loads(report.read_text())


def main() -> None:
    from parsers import PARSERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=200_000, help="for each parser")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path("results/fuzz"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help=f"of {', '.join(PARSERS)}; all by default")
    arguments = parser.parse_args()
    unknown = set(arguments.parsers) - set(PARSERS)
    if unknown:
        parser.error(f"no parser {', '.join(sorted(unknown))}; there are {', '.join(PARSERS)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    names = arguments.parsers or list(PARSERS)
    print(f"{'parser':20} {'executions':>10} {'a second':>9} {'accepted':>9} {'peak MB':>8} {'crashes':>8}", flush=True)
    failed = False
    with ThreadPoolExecutor(arguments.jobs) as pool:
        work = lambda name: fuzz(name, arguments.executions, arguments.folder.resolve(), arguments.seed)  # noqa: E731
        for name, result in zip(names, pool.map(work, names)):
            count, crashes = result["executions"], result["crashes"]
            print(
                f"{name:20} {count:10,} {count / result['seconds']:9,.0f} {result['accepted'] / max(count, 1):9.1%} "
                f"{result['peak_mb']:8,} {len(crashes):8}",
                flush=True,
            )
            for kind, times in crashes.items():
                print(f"    {times} x {kind}", flush=True)
            failed |= bool(crashes) or count < arguments.executions
    sys.exit(failed)


if __name__ == "__main__":
    main()

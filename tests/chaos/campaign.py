"""Seeded faults, one after the other, each on a copy of a finished run in which some jobs are to be done again:

    python tests/chaos/campaign.py --faults 100 --seed 1

After a fault the same command runs again until it ends well; then every result must have the bytes of the run that
nothing disturbed. Prints a row for each kind of fault; the exit code is 1 when any byte was wrong, a process outlived
its run, something did not end by running the same command again, or was not said clearly.

Mounts small disks in a mount namespace of its own, which takes root or a kernel that lends it (`unshare`).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faults import KINDS, Scene
from undisturbed import Undisturbed, digests
from working_directory import REPOSITORY, WorkingDirectory

HERE = Path(__file__).parent
NAMESPACE = "SPLATSCOPE_CHAOS_NAMESPACE"
MAX_RERUNS = 5
NOTHING_LEFT = "Nothing to be done"  # as Snakemake says it
PLANS = {
    "full": (HERE / "chaos.yaml", ("all", "simulate")),
    "smoke": (HERE / "smoke.yaml", ("simulate",)),
}


@dataclass
class Outcome:
    """What became of one fault."""

    kind: str
    seed: int
    reruns: int = 0
    wrong: list[str] = field(default_factory=list)  # results that are missing, too many, or of other bytes
    orphans: int = 0
    unfinished: bool = False  # when running the same command again did not help
    complaints: list[str] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        return bool(self.wrong or self.orphans or self.unfinished or self.complaints)


def main() -> int:
    arguments = parse_arguments()
    if NAMESPACE not in os.environ:
        return in_namespace()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    undisturbed = run_undisturbed(arguments)
    started = time.monotonic()
    kinds = list(KINDS)
    plan = [(kinds[number % len(kinds)], arguments.seed * 1_000_000 + number) for number in range(arguments.faults)]
    random.Random(arguments.seed).shuffle(plan)
    outcomes = []
    with ThreadPoolExecutor(arguments.parallel) as pool:
        for outcome in pool.map(lambda one: suffer(*one, undisturbed, arguments), plan):
            outcomes.append(outcome)
            print(
                f"{len(outcomes):4} {outcome.kind:26} seed {outcome.seed}: {'BAD' if outcome.bad else 'right'}, "
                f"{outcome.reruns} reruns",
                flush=True,
            )
            for line in (*outcome.wrong[:5], *outcome.complaints):
                print(f"       {line}", flush=True)
    print(table(outcomes))
    print(f"{len(undisturbed.digests)} results compared after each fault; {time.monotonic() - started:.0f} s")
    return int(any(outcome.bad for outcome in outcomes))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plan", choices=PLANS, default="full", help="which part of the workflow")
    parser.add_argument("--cores", default="2", help="of each run")
    parser.add_argument("--parallel", type=int, default=1, help="faults at the same time")
    parser.add_argument("--seconds", type=float, default=25, help="about how long the work of each run is")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "splatscope_chaos")
    return parser.parse_args()


def in_namespace() -> int:
    """This program again, where what it mounts is seen by nobody else and gone when it ends."""
    lent = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *lent, "--mount", "--propagation", "private", sys.executable, *sys.argv]
    code = subprocess.run(command, env=os.environ | {NAMESPACE: "1"}).returncode
    if code not in (0, 1):
        print("Full and read-only disks cannot be made here: run this as root, or allow user namespaces.")
    return code


def run_undisturbed(arguments: argparse.Namespace) -> Undisturbed:
    """The finished run of this plan."""
    directory = working_directory(arguments, f"undisturbed_{arguments.plan}")
    shutil.rmtree(directory.folder, ignore_errors=True)
    (directory.folder / "config").mkdir(parents=True)
    shutil.copy(REPOSITORY / "config" / "recordings.tsv", directory.folder / "config")
    started = time.monotonic()
    if directory.run() != 0:
        sys.exit(f"{directory.outputs[-1][-4000:]}\nThe undisturbed run failed.")
    finished = time.monotonic()
    if directory.run() != 0 or NOTHING_LEFT not in directory.outputs[-1]:
        sys.exit(f"{directory.outputs[-1][-4000:]}\nThe undisturbed run left something to do.")
    undisturbed = Undisturbed(directory.folder, time.monotonic() - finished)
    print(
        f"undisturbed: {len(undisturbed.jobs)} jobs, {finished - started:.0f} s, then {undisturbed.starting_s:.0f} s "
        "to find nothing to do",
        flush=True,
    )
    return undisturbed


def working_directory(arguments: argparse.Namespace, name: str) -> WorkingDirectory:
    config, targets = PLANS[arguments.plan]
    return WorkingDirectory(
        arguments.folder / name, ("--cores", arguments.cores, "--configfile", str(config), "--", *targets)
    )


def suffer(kind: str, seed: int, undisturbed: Undisturbed, arguments: argparse.Namespace) -> Outcome:
    """One fault, and the same command again until it ends well."""
    rng, outcome = random.Random(seed), Outcome(kind, seed)
    unfinished = undisturbed.choose_unfinished(rng, arguments.seconds)
    directory = working_directory(arguments, f"fault_{seed}")
    scene = Scene(directory, undisturbed, unfinished, rng)
    subprocess.run(["umount", "--quiet", str(directory.folder)], capture_output=True)
    shutil.rmtree(directory.folder, ignore_errors=True)
    undisturbed.copy(directory.folder, unfinished)
    try:
        KINDS[kind](scene)
        while directory.run() != 0 or NOTHING_LEFT not in directory.outputs[-1]:
            outcome.reruns += 1
            if outcome.reruns == MAX_RERUNS:
                outcome.unfinished = True
                break
        found, expected = digests(directory.folder), undisturbed.digests
        outcome.wrong = sorted(
            f"{'missing' if path not in found else 'too many' if path not in expected else 'wrong bytes'}: {path}"
            for path in found.keys() | expected.keys()
            if found.get(path) != expected.get(path)
        )
    except Exception:
        outcome.complaints.append(traceback.format_exc())
    outcome.orphans = directory.orphans
    outcome.complaints += scene.complaints
    if not outcome.bad:
        clear(directory)
    return outcome


def clear(directory: WorkingDirectory) -> None:
    for place in (directory.result("results"), directory.folder):
        subprocess.run(["umount", str(place)], capture_output=True)
    shutil.rmtree(directory.folder)
    for log in directory.folder.parent.glob(f"{directory.folder.name}.*.log"):
        log.unlink()


def table(outcomes: list[Outcome]) -> str:
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    head = f"{'kind':26} faults  reruns  wrong results  orphans  manual steps  unclear"
    lines = [head, "-" * len(head)]
    for name, group in [*((kind, by_kind[kind]) for kind in KINDS if kind in by_kind), ("all", outcomes)]:
        lines.append(
            f"{name:26} {len(group):6}  {sum(one.reruns for one in group):6}  "
            f"{sum(len(one.wrong) for one in group):13}  {sum(one.orphans for one in group):7}  "
            f"{sum(one.unfinished for one in group):12}  {sum(bool(one.complaints) for one in group):7}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

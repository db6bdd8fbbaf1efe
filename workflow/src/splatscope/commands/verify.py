"""Compare all results, byte for byte, with the records that were made when they were written, datasets and shards with
their manifests. Exit code 0: all sound; 1: something is damaged or missing; 2: it could not be looked at."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"), help="the folder (default: results)")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move damaged files to results/damaged; the next snakemake run makes them again",
    )


def run(arguments: argparse.Namespace) -> int:
    from splatscope.errors import InputError
    from splatscope.records import DAMAGED, Records
    from splatscope.run_lock import claim_folder
    from splatscope.verify import describe, find_damage, mend_times, repair

    results = Path(arguments.results)
    if not results.is_dir():
        raise InputError(
            results, found="no such folder", expected="the results of a run", remedy="name the folder of results"
        )
    lock = claim_folder(results.absolute().parent / ".snakemake") if arguments.repair else None
    records = Records(results)
    findings = find_damage(records, every_byte=True)
    for line in describe(findings):
        print(line)
    if arguments.repair:
        mend_times(records, findings)
        repair(records, findings)
        if findings.damaged:
            print(f"Moved to {results / DAMAGED}; run the same snakemake command as before to make them again.")
        lock.release()
    print(
        f"{findings.recorded} recorded results: {len(findings.damaged)} damaged, {len(findings.missing)} missing; "
        f"{len(findings.unrecorded)} other files"
    )
    return int(bool(findings.damaged or findings.missing))

"""Compare all results, byte for byte, with the records that were made when they were written, datasets and shards with
their manifests. Exit code 0: all sound; 1: something is damaged or missing; 2: it could not be looked at."""

from __future__ import annotations

import argparse
from pathlib import Path

from splatscope.terminal import add_json_option, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"), help="the folder (default: results)")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move damaged files to results/damaged; the next snakemake run makes them again",
    )
    add_json_option(parser)


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
    if not arguments.json:
        for line in describe(findings):
            print(line)
    if arguments.repair:
        mend_times(records, findings)
        repair(records, findings)
        if findings.damaged and not arguments.json:
            print(f"Moved to {results / DAMAGED}; run the same snakemake command as before to make them again.")
        lock.release()
    broken = bool(findings.damaged or findings.missing)
    if arguments.json:
        print_json(
            {
                "recorded": findings.recorded,
                "damaged": {str(file): reason for file, reason in findings.damaged.items()},
                "missing": sorted(map(str, findings.missing)),
                "unrecorded": sorted(map(str, findings.unrecorded)),
                "sound": not broken,
            }
        )
        return int(broken)
    print(
        f"{findings.recorded} recorded results: {len(findings.damaged)} damaged, {len(findings.missing)} missing; "
        f"{len(findings.unrecorded)} other files"
    )
    return int(broken)

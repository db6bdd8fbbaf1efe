"""Say what a run would take, without starting it: jobs, processor and GPU hours, disk, and hours on so many nodes.

Jobs are those that `snakemake` with the same targets and settings would run now. Costs are measured: on finished jobs
of the working directory, else on the demo on another machine (resources/costs.json).
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from splatscope.documents import parse_yaml
from splatscope.errors import InputError
from splatscope.project import REPOSITORY, settings_files
from splatscope.terminal import add_json_option, print_json, print_table, size, spent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="*", help="as for snakemake; by default everything")
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        metavar="FILE",
        help="as for snakemake (default: config/config.yaml of the working directory)",
    )
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for snakemake")
    parser.add_argument("--directory", default=".", help="working directory")
    parser.add_argument("--nodes", type=int, default=1, help="how many machines (1)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of each (those of this one)")
    parser.add_argument("--all", action="store_true", help="count finished jobs as though they were still to run")
    parser.add_argument("--snakefile", default=str(REPOSITORY / "Snakefile"), help="the workflow")
    parser.add_argument("--reference", metavar="FILE", help="costs to use instead of resources/costs.json")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from splatscope.plan.costs import load_costs, measure_costs
    from splatscope.plan.estimate import COLUMNS, estimate, rows
    from splatscope.plan.jobs import list_jobs
    from splatscope.plan.work import Work

    reference = load_costs(arguments.reference or Path(arguments.snakefile).parent / "resources" / "costs.json")
    folder = Path(arguments.directory).absolute()
    configfiles = arguments.configfile or settings_files(folder)
    asked = (arguments.snakefile, folder, arguments.targets, configfiles, _settings(arguments.config))
    workflow = list_jobs(*asked, cores=arguments.cores)
    work = Work(workflow, reference.episode_s, folder)
    starts = {rule: cost.start_s for rule, cost in reference.rules.items()}
    measured = measure_costs(workflow, work, folder, starts)
    if arguments.all:
        workflow = list_jobs(*asked, cores=arguments.cores, all_jobs=True)
    plan = estimate(workflow, work, {**reference.rules, **measured}, arguments.nodes, arguments.cores)
    if arguments.json:
        total = {"jobs": plan.jobs, "cpu_s": plan.cpu_s, "size_bytes": plan.size_bytes, "hours": plan.hours}
        print_json({"rules": [asdict(rule) for rule in plan.rules], "measured_here": sorted(measured), **total})
        return 0
    print_table(COLUMNS, rows(plan))
    nodes = f"{arguments.nodes} x {arguments.cores} cores"
    print(
        f"\n{spent(3600 * plan.hours)} on {nodes}, {size(plan.size_bytes)} of disk\n"
        f"basis: {len(measured)} rules measured here, the others on {reference.machine}"
    )
    return 0


def _settings(pairs: list[str]) -> dict:
    """`key=value` as Snakemake takes them."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError("--config", found=pair, expected="KEY=VALUE", remedy="write --config seed=1")
        settings[key] = parse_yaml(value.encode(), "--config", expected="a value", remedy="write --config seed=1")
    return settings

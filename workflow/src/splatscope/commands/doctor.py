"""Say what is installed, what is missing, and what will be slow here.

Times are those of the machine that resources/costs.json names; `splatscope plan` measures this one after a first run.
Exit code 0: a default run will do; 1: something that it needs is missing.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from splatscope.project import REPOSITORY, settings_files
from splatscope.terminal import add_json_option, print_json, print_table, spent

SIGNS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--directory", type=Path, default=Path(), help="working directory (default: this one)")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from splatscope import doctor
    from splatscope.errors import InputError

    folder = arguments.directory
    if not folder.is_dir():
        raise InputError(folder, found="no such folder", expected="a working directory", remedy="correct --directory")
    checks = [doctor.check_python(), *doctor.check_packages(), doctor.check_pins(REPOSITORY / "envs/requirements.txt")]
    missing = {check.name for check in checks if check.state is doctor.State.MISSING}
    slow, basis = [], ""
    if not missing:
        checks += [doctor.check_rasterizer(), doctor.check_colmap(), doctor.check_codecs(), doctor.check_fonts()]
        checks += [*doctor.check_programs(), doctor.check_processor(), doctor.check_gpu()]
        plan, config, basis = _default_run(folder, settings_files(folder))
        checks.append(doctor.check_memory(max(rule.memory_mb for rule in plan.rules)))
        checks.append(doctor.check_disk(folder, plan.size_bytes))
        checks += doctor.check_weights(config, folder, REPOSITORY)
        slow = doctor.slow_rules(plan)
    broken = [check for check in checks if check.state is doctor.State.MISSING]
    if arguments.json:
        print_json(
            {
                "checks": [check.to_dict() for check in checks],
                "slow": [rule.to_dict() for rule in slow],
                "slow_measured_on": basis,
                "sound": not broken,
            }
        )
        return int(bool(broken))
    print_table(["", "state", "found", "to mend"], [[c.name, SIGNS[c.state], c.found, c.remedy] for c in checks])
    if slow:
        print(f"\nWhat takes a default run longer than a minute (measured on {basis}):")
        for rule in slow:
            print(f"  {rule.sentence()}")
        print(f"  {spent(plan.cpu_s)} of processor time together, about {spent(3600 * plan.hours)} on these cores")
    print(
        f"\n{len(broken)} missing: {', '.join(check.name for check in broken)}" if broken else "\nNothing is missing."
    )
    return int(bool(broken))


def _default_run(folder: Path, configfiles: list[Path]):
    """The estimate of a run of everything with this folder's settings, the configuration, and where costs are from."""
    import tempfile

    from splatscope.plan.costs import load_costs
    from splatscope.plan.estimate import estimate
    from splatscope.plan.jobs import list_jobs
    from splatscope.plan.work import Work

    reference = load_costs(REPOSITORY / "resources" / "costs.json")
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as empty:
        # a folder of its own where there is no project: Snakemake leaves its notes where it plans
        place = folder.absolute() if configfiles else Path(empty)
        workflow = list_jobs(
            REPOSITORY / "Snakefile", place, (), configfiles, _phantom(configfiles), cores=cores, all_jobs=True
        )
        plan = estimate(workflow, Work(workflow, reference.episode_s, place), reference.rules, 1, cores)
    return plan, workflow.config, reference.machine


def _phantom(configfiles: list[Path]) -> dict:
    return {} if configfiles else {"recordings": str(REPOSITORY / "config" / "recordings.tsv")}

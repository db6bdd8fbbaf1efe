"""Make the results of the project in this folder: snakemake with this project's settings, on all cores.

Everything that snakemake takes may follow: `splatscope run simulate`, `splatscope run --dry-run`,
`splatscope run --cores 4 --keep-going`. The whole command is printed first. Exit code: snakemake's own.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from splatscope.project import REPOSITORY, settings_files

PASSES_ON = True  # arguments that this command does not know are snakemake's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "splatscope run [TARGET ...] [OPTION OF SNAKEMAKE ...]"


def run(arguments: argparse.Namespace) -> int:
    command = snakemake_command(Path(), arguments.passed_on)
    print(f"+ {shlex.join(command)}", flush=True)
    os.execv(sys.executable, [sys.executable, "-m", *command])


def snakemake_command(folder: Path, passed_on: list[str]) -> list[str]:
    """What runs the workflow in `folder` with the settings that lie there."""
    options = {word.split("=")[0] for word in passed_on if word.startswith("--")}
    short = [word for word in passed_on if word.startswith(("-c", "-j"))]
    command = ["snakemake", *passed_on, "--snakefile", str(REPOSITORY / "Snakefile")]  # behind them: lists end here
    if not short and not options & {"--cores", "--jobs"}:
        command += ["--cores", "all"]
    if not options & {"--configfile", "--configfiles"}:
        files = [str(file) for file in settings_files(folder)]
        command += ["--configfile", *files] if files else []
    return command

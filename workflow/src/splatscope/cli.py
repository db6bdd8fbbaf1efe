"""`splatscope COMMAND`: what there is to do beside `snakemake`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from splatscope import __version__
from splatscope.errors import InputError

COMMANDS = {
    "plan": "say what a run would take: jobs, processor and GPU hours, disk",
    "verify": "look for damaged, missing and unrecorded results, reading every byte",
    "view": "look at results in a browser, try poses, set the recipe by what you see",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Bad input is said on standard error, without a traceback."""
    parser = argparse.ArgumentParser("splatscope", description="A dataset factory for surgical computer vision.")
    parser.add_argument("--version", action="version", version=f"splatscope {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {name: importlib.import_module(f"splatscope.commands.{name}") for name in COMMANDS}
    for name, summary in COMMANDS.items():
        modules[name].add_arguments(subparsers.add_parser(name, help=summary, description=modules[name].__doc__))
    arguments = parser.parse_args(argv)
    try:
        return modules[arguments.command].run(arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

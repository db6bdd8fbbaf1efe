"""`splatscope COMMAND`: what there is to do beside `snakemake`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from splatscope import __version__
from splatscope.errors import InputError

COMMANDS = {
    "init": "begin a project: pair videos with tracker logs, write its configuration",
    "run": "make the project's results: snakemake with this project's settings",
    "plan": "say what a run would take: jobs, processor and GPU hours, disk",
    "doctor": "say what is installed, what is missing, and what will be slow here",
    "inspect": "say what is in a file or folder of results, as text and picture",
    "diff": "compare two datasets: counts, distributions, settings, frames",
    "regenerate": "make one frame again and compare its bytes",
    "export": "write a dataset as COCO, YOLO, VOC, BOP, CholecSeg8k, parquet, WebDataset or Croissant",
    "verify": "look for damaged, missing and unrecorded results, reading every byte",
    "view": "look at results in a browser, try poses, set the recipe by what you see",
}
EXIT_CODES = """\
exit codes:
  0  done, and nothing found wrong
  1  done, and something found wrong: a part is missing (doctor), results are damaged (verify),
     bytes differ (regenerate), a job failed (run)
  2  not done: the command line or an input cannot be used; standard error says what, where and how to mend it

Every command but run and view prints JSON for scripts with --json; keys only ever come to it.
"""
SHELLS = ("bash", "zsh", "fish")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Bad input is said on standard error, without a traceback."""
    parser, modules = build_parser()
    arguments, passed_on = parser.parse_known_args(argv)
    module = modules[arguments.command]
    if passed_on and not getattr(module, "PASSES_ON", False):
        parser.error(f"unrecognized arguments: {' '.join(passed_on)}")
    arguments.passed_on = passed_on
    try:
        return module.run(arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else flushing at exit fails once more
        return 0


def build_parser() -> tuple[argparse.ArgumentParser, dict]:
    """The parser of all commands, and their modules by name."""
    parser = argparse.ArgumentParser(
        "splatscope",
        description="A dataset factory for surgical computer vision.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"splatscope {__version__}")
    parser.add_argument("--print-completion", choices=SHELLS, action=_PrintCompletion, help="print what completes this")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {name: importlib.import_module(f"splatscope.commands.{name}") for name in COMMANDS}
    for name, summary in COMMANDS.items():
        description = modules[name].__doc__
        modules[name].add_arguments(
            subparsers.add_parser(name, help=summary, description=description, allow_abbrev=False)
        )
    return parser, modules


class _PrintCompletion(argparse.Action):
    """Prints the completion of a shell and ends."""

    def __call__(self, parser, namespace, values, option_string=None):
        import shtab

        print(shtab.complete(build_parser()[0], values))
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())

"""Look at results in a browser: the splat, the recordings' cameras, the tools, which a gizmo moves while the picture is
rendered anew, and the recipe of `compose`, whose limits are drawn, changed and saved. Ends with Ctrl-C."""

from __future__ import annotations

import argparse
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[4]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"), help="the folder (default: results)")
    parser.add_argument(
        "--recipe",
        type=Path,
        default=Path("recipe.yaml"),
        metavar="FILE",
        help="to save, and to start from (recipe.yaml)",
    )
    parser.add_argument("--configfile", nargs="+", default=[], metavar="FILE", help="settings, as for snakemake")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8080, help="port (8080; 0: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="only say where the page is")


def run(arguments: argparse.Namespace) -> int:
    from splatscope.viewer.serve import serve

    return serve(
        arguments.results,
        arguments.recipe,
        arguments.configfile,
        REPOSITORY / "resources" / "classes.tsv",
        arguments.host,
        arguments.port,
        open_browser=not arguments.no_browser,
    )

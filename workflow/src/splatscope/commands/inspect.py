"""Say what is in a file or folder: its kind, counts, units, ranges and where it comes from; as picture with --picture.

A frame shard, dataset, splat, mesh, video, tracker log, ingested recording, COLMAP model, table, camera, COCO file,
image, mask, configuration, or a whole folder of results. Units stand at the end of names (mm, deg, px, s). Exit code 0:
it could be read; 2: it could not, or has no picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from splatscope.terminal import add_json_option, print_json, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="file or folder")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it into this file (.png or .jpg)")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from splatscope.errors import InputError
    from splatscope.inspection import describe
    from splatscope.inspection.writing import check_picture_path, write_picture

    if arguments.picture:
        check_picture_path(arguments.picture)
    found = describe(arguments.path)
    if arguments.json:
        print_json({"path": str(arguments.path), "kind": found.kind, "facts": found.facts})
    else:
        print(f"{printable(arguments.path)}: {found.kind}")
        for line in lines_of(found.facts):
            print(line)
    if arguments.picture:
        if found.draw is None:
            raise InputError(
                arguments.path,
                found=f"{found.kind}, which has no picture",
                expected="something to see",
                remedy="leave --picture out",
            )
        write_picture(arguments.picture, found.draw())
        if not arguments.json:
            print(f"picture: {arguments.picture}")
    return 0


def lines_of(facts: dict, indent: str = "  ") -> list[str]:
    """Keys and values, a line each, inner ones further in; short groups on one line."""
    lines = []
    width = max((len(printable(key)) for key, value in facts.items() if not _is_long(value)), default=0)
    for key, value in facts.items():
        name = printable(key)
        if _is_long(value):
            lines += [f"{indent}{name}:", *lines_of(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name:{width}}  {_on_a_line(value)}")
    return lines


def _is_long(value: object) -> bool:
    return isinstance(value, dict) and (len(value) > 4 or any(isinstance(item, dict | str) for item in value.values()))


def _on_a_line(value: object) -> str:
    if isinstance(value, dict):
        if {"min", "median", "max"} <= value.keys():
            rest = f", {value['not_finite']} not finite" if value.get("not_finite") else ""
            return f"{printable(value['min'])} .. {printable(value['max'])} (median {printable(value['median'])}{rest})"
        return ", ".join(f"{printable(key)}: {printable(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_on_a_line(item) for item in value) or "none"
    return printable(value)

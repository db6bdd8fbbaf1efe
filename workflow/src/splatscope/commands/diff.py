"""Compare two datasets, or two frame shards: counts by class, distributions, settings, and which images are the same.

The distance between distributions is the two-sample Kolmogorov-Smirnov statistic, from 0 (alike) to 1 (apart). Exit
code 0: compared; 2: one of them cannot be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from splatscope.terminal import add_json_option, print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="folder of a dataset, or a shard (.tar)")
    parser.add_argument("b", type=Path, metavar="B", help="what to compare it with")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw examples: A above, B below (.png or .jpg)")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from splatscope.differences import compare, draw_examples, read_samples
    from splatscope.inspection.writing import check_picture_path, write_picture

    if arguments.picture:
        check_picture_path(arguments.picture)
    a, b = read_samples(arguments.a), read_samples(arguments.b)
    found = compare(a, b)
    if arguments.picture:
        write_picture(arguments.picture, draw_examples(a, b))
    if arguments.json:
        print_json({"a": str(arguments.a), "b": str(arguments.b)} | found.to_dict())
        return 0
    rows = [["images", *found.images], *([label, *counts] for label, counts in found.annotations.items())]
    print_table(["count of", "A", "B"], rows)
    columns = ["distribution", "values of A", "values of B", "median of A", "median of B", "Kolmogorov-Smirnov"]
    print()
    print_table(columns, [list(vars(one).values()) for one in found.distributions])
    if min(a.looked_at, b.looked_at) < min(a.images, b.images):
        print(f"brightness, contrast and depth: of {a.looked_at} and {b.looked_at} images, evenly spread")
    for title, differing in (("settings", found.settings), ("provenance", found.provenance)):
        print()
        if differing:
            print_table([f"{title} that differ", "A", "B"], [[key, *pair] for key, pair in differing.items()])
        else:
            print(f"{title}: no difference")
    print(
        f"\n{found.same_bytes} images of B are byte for byte in A; {found.same_name} names are in both, "
        f"{found.same_name_and_bytes} of them with the same bytes"
    )
    if arguments.picture:
        print(f"picture: {arguments.picture}")
    return 0

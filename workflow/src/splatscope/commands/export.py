"""Write a finished dataset in the formats of the field; docs/exports.md says what each of them keeps.

Every export is a folder of its own with the dataset's card in it. Nothing is there until all of it is: a broken export
is never taken for a whole one. Exit code 0: all written; 2: the input or the place cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

DATASETS = Path("results/dataset")
FORMAT_NAMES = "coco, yolo-detect, yolo-segment, yolo-pose, voc, bop, cholecseg8k, huggingface, webdataset, croissant"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="the folder of a dataset, or its name in results/dataset")
    parser.add_argument("--to", required=True, metavar="FORMAT[,FORMAT]", help=f"any of {FORMAT_NAMES}")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the exports go, a folder each (default: exports/DATASET)"
    )
    parser.add_argument(
        "--shards", type=Path, metavar="DIR", help="bop: where the frame shards lie (default: the results around)"
    )
    parser.add_argument("--without-depth", action="store_true", help="bop: leave depth out, and need no shards")
    parser.add_argument("--json", action="store_true", help="say what was written as JSON")


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from splatscope.exports import Dataset, check_formats, export_dataset

    formats = check_formats([name.strip() for name in arguments.to.split(",")])
    named = not arguments.dataset.exists() and (DATASETS / arguments.dataset).is_dir()
    dataset = Dataset(
        DATASETS / arguments.dataset if named else arguments.dataset,
        arguments.shards,
        with_depth=not arguments.without_depth,
    )
    output = arguments.output or Path("exports") / dataset.name
    exported = []
    console = Console(file=sys.stderr)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in formats:
            task = progress.add_task(name, total=len(dataset.images))
            exported.append(export_dataset(dataset, name, output / name, lambda task=task: progress.advance(task)))
    if arguments.json:
        print(json.dumps({"dataset": dataset.name, "exports": [export.to_dict() for export in exported]}, indent=2))
        return 0
    for export in exported:
        labels = "" if export.annotations is None else f", {export.annotations} of {dataset.annotations} annotations"
        print(f"{export.format}: {export.folder} ({export.images} images{labels}, {export.size_bytes / 1e6:.1f} MB)")
    return 0

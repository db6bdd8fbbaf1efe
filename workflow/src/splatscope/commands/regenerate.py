"""Make one frame of a finished dataset again, and compare its bytes with those in its shard.

FRAME is DATASET/NAME such as sampled/000000_000012, the path of an image of a dataset, or SHARD.tar:KEY. Rendered
frames are made alone. A simulated one needs its operation up to it, a restyled one its whole clip. Exit code 0: the
same bytes; 1: others; 2: it cannot be made.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
from pathlib import Path

from splatscope.terminal import add_json_option, print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("frame", metavar="FRAME", help="sampled/000000_000012, an image, or SHARD.tar:KEY")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the frame's files into this folder")
    parser.add_argument("--directory", type=Path, default=Path(), help="working directory (default: this one)")
    parser.add_argument("--configfile", type=Path, help="settings of the run (default: the project's)")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from splatscope.config.load import load_config
    from splatscope.config.model import Config
    from splatscope.errors import InputError
    from splatscope.files import write_bytes
    from splatscope.project import settings_files
    from splatscope.regeneration import find_frame, regenerate

    name = find_frame(arguments.frame, arguments.directory.absolute())
    project = name.results.absolute().parent
    files = [arguments.configfile] if arguments.configfile else settings_files(project)
    config = load_config(files[0]) if files else Config()
    output = arguments.output and arguments.output.absolute()
    with contextlib.chdir(project):  # paths in the settings count from there
        remade = regenerate(name, config, lambda text: print(text, file=sys.stderr, flush=True))
    if not remade.made:
        raise InputError(
            name.shard,
            f"frame {name.key}",
            found="no such frame any more when it is made again",
            expected="the frame that lies in the shard",
            remedy="; ".join(remade.notes) or "run the workflow: the code has changed",
        )
    rows = []
    for suffix in sorted(remade.stored.keys() | remade.made.keys()):
        digests = [_digest(side.get(suffix)) for side in (remade.stored, remade.made)]
        rows.append([suffix, *digests, digests[0] == digests[1]])
        if output and suffix in remade.made:
            write_bytes(output / f"{name.key}.{suffix}", remade.made[suffix])
    if arguments.json:
        members = {row[0]: {"stored_sha256": row[1], "made_sha256": row[2], "same": row[3]} for row in rows}
        about = {"shard": str(name.shard), "key": name.key, "dataset": name.dataset}
        print_json(about | {"members": members, "same": remade.same, "notes": remade.notes})
        return int(not remade.same)
    print_table(["file", "SHA-256 in the shard", "SHA-256 made now", "same"], rows)
    if arguments.output:
        print(f"written to {arguments.output}")
    print(
        f"\n{name.dataset}, {name.shard.name}, frame {name.key}: {'the same bytes' if remade.same else 'OTHER BYTES'}"
    )
    for note in remade.notes:
        print(f"note: {note}")
    if not remade.same and not remade.notes:
        print("note: seed and settings are the same; the code, or the machine's libraries, are not")
    return int(not remade.same)


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()

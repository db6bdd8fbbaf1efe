"""Begin a project in this folder, from a folder of videos and tracker logs.

Pairs videos with logs, says what each recording is for and why, checks the files as the workflow will, and writes
config/recordings.tsv and config/config.yaml. Nothing is ever overwritten. Exit code 0: written; 2: something is left
to be said, or a file cannot be used; nothing is written then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from splatscope.terminal import add_json_option, print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recordings", type=Path, metavar="FOLDER", help="where the videos and tracker logs lie")
    parser.add_argument("--directory", type=Path, default=Path(), help="folder of the new project (default: this one)")
    parser.add_argument("--yes", action="store_true", help="ask nothing: take what was guessed, refuse what was not")
    parser.add_argument(
        "--role", action="append", default=[], metavar="NAME=ROLE", help="background, tool, scene or test"
    )
    parser.add_argument("--class", action="append", default=[], metavar="NAME=CLASS", dest="classes", help="of a tool")
    parser.add_argument("--camera-sensor", metavar="NAME", help="the sensor on the camera, as the logs name it")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from splatscope.errors import InputError
    from splatscope.project.beginning import plan_project, refuse_existing, write_project
    from splatscope.project.finding import find_recordings
    from splatscope.project.pairing import pair_recordings
    from splatscope.project.roles import guess_roles

    refuse_existing(arguments.directory)
    if not (arguments.yes or arguments.json or sys.stdin.isatty()):
        raise InputError("standard input", found="no terminal", expected="somebody to ask", remedy="say --yes")
    found = find_recordings(arguments.recordings)
    pairs = pair_recordings(found.videos, found.logs)
    used = [pair.log for pair in pairs]
    found.aside |= {log.path: "a tracker log that fits no video" for log in found.logs if log not in used}
    guesses = guess_roles(pairs, arguments.camera_sensor)
    guesses = guesses.with_roles(_roles(_pairs("--role", arguments.role), guesses))
    guesses = guesses.with_classes(_classes(_pairs("--class", arguments.classes), guesses))
    if not arguments.json:
        _show(found, guesses)
    if not (arguments.yes or arguments.json):
        guesses = _ask(guesses)
    project = plan_project(guesses, found.calibrations, arguments.directory)
    files = write_project(project, arguments.directory)
    if arguments.json:
        print_json(
            {
                "recordings": [row.as_plain() for row in project.recordings],
                "why": {g.name: {"pair": g.pair.why, "role": g.why} for g in guesses.recordings},
                "settings": {key: value for key, value, _ in project.settings},
                "warnings": project.warnings,
                "aside": {str(path): why for path, why in found.aside.items()},
                "written": [str(file) for file in files],
            }
        )
        return 0
    for warning in project.warnings:
        print(f"note: {warning}")
    print(f"\nwritten: {', '.join(map(str, files))}: look through them, then")
    where = "" if arguments.directory == Path() else f"cd {arguments.directory} && "
    print(f"  {where}splatscope run --dry-run    # what would be done\n  {where}splatscope run              # do it")
    return 0


def _show(found, guesses) -> None:
    rows = []
    for guess in guesses.recordings:
        log = "-" if guess.log is None else guess.log.path.name
        rows.append([guess.name, guess.role or "?", guess.why, guess.pair.video.path.name, log, guess.pair.why])
    print_table(["recording", "role", "because", "video", "tracker", "pair"], rows)
    print(f"camera's sensor: {guesses.camera_sensor or '?'}")
    for tool, label in guesses.classes.items():
        sensor = next((guess.tool_sensor for guess in guesses.recordings if guess.name == tool), None)
        print(f"tool {tool}: sensor {sensor or '-'}, class {label or '?'}")
    for path, why in found.aside.items():
        print(f"left aside: {path.name}: {why}")


def _ask(guesses):
    """Roles and classes as somebody at the terminal has them."""
    from rich.prompt import Confirm, Prompt

    from splatscope.classes import INSTRUMENTS
    from splatscope.recordings import Role

    unknown = any(guess.role is None for guess in guesses.recordings)
    if unknown or not Confirm.ask("Are these roles right?", default=True):
        roles = {}
        for guess in guesses.recordings:
            answer = Prompt.ask(f"role of {guess.name}", choices=[role.value for role in Role], default=guess.role)
            roles[guess.name] = Role(answer)
        guesses = guesses.with_roles(roles)
    classes = {
        tool: Prompt.ask(f"class of the tool {tool}", choices=list(INSTRUMENTS), default=label or INSTRUMENTS[0])
        for tool, label in guesses.classes.items()
        if label is None
    }
    return guesses.with_classes(classes)


def _pairs(option: str, words: list[str]) -> dict[str, str]:
    from splatscope.errors import InputError

    said = dict(word.partition("=")[::2] for word in words)
    for name, value in said.items():
        if not name or not value:
            raise InputError(option, found=f"{name}={value}", expected="NAME=VALUE", remedy=f"write {option} liver=...")
    return said


def _roles(said: dict[str, str], guesses) -> dict:
    from splatscope.recordings import Role

    _check_names("--role", said, [guess.name for guess in guesses.recordings])
    _check_values("--role", said, [role.value for role in Role])
    return {name: Role(value) for name, value in said.items()}


def _classes(said: dict[str, str], guesses) -> dict:
    from splatscope.classes import read_class_table
    from splatscope.project import REPOSITORY

    _check_names("--class", said, list(guesses.classes))
    _check_values("--class", said, list(read_class_table(REPOSITORY / "resources" / "classes.tsv")))
    return said


def _check_names(option: str, said: dict[str, str], known: list[str]) -> None:
    from splatscope.errors import InputError

    for name in said:
        if name not in known:
            expected = f"one of {', '.join(known) or 'no recording'}"
            raise InputError(option, found=name, expected=expected, remedy="name a recording as listed")


def _check_values(option: str, said: dict[str, str], known: list[str]) -> None:
    from splatscope.errors import InputError

    for value in said.values():
        if value not in known:
            raise InputError(option, found=value, expected=f"one of {', '.join(known)}", remedy="correct the value")

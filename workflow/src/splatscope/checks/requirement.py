"""Refusing a dataset that did not pass its checks."""

from __future__ import annotations

from pathlib import Path

from splatscope.checks.outcome import limit_text
from splatscope.errors import InputError
from splatscope.files import read_json, write_text

NAMED = 5  # offenders that the message of a failed check names


def require_passed(results: str | Path, picture: str | Path, passed: str | Path) -> None:
    """Write the file `passed` when every check in `results` did. Raises InputError, which names check, limit, worst
    value, the first offenders and `picture`, for each that did not."""
    content = read_json(results)
    failed = [check for check in content["checks"] if not check["passed"]]
    if failed:
        raise InputError.of_several([_failure(content["dataset"], check, picture) for check in failed])
    names = ", ".join(check["name"] for check in content["checks"])
    write_text(passed, f"{content['dataset']}: {content['frames']} frames passed {names}\n")


def _failure(dataset: str, check: dict, picture: str | Path) -> InputError:
    named = list(dict.fromkeys(one["frame"] for one in check["shown"]))[:NAMED]
    return InputError(
        picture,
        f"check {check['name']} of the dataset {dataset}",
        found=f"{check['offenders']} of {check['checked']} beyond the limit, worst value {check['worst']:g} "
        f"({check['shown'][0]['text']}); frames {', '.join(named)}",
        expected=f"{check['measure']}: {'at least' if check['at_least'] else 'at most'} {limit_text(check['limit'])}",
        remedy=f"look at the picture; then change how frames are made, or the limit checks.{check['name']}",
    )

"""Loading and checking the configuration, with messages that name file, line and key."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from splatscope.config.model import Config
from splatscope.errors import InputError

REFERENCE = "config/config.schema.json lists every key with its unit and range"


def load_config(path: str | Path) -> Config:
    """Read and check one configuration file. Raises InputError for anything but a valid configuration."""
    return check_config(read_yaml(path), [path])


def read_yaml(path: str | Path) -> dict:
    """A YAML mapping. Raises InputError when the file is missing, no YAML or no mapping."""
    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise InputError(path, found="no such file", expected="a YAML file", remedy="correct the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(path, where, found=problem, expected="YAML", remedy="correct this line") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(
            path, found=type(content).__name__, expected="keys and values", remedy="start from config/config.yaml"
        )
    return content


def check_config(content: dict, files: Sequence[str | Path] = ()) -> Config:
    """The typed configuration of a mapping; `files` (later wins) are where it came from, for the message.

    Raises InputError that lists every wrong key at once.
    """
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        problems = [_describe(problem, files) for problem in error.errors()]
        raise InputError.of_several(problems) from error


def _describe(problem: dict, files: Sequence[str | Path]) -> InputError:
    keys = [str(key) for key in problem["loc"]]
    name = ".".join(keys)
    file, line = _locate(keys, files)
    where = f"line {line}, key {name}" if line else f"key {name}"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"remove it; {REFERENCE}"
        return InputError(
            file, where, found="a key that does not exist", expected=f"one of {', '.join(known)}", remedy=remedy
        )
    remedy = f"correct the value; {REFERENCE}"
    return InputError(file, where, found=repr(problem["input"]), expected=problem["msg"], remedy=remedy)


def _known_keys(path: Sequence[str]) -> list[str]:
    model: Any = Config
    for key in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields):
            return []
        model = model.model_fields[key].annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _locate(keys: Sequence[str], files: Sequence[str | Path]) -> tuple[str, int | None]:
    """The last file that holds the key (or the longest part of its path), and the line."""
    for path in reversed(list(files)):
        node = yaml.compose(Path(path).read_text())
        line = None
        for depth, key in enumerate(keys):
            pairs = getattr(node, "value", None)
            if not isinstance(node, yaml.MappingNode):
                break
            match = next((pair for pair in pairs if pair[0].value == key), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
            if depth == len(keys) - 1:
                return str(path), line
        if line is not None:
            return str(path), line
    return (str(files[-1]) if files else "--config on the command line"), None

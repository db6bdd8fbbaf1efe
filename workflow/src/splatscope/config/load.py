"""Loading and checking the configuration, with messages that name file, line and key."""

from __future__ import annotations

import difflib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from splatscope.config.model import Config
from splatscope.errors import InputError

REFERENCE = "config/config.schema.json lists every key with its unit and range"

Model = TypeVar("Model", bound=BaseModel)


def load_config(path: str | Path) -> Config:
    """Read and check one configuration file. Raises InputError for anything but a valid configuration."""
    return check_config(read_yaml(path), [path])


def read_yaml(path: str | Path, example: str = "config/config.yaml") -> dict:
    """A YAML mapping; `example` is a file to start from, for the message.

    Raises InputError when the file is missing, no YAML or no mapping.
    """
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
        raise InputError(path, found=type(content).__name__, expected="keys and values", remedy=f"start from {example}")
    return content


def check_config(content: dict, files: Sequence[str | Path] = ()) -> Config:
    """The typed configuration of a mapping; `files` (later wins) are where it came from, for the message.

    Raises InputError that lists every wrong key at once.
    """
    return check_model(Config, content, files, REFERENCE)


def check_model(model: type[Model], content: dict, files: Sequence[str | Path], reference: str) -> Model:
    """`content` as `model`; `reference` is the sentence that says where the keys are explained. Raises as above."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_describe(problem, model, files, reference) for problem in error.errors()]
        raise InputError.of_several(problems) from error


def _describe(problem: dict, model: type[BaseModel], files: Sequence[str | Path], reference: str) -> InputError:
    keys, owner = _walk(model, problem["loc"])
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    file, line = _locate(keys, files)
    where = f"line {line}, key {name}" if line else f"key {name}"
    if problem["type"] == "extra_forbidden":
        known = list(owner.model_fields) if owner else []
        remedy = _nearest(str(keys[-1]), known) or f"remove it; {reference}"
        return InputError(
            file, where, found="a key that does not exist", expected=f"one of {', '.join(known)}", remedy=remedy
        )
    if problem["type"] == "union_tag_invalid":
        known = problem["ctx"]["expected_tags"].replace("'", "").split(", ")
        remedy = _nearest(problem["ctx"]["tag"], known) or f"correct the value; {reference}"
        key = problem["ctx"]["discriminator"].strip("'")
        return InputError(
            file, where, found=f"{key}: {problem['ctx']['tag']}", expected=f"one of {', '.join(known)}", remedy=remedy
        )
    if problem["type"] == "union_tag_not_found":
        name = f"{name}.{problem['ctx']['discriminator'].strip(chr(39))}"
        where = f"line {line}, key {name}"
    if problem["type"] in ("missing", "union_tag_not_found"):
        return InputError(file, where, found="no such key", expected="this key", remedy=f"add it; {reference}")
    remedy = f"correct the value; {reference}"
    return InputError(file, where, found=repr(problem["input"]), expected=problem["msg"], remedy=remedy)


def _nearest(key: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]}?" if near else None


def _walk(annotation: Any, location: Sequence[str | int]) -> tuple[list[str | int], type[BaseModel] | None]:
    """The keys of pydantic's `location` without the tags of unions, and the model that the last key belongs to."""
    keys: list[str | int] = []
    owner = None
    for key in location:
        members = _members(annotation)
        tagged = [member for member in members if len(members) > 1 and key in _tags(member)]
        if tagged:
            annotation = tagged[0]
            continue
        keys.append(key)
        annotation = owner = members[0] if len(members) == 1 else None
        if isinstance(owner, type) and issubclass(owner, BaseModel):
            annotation = owner.model_fields[key].annotation if key in owner.model_fields else None
        else:
            annotation, owner = (get_args(owner)[0] if get_origin(owner) is list else None), None
    return keys, owner


def _members(annotation: Any) -> list[Any]:
    """What a union consists of, None aside; anything else is its own only member."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for member in get_args(annotation) if member is not type(None)]
    return [annotation]


def _tags(member: Any) -> set[str]:
    fields = member.model_fields.values() if isinstance(member, type) and issubclass(member, BaseModel) else ()
    return {tag for field in fields if get_origin(field.annotation) is Literal for tag in get_args(field.annotation)}


def _locate(keys: Sequence[str | int], files: Sequence[str | Path]) -> tuple[str, int | None]:
    """The last file that holds the key (or the longest part of its path), and the line."""
    for path in reversed(list(files)):
        node = yaml.compose(Path(path).read_text())
        line = None
        for key in keys:
            if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
                node = node.value[key]
                line = node.start_mark.line + 1
                continue
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            match = next((pair for pair in pairs if pair[0].value == str(key)), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
        if line is not None:
            return str(path), line
    return (str(files[-1]) if files else "--config on the command line"), None

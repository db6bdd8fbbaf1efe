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
from splatscope.documents import parse_yaml, read_file
from splatscope.errors import InputError

REFERENCE = "config/config.schema.json lists every key with its unit and range"

MOST_PROBLEMS = 50  # that one message lists

Model = TypeVar("Model", bound=BaseModel)


def load_config(path: str | Path) -> Config:
    """Read and check one configuration file. Raises InputError for anything but a valid configuration."""
    return check_config(read_yaml(path), [path])


def read_yaml(path: str | Path, example: str = "config/config.yaml") -> dict:
    """A YAML mapping; `example` is a file to start from, for the message.

    Raises InputError when the file is missing, no YAML or no mapping.
    """
    content = parse_yaml(read_file(path, "a YAML file"), path)
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
        texts = _Texts(files)
        problems = [_describe(problem, model, texts, reference) for problem in error.errors()[:MOST_PROBLEMS]]
        raise InputError.of_several(problems) from error


class _Texts:
    """The files that a configuration came from, parsed once, so that the line of a key can be named."""

    def __init__(self, files: Sequence[str | Path]):
        self.files = list(files)
        self._nodes: dict[int, yaml.Node | None] = {}

    def locate(self, keys: Sequence[str | int]) -> tuple[str, int | None]:
        """The last file that holds the key (or the longest part of its path), and the line."""
        for index in reversed(range(len(self.files))):
            line = _line_of(self._node(index), keys)
            if line is not None:
                return str(self.files[index]), line
        return (str(self.files[-1]) if self.files else "--config on the command line"), None

    def _node(self, index: int) -> yaml.Node | None:
        if index not in self._nodes:
            try:
                self._nodes[index] = yaml.compose(Path(self.files[index]).read_text())
            except (OSError, ValueError, RecursionError, yaml.YAMLError):  # it was read by other means: no line then
                self._nodes[index] = None
        return self._nodes[index]


def _line_of(node: yaml.Node | None, keys: Sequence[str | int]) -> int | None:
    line = None
    for key in keys:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        match = next((pair for pair in pairs if pair[0].value == str(key)), None)
        if match is None:
            break
        line, node = match[0].start_mark.line + 1, match[1]
    return line


def _describe(problem: dict, model: type[BaseModel], texts: _Texts, reference: str) -> InputError:
    keys, owner = _walk(model, problem["loc"])
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    file, line = texts.locate(keys)
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
    return InputError(file, where, found=_shown(problem["input"]), expected=problem["msg"], remedy=remedy)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"


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

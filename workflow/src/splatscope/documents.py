"""JSON and YAML that somebody else wrote: parsed, or refused with an InputError, whatever the bytes are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from splatscope.errors import InputError

DEEPEST = 64  # levels of nesting; beyond, Python's own recursion gives out at places that nobody foresees
LARGEST_YAML = 1_000_000  # characters: the parser is slow, and people write less
LARGEST_EXPANSION = 100_000  # nodes of a YAML document once its aliases are written out


def read_file(path: str | Path, expected: str) -> bytes:
    """The content of a file. Raises InputError, which says that `expected` was, when there is none to be read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        found = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", "") or str(error)
        raise InputError(path, found=found, expected=expected, remedy="correct the path") from error


def parse_json(content: bytes | str, file: str | Path, where: str = "", remedy: str = "write the file again") -> Any:
    """The value of a JSON document, at most DEEPEST levels deep. Raises InputError naming the line."""
    try:
        value = json.loads(content)
        if _too_deep(value):
            raise RecursionError(f"more than {DEEPEST} levels of brackets within brackets")
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or a number of thousands of digits
        line = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        place = ", ".join(part for part in (where, line) if part)
        raise InputError(file, place, found=str(error), expected="a JSON document", remedy=remedy) from error
    return value


def parse_yaml(
    content: bytes,
    file: str | Path,
    *,
    loader: type[yaml.SafeLoader] = yaml.SafeLoader,
    expected: str = "YAML",
    remedy: str = "correct this line",
) -> Any:
    """The value of a YAML document. Raises InputError naming the line, and for documents that are large, deep, or grow
    when their aliases are written out."""
    where = ""
    try:
        text = content.decode("utf-8-sig")
        if len(text) > LARGEST_YAML:
            raise ValueError(f"{len(text)} characters, of at most {LARGEST_YAML}")
        node = yaml.compose(text, Loader=loader)
        if node is None:
            return None
        _check_expansion(node)
        return loader("").construct_document(node)
    except Exception as error:  # PyYAML's constructors raise whatever they like: ValueError, KeyError, AttributeError
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        found = getattr(error, "problem", None) or str(error) or type(error).__name__
        raise InputError(file, where, found=found, expected=expected, remedy=remedy) from error


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = [item for item in level if isinstance(item, list | dict) and item]
        if not inner:
            return False
        level = [child for item in inner for child in (item.values() if isinstance(item, dict) else item)]
    return True


def _check_expansion(root: yaml.Node) -> None:
    measured: dict[int, tuple[int, int]] = {}  # nodes and levels below a node, aliases written out

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        if id(node) not in measured:
            if depth > DEEPEST:  # also where an alias stands within what it stands for
                raise ValueError(f"more than {DEEPEST} levels")
            children = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
            below = [measure(part, depth + 1) for part in parts]
            size, levels = 1 + sum(size for size, _ in below), 1 + max((levels for _, levels in below), default=0)
            if size > LARGEST_EXPANSION or levels > DEEPEST:
                raise ValueError(f"more than {LARGEST_EXPANSION} values or {DEEPEST} levels, aliases written out")
            measured[id(node)] = size, levels
        return measured[id(node)]

    measure(root, 0)

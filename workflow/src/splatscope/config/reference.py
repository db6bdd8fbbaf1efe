"""docs/configuration.md: every setting with its default, what it may be, and what it does, from the typed model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from splatscope.config.model import Config
from splatscope.config.section import Section

HEADER = """\
# Every setting

Generated from the typed model (`workflow/src/splatscope/config`) by `make config`; the same settings at their defaults,
as YAML to start from, are in `config/config.yaml`. A file of your own given by `snakemake --configfile my.yaml` needs
only the keys that differ. Unknown keys and values out of range are refused, by file and line, before anything runs.
"""
TABLE = ["| key | default | may be | meaning |", "|---|---|---|---|"]
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}
NAMES = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null", "object": "mapping"}


def configuration_page() -> str:
    """The page as Markdown."""
    return HEADER + "\n".join(_section_lines(Config(), "", Config.model_json_schema())) + "\n"


def one_line_yaml(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.splitlines()[0]  # a second line only ends the document


def _section_lines(section: Section, path: str, schema: dict) -> Iterator[str]:
    """The heading and table of a section, then those of the sections in it; `path` is its name with dots."""
    fields = type(section).model_fields
    described = schema["$defs"][type(section).__name__] if path else schema
    nested = {name: value for name in fields if isinstance(value := getattr(section, name), Section)}
    plain = section.model_dump(mode="json")
    rows = {name: described["properties"][name] for name in fields if name not in nested}
    if path:
        heading = "###" if "." in path else "##"
        yield from ("", f"{heading} {path}", " ".join(described.get("description", "").split()))
    if rows:
        yield from ("", *TABLE)
    for name, entry in rows.items():
        yield _row(name, f"`{one_line_yaml(plain[name])}`", entry)
    for name, entry in rows.items():
        for of in _models(entry):
            yield from ("", f"Each of `{path}.{name}` (`{of}`):", "", *TABLE)
            for key, part in schema["$defs"][of]["properties"].items():
                yield _row(key, f"`{one_line_yaml(part['default'])}`" if "default" in part else "", part)
    for name, value in nested.items():
        yield from _section_lines(value, f"{path}.{name}".lstrip("."), schema)


def _row(name: str, default: str, entry: dict[str, Any]) -> str:
    text = " ".join(entry.get("description", "").split())
    cells = (f"`{name}`", default, _allowed(entry), text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _models(entry: Any) -> list[str]:
    """The models that a value consists of: entries of a list or mapping, by name."""
    if isinstance(entry, list):
        return [name for part in entry for name in _models(part)]
    if not isinstance(entry, dict):
        return []
    own = [entry["$ref"].rpartition("/")[2]] if "$ref" in entry else []
    parts = ("items", "anyOf", "oneOf", "additionalProperties", "prefixItems")
    return own + [name for part in parts for name in _models(entry.get(part))]


def _allowed(entry: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "$ref" in entry:
        return f"`{entry['$ref'].rpartition('/')[2]}`"
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    for choice in ("anyOf", "oneOf"):
        if choice in entry:
            return " or ".join(_allowed(part) for part in entry[choice])
    if "prefixItems" in entry:
        return f"[{', '.join(_allowed(part) for part in entry['prefixItems'])}]"
    if "items" in entry:
        return f"list of {_allowed(entry['items'])}"
    words = [NAMES.get(entry.get("type", ""), entry.get("type", "any value"))]
    if isinstance(entry.get("additionalProperties"), dict) and entry["additionalProperties"]:
        words[0] += f" to {_allowed(entry['additionalProperties'])}"
    return ", ".join(words + [text.format(f"{entry[key]:g}") for key, text in BOUNDS.items() if key in entry])

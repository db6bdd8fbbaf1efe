"""Writes config/config.yaml (commented defaults), config/config.schema.json and docs/configuration.md from the model.

`python -m splatscope.config.generate` does; a test holds files and model together.
"""

from __future__ import annotations

import json
import textwrap

from splatscope.config.model import Config
from splatscope.config.reference import configuration_page, one_line_yaml
from splatscope.config.section import Section
from splatscope.files import write_text

HEADER = """\
# SplatScope's settings, each at its default. Generated from workflow/src/splatscope/config by `make config`:
# change a value here freely; the comments come from the typed model. A file of your own given by
# `snakemake --configfile my.yaml` needs only the keys that differ.
"""


def default_yaml() -> str:
    """The commented default configuration."""
    return HEADER + commented_yaml(Config(), 0)


def commented_yaml(section: Section, depth: int) -> str:
    """The keys of a section with their descriptions, indented for `depth` sections above it."""
    return "\n".join(_lines(section, depth)) + "\n"


def json_schema() -> str:
    """The JSON schema, for editors that complete and check YAML."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


def generated_files() -> dict[str, str]:
    """What is generated: file -> content."""
    return {
        "config/config.yaml": default_yaml(),
        "config/config.schema.json": json_schema(),
        "docs/configuration.md": configuration_page(),
    }


def _lines(section: Section, depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if depth == 0:
            lines.append("")
        description = " ".join((info.description or "").split())
        comment = f"{indent}# "
        lines += textwrap.wrap(description, 118, initial_indent=comment, subsequent_indent=comment)
        if isinstance(value, Section):
            lines.append(f"{indent}{name}:")
            lines += _lines(value, depth + 1)
        else:
            plain = section.model_dump(mode="json")[name]
            lines.append(f"{indent}{name}: {one_line_yaml(plain)}")
    return lines


if __name__ == "__main__":
    for file, content in generated_files().items():
        write_text(file, content)

"""The recipe as a file that `snakemake --configfile` takes."""

from __future__ import annotations

from pathlib import Path

import yaml

from splatscope.config.compose import RecipeConfig
from splatscope.config.generate import commented_yaml
from splatscope.config.load import check_config, read_yaml
from splatscope.config.model import Config
from splatscope.errors import InputError
from splatscope.files import write_text

HEADER = """\
# A recipe of `splatscope view`: snakemake --cores all --configfile {name}
"""


def recipe_text(recipe: RecipeConfig, name: str) -> str:
    """YAML with every key of `compose.recipe`, so that it means the same whatever file it is laid over."""
    return HEADER.format(name=name) + "compose:\n  recipe:\n" + commented_yaml(recipe, depth=2)


def save_recipe(path: str | Path, recipe: RecipeConfig) -> None:
    """Write the recipe, over an older one but over no other file.

    Raises InputError when another file is there, or the place cannot be written.
    """
    path = Path(path)
    if path.exists() and not _is_recipe(path):
        raise InputError(
            path,
            found="a file with other settings",
            expected="a recipe that was saved here before, or no file",
            remedy="save under another name: splatscope view --recipe FILE",
        )
    text = recipe_text(recipe, path.name)
    check_config(yaml.safe_load(text), [path])
    write_text(path, text)


def _is_recipe(path: Path) -> bool:
    """Whether the file holds nothing but `compose.recipe`."""
    content = read_yaml(path)
    return set(content) <= {"compose"} and set(content.get("compose") or {}) <= {"recipe"}


def start_settings(files: list[str], recipe: str | Path) -> Config:
    """The settings to start from: the defaults, `files` laid over them as snakemake does, and the recipe where
    there is one already. Raises InputError for invalid settings."""
    content: dict = {}
    paths = [*files, *([recipe] if Path(recipe).exists() else [])]
    for path in paths:
        content = merged(content, read_yaml(path))
    return check_config(content, paths)


def merged(below: dict, above: dict) -> dict:
    """Settings laid over others, key by key."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result

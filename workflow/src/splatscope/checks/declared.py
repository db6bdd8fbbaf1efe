"""Refusing declarations that cannot hold, before any frame is made."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from splatscope.config.checks import ChecksConfig
from splatscope.errors import InputError
from splatscope.folders import image_files


def refuse_impossible(config: ChecksConfig, class_table: Mapping[str, int]) -> None:
    """Raise InputError for floors of classes that are not in the table (ids by name), and folders without frames."""
    for place, limits in [
        ("checks", config),
        *((f"checks.datasets.{name}", config.of(name)) for name in config.datasets),
    ]:
        for name in limits.class_floors:
            if name not in class_table:
                near = get_close_matches(name, class_table, n=1)
                raise InputError(
                    "the configuration",
                    f"key {place}.class_floors",
                    found=name,
                    expected="a name in the class table",
                    remedy=f"did you mean {near[0]}?" if near else f"choose among {', '.join(class_table)}",
                )
        if limits.real_frames is not None:
            real_files(limits.real_frames)


def real_files(folder: str | Path) -> list[Path]:
    """The real frames that made ones must keep away from. Raises InputError when there are none."""
    files = image_files(folder)
    if not files:
        raise InputError(
            folder,
            found="no PNG or JPEG files" if Path(folder).is_dir() else "no such folder",
            expected="real frames",
            remedy="name the folder that holds them itself in checks.real_frames, or set it to null",
        )
    return files

"""The class table: which number means what in class maps."""

from __future__ import annotations

from pathlib import Path

from splatscope.errors import InputError

BACKGROUND, IGNORE = 0, 255


def read_class_table(path: str | Path) -> dict[int, str]:
    """Class names by id from a tab-separated file with columns id and name, sorted by id.

    Raises InputError for an id that is no integer in 0..255, an id or name given twice, or a line without both.
    """
    table: dict[int, str] = {}
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        cells = line.split("\t")
        if number == 1 or not line.strip() or line.startswith("#"):
            continue
        identifier, name = cells[0].strip(), cells[1].strip() if len(cells) == 2 else ""
        if not identifier.isdecimal() or int(identifier) > IGNORE or not name:
            raise _bad_line(path, number, line, "an id from 0 to 255, a tab, a name")
        if int(identifier) in table or name in table.values():
            raise _bad_line(path, number, line, "each id and each name once")
        table[int(identifier)] = name
    return dict(sorted(table.items()))


def _bad_line(path: str | Path, number: int, line: str, expected: str) -> InputError:
    return InputError(path, f"line {number}", found=repr(line), expected=expected, remedy="correct this line")

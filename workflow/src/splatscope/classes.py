"""The class table: which number in a class map means what."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from splatscope.errors import InputError

BACKGROUND_ID = 0
IGNORE_ID = 255
MAX_INSTANCES = 16  # of an image: bits of the amodal map
INSTRUMENTS = ("grasper", "l-hook electrocautery", "needle driver", "scissors", "clip applier", "clip")
"""Names in the class table of what is made of metal and not of tissue."""


def read_class_table(path: str | Path) -> dict[str, int]:
    """Class ids by name, in the file's order, from a tab-separated table with the header `id<TAB>name`.

    Ids are whole numbers 0..255, each once; 0 is named "background". Raises InputError naming the line otherwise.
    """
    remedy = "write one class a line: a whole number 0..255, a tab, a name; see resources/classes.tsv"
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, found=str(error), expected="a class table (text)", remedy=remedy) from error

    def refuse(number: int, expected: str) -> InputError:
        found = repr(lines[number - 1]) if number <= len(lines) else "the end of the file"
        return InputError(path, f"line {number}", found=found, expected=expected, remedy=remedy)

    if not lines or lines[0].split("\t") != ["id", "name"]:
        raise refuse(1, "the header 'id<TAB>name'")
    table: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 2 or not fields[1].strip():
            raise refuse(number, "two fields, id and name")
        if not re.fullmatch(r"[0-9]{1,3}", fields[0]) or int(fields[0]) > 255:
            raise refuse(number, "an id that is a whole number 0..255")
        class_id, name = int(fields[0]), fields[1].strip()
        if name in table or class_id in table.values():
            raise refuse(number, "an id and a name that no line above has")
        table[name] = class_id
    if table.get("background") != BACKGROUND_ID:
        raise InputError(path, found="no class 'background' with id 0", expected="id 0 for background", remedy=remedy)
    return table


def voc_colours() -> np.ndarray:
    """float32 [256, 3]: the PASCAL VOC colour map, which spreads the bits of a class id over the channels."""
    ids = np.arange(256, dtype=np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            if 3 * bit + channel < 8:
                colours[:, channel] |= ((ids >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.float32) / 255

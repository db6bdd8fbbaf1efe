"""What a .ply file states in its header, checked against its size before any reader believes it."""

from __future__ import annotations

from pathlib import Path

LONGEST_HEADER = 65_536  # bytes
_BYTES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "float", "int32", "uint32", "float32"), 4),
    **dict.fromkeys(("double", "float64"), 8),
}


def ply_header_problem(path: str | Path, *, lists_allowed: bool) -> str:
    """What is wrong with the header, or nothing: readers allocate as much as it states, whatever the file holds.

    Raises no error for a file that cannot be read: the reader says so.
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(LONGEST_HEADER)
            size = handle.seek(0, 2)
    except (OSError, ValueError) as error:
        return str(error)
    lines = [line.split() for line in start.decode("latin-1").splitlines()]
    if ["end_header"] not in lines or lines[0] != ["ply"]:
        return "no PLY header"
    lines = lines[: lines.index(["end_header"])]
    ascii_format = ["format", "ascii", "1.0"] in lines
    stated = 0
    for index, (count, rows) in enumerate(_elements(lines)):
        least = 0
        for row in rows:
            if len(row) == 5 and row[1] == "list" and not lists_allowed:
                return f"{row[4]} is a list property"
            kind = row[2] if len(row) == 5 and row[1] == "list" else row[1] if len(row) == 3 else ""
            if kind not in _BYTES:
                return f"a property {' '.join(row[1:])!r}"
            least += 2 if ascii_format else _BYTES[kind]
        if count is None or (count and not least):
            return f"element number {index + 1} without a count, or without properties"
        stated += count * least
    if stated > size + 1:  # the last line of text may end without a line break
        return f"{size} bytes, where the header states at least {stated} of data"
    return ""


def _elements(lines: list[list[str]]) -> list[tuple[int | None, list[list[str]]]]:
    """Count and properties of each element, None for a count that is none."""
    elements: list[tuple[int | None, list[list[str]]]] = []
    for words in lines:
        if words[:1] == ["element"]:
            sound = len(words) == 3 and words[2].isascii() and words[2].isdigit() and len(words[2]) < 16
            elements.append((int(words[2]) if sound else None, []))
        elif words[:1] == ["property"]:
            if not elements:
                elements.append((None, []))
            elements[-1][1].append(words)
    return elements

"""The one error a user sees when something they brought cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

LONGEST_PART = 2000  # characters of what was found, or expected


class InputError(Exception):
    """Bad input, said so that it can be mended: which file, where in it, what was found and expected, what to do.

    The message has one line per part; job scripts print it without a traceback.
    """

    def __init__(self, file: str | Path, where: str = "", *, found: str, expected: str, remedy: str):
        self.file, self.where = str(file), _on_one_line(where)
        self.found, self.expected, self.remedy = _on_one_line(found), _on_one_line(expected), _on_one_line(remedy)
        place = ", ".join(part for part in (_on_one_line(self.file), self.where) if part)
        super().__init__(f"{place}\n  found:    {self.found}\n  expected: {self.expected}\n  to mend:  {self.remedy}")

    def __reduce__(self):
        """So that it reaches the process that asked for the work."""
        return _restored, (vars(self), self.args)

    @classmethod
    def of_several(cls, errors: Sequence[InputError]) -> InputError:
        """The first error, its message listing all of them."""
        first = errors[0]
        first.args = ("\n".join(str(error) for error in errors),)
        return first


def _on_one_line(text: str) -> str:
    """Text that may come from a hostile file, as a log and a terminal can take it: short, no control characters."""
    if len(text) > LONGEST_PART:
        text = f"{text[:LONGEST_PART]}... ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c == "\n" else repr(c)[1:-1] for c in text)


def _restored(parts: dict, message: tuple[str]) -> InputError:
    error = InputError.__new__(InputError)
    vars(error).update(parts)
    error.args = message
    return error

"""The one error a user sees when something they brought cannot be used."""

from __future__ import annotations

from pathlib import Path


class InputError(Exception):
    """Bad input, said so that it can be mended: which file, where in it, what was found, what was expected, what to do.

    The message has one line per part; job scripts print it without a traceback.
    """

    def __init__(
        self,
        file: str | Path,
        where: str = "",
        *,
        found: str,
        expected: str,
        remedy: str,
    ):
        self.file, self.where = str(file), where
        self.found, self.expected, self.remedy = found, expected, remedy
        place = f"{self.file}, {where}" if where else self.file
        super().__init__(f"{place}\n  found:    {found}\n  expected: {expected}\n  to mend:  {remedy}")

    def __reduce__(self):
        return (_rebuild, (self.file, self.where, self.found, self.expected, self.remedy))


def _rebuild(file, where, found, expected, remedy):
    return InputError(file, where, found=found, expected=expected, remedy=remedy)

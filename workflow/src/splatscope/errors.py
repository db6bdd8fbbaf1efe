"""The one error a user sees when something they brought cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class InputError(Exception):
    """Bad input, said so that it can be mended: which file, where in it, what was found and expected, what to do.

    The message has one line per part; job scripts print it without a traceback.
    """

    def __init__(self, file: str | Path, where: str = "", *, found: str, expected: str, remedy: str):
        self.file, self.where = str(file), where
        self.found, self.expected, self.remedy = found, expected, remedy
        place = f"{self.file}, {where}" if where else self.file
        super().__init__(f"{place}\n  found:    {found}\n  expected: {expected}\n  to mend:  {remedy}")

    def __reduce__(self):
        """So that it reaches the process that asked for the work."""
        return _restored, (vars(self), self.args)

    @classmethod
    def of_several(cls, errors: Sequence[InputError]) -> InputError:
        """The first error, its message listing all of them."""
        first = errors[0]
        first.args = ("\n".join(str(error) for error in errors),)
        return first


def _restored(parts: dict, message: tuple[str]) -> InputError:
    error = InputError.__new__(InputError)
    vars(error).update(parts)
    error.args = message
    return error

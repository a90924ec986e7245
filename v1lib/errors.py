"""The one error that bad input raises, always one sentence that says what to look at."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used.

    Parameters
    ----------
    where : str or Path
        The file, or what stands in a file's place (``"session"``, ``"argument bin_width_s"``).
    variable : str
        The variable inside it that is at fault.
    expected, found : str
        What would have been usable, and what was there.
    """

    def __init__(self, where: str | Path, variable: str, expected: str, found: str):
        self.where, self.variable, self.expected, self.found = str(where), variable, expected, found
        super().__init__(f"{where}: {variable}: expected {expected}, found {found}.")

    def __reduce__(self):  # exceptions cross process borders by their constructor's arguments
        return type(self), (self.where, self.variable, self.expected, self.found)


def check_whole(where: str | Path, variable: str, value: object, least: int) -> None:
    """Refuse what is no whole number of at least `least`; True and False are none."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(where, variable, f"a whole number of at least {least}", repr(value))

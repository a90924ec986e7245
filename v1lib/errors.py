"""The one error that bad input raises, always one sentence that says what to look at."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any


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


def check_flag(where: str | Path, variable: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise InputError(where, variable, "True or False", repr(value))


def check_real(where: str | Path, variable: str, value: Any, low: float, high: float) -> None:
    """Refuse what is no finite real number from `low` to `high`; True and False are none."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not low <= value <= high:
        raise InputError(where, variable, f"a number from {low:g} to {high:g}", f"{value!r:.80}")
    if not isfinite(value):
        raise InputError(where, variable, "a finite number", repr(value))

"""The one error that bad input raises, always one sentence that says what to look at."""

from __future__ import annotations

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

"""Fixtures that more than one room's tests use."""

import pytest

from v1lib.errors import InputError
from v1lib.readers.fetch import fetch


@pytest.fixture(scope="session")
def real_file():
    """A function from a name in the table of real recordings to its path.

    The test is skipped, with the reason printed, where the file is neither here nor to be had. A file that is
    here with wrong bytes fails the test.
    """
    unreachable = []

    def path_of(name):
        if unreachable:
            pytest.skip(unreachable[0])
        try:
            return fetch(name)
        except InputError as error:
            if error.variable != "download":
                raise
            unreachable.append(str(error))
            pytest.skip(str(error))

    return path_of

"""Fixtures that more than one room's tests use."""

import shutil

import pytest
import torch

import v1lib
from v1lib.errors import InputError
from v1lib.readers.fetch import fetch


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A small simulated lab folder, to be read and never changed."""
    path = tmp_path_factory.mktemp("lab") / "mouse"
    v1lib.simulate_recording(path, minutes=0.5, n_units=3, seed=8, frame_shape=(16, 20))
    return path


@pytest.fixture
def folder(pristine, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(pristine, tmp_path / "mouse")


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


@pytest.fixture
def one_thread():
    """Two threads on a busy machine wait for each other longer than these small fits take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

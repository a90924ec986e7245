"""A plugin for nbval: notebooks whose real recordings cannot be had are skipped, and the reason is said.

``pytest -p tests.skip_without_recordings --nbval-lax notebooks/...``
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from book.pages import glued
from v1lib.errors import InputError
from v1lib.readers.fetch import SOURCES, fetch


def recordings_of(path: Path) -> list[str]:
    """Names in the table of real recordings of the files that a stored notebook says it has read."""
    names = {source.sha256: name for name, source in SOURCES.items()}
    checksums = glued(nbformat.read(path, as_version=4), "data_checksums")
    found = checksums.values() if isinstance(checksums, dict) else []
    return [names[digest] for digest in found if digest in names]


def why_not(path: Path) -> str | None:
    """Why a notebook's recordings cannot be had; None if they are here, or if it reads none.

    Raises
    ------
    InputError
        A recording is here and is not what it should be.
    """
    try:
        for name in recordings_of(path):
            fetch(name)
    except InputError as error:
        if error.variable != "download":
            raise
        return str(error)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip every cell of such a notebook."""
    reasons = {path: why_not(path) for path in {item.path for item in items} if path.suffix == ".ipynb"}
    for item in items:
        if reason := reasons.get(item.path):
            item.add_marker(pytest.mark.skip(reason=reason))

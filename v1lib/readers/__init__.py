"""Readers: one small module a format, each ending in a session."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from v1lib.errors import InputError
from v1lib.readers.osf_archive import open_osf_archive
from v1lib.readers.osf_files import holds_osf_archive
from v1lib.readers.two_photon import open_two_photon
from v1lib.session import load_session

#: How a file of each format begins, what the format is, and the function that reads it.
_FORMATS = (
    (b"\x89HDF\r\n\x1a\n", "a session file", load_session),
    (b"MATLAB 5.0 MAT-file", "a two-photon grating recording", open_two_photon),
    (b"PK\x03\x04", "a zip of the paper's archive", open_osf_archive),
)


def open_session(path: str | Path, **choices) -> xr.Dataset:
    """Open a recording in any known format as a session; the format is recognised by content, not by name.

    Parameters
    ----------
    path : str or Path
        A session file of this library, a MATLAB file of two-photon gratings, or the paper's archive, a folder
        or zip.
    **choices
        Handed to the format's reader, such as ``frame_shape`` (see
        :func:`v1lib.readers.two_photon.open_two_photon` and
        :func:`v1lib.readers.osf_archive.open_osf_archive`). A session file takes none.

    Raises
    ------
    InputError
        One sentence, for a file of no known format, a choice that its reader does not have, or a file that
        its reader refuses.
    """
    path = Path(path)
    if path.is_dir() and holds_osf_archive(path):
        return _read(open_osf_archive, path, choices)
    if not path.is_file():
        found = (
            "a folder (v1lib.open_recording opens a lab folder, align makes a session of it)"
            if path.is_dir()
            else "no file"
        )
        raise InputError(path, "file", "a recording, or a folder with files of the paper's archive", found)
    with open(path, "rb") as file:
        start = file.read(32)
    for signature, _, reader in _FORMATS:
        if start.startswith(signature):
            return _read(reader, path, choices)
    kinds = " or ".join(kind for _, kind, _ in _FORMATS)
    raise InputError(path, "file", kinds, f"one that begins with {start[:8]!r}" if start else "an empty file")


def _read(reader: Callable[..., xr.Dataset], path: Path, choices: dict) -> xr.Dataset:
    known = [name for name in inspect.signature(reader).parameters if name != "path"]
    for name in choices:
        if name not in known:
            raise InputError(path, f"choice {name}", f"a choice among {known}", "one not known")
    return reader(path, **choices)

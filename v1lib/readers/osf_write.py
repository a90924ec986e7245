"""A session in the layout of the paper's archive (OSF MSP3A), for others' code to read."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_whole
from v1lib.readers.osf_archive import BIN_WIDTH_S
from v1lib.readers.osf_files import BEHAVIOR_NAMES, FILE_NAME, FRAME_NAMES, PARTS
from v1lib.session import stretch_ranges, validate_session
from v1lib.splits import segment_borders


def write_osf_archive(
    session: xr.Dataset,
    root: str | Path,
    animal: str,
    *,
    n_segments: int | None = None,
    join_gaps: bool = False,
) -> Path:
    """Write a session as ``<root>/<animal>/{train,test}_<name>_seg_<k>.npy``.

    Columns of the counts are the units in their order, without their labels; times are not stored. The video
    is called ``vid_mean``; that of a session from an archive keeps the name it was opened by there.
    Opened again with ``units="all"``, frames, behaviour and counts are the same to the bit.

    Parameters
    ----------
    session : xarray.Dataset
        A session of spike counts with all six behaviour variables, in bins of 48 ms.
    root : str or Path
        The folder to hold the mouse's folder; made if it is not there.
    animal : str
        Name of the mouse's folder. One that holds nothing but files as written here is replaced.
    n_segments : int, optional
        Equal contiguous segments, the first 70 % of each in train files and the rest in test files; 10 by
        default. A session with the coordinate ``part`` goes back into the segments that it was stored in.
    join_gaps : bool
        Whether bins from both sides of a border between stretches may lie in one file, which cannot tell.

    Returns
    -------
    Path
        The mouse's folder.

    Raises
    ------
    InputError
        If the session is not of that kind, has too few bins or a border between stretches inside a file, or
        the folder is in use for something else or cannot be written.
    """
    validate_session(session)
    if n_segments is not None:
        check_whole("write_osf_archive", "n_segments", n_segments, 1)
    if not isinstance(animal, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", animal):
        expected = "a name of letters, digits, _, . and -, a letter or digit first"
        raise InputError("write_osf_archive", "animal", expected, repr(animal))
    arrays = _arrays(session)
    borders = segment_borders(session, n_segments)
    files = [bins for start, test, stop in borders for bins in ((start, test), (test, stop))]
    _check_files(session, files, join_gaps)
    place = Path(root) / animal
    try:
        if place.exists() and not _replaceable(place, tuple(arrays)):
            expected = f"no folder, or one with nothing but files of {', '.join(arrays)}"
            raise InputError(place, "file", expected, "something else")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=place.parent) as folder:
            beside = Path(folder) / animal
            beside.mkdir()
            for number, (a, b) in enumerate(files):
                segment, part = divmod(number, len(PARTS))
                for name, values in arrays.items():
                    np.save(beside / f"{PARTS[part]}_{name}_seg_{segment}.npy", values[a:b])
            _replace(beside, place)
    except OSError as error:
        found = error.strerror or str(error)
        raise InputError(place, "file", "a place that can be written", found) from error
    return place


def _arrays(session: xr.Dataset) -> dict[str, np.ndarray]:
    """What the files of each name hold, over all bins."""
    activity = session["activity"]
    if activity.attrs["kind"] != "spike_count":
        raise InputError("session", "activity attribute kind", "spike_count", repr(activity.attrs["kind"]))
    width = float(session.attrs["bin_width_s"])
    # Rounding of a stored width, no more: the layout has no place for another one.
    if abs(width - BIN_WIDTH_S) > 1e-9:
        raise InputError("session", "bin_width_s", f"{BIN_WIDTH_S}, that of the layout", str(width))
    variables = [str(name) for name in session["variable"].values]
    missing = [name for name in BEHAVIOR_NAMES if name not in variables]
    if missing:
        expected = "all six variables of the layout"
        raise InputError("session", "behavior", expected, f"none of the name {' or '.join(missing)}")
    video = session["frames"].attrs.get("stored_as", FRAME_NAMES[0])
    if video not in FRAME_NAMES:
        raise InputError("session", "frames attribute stored_as", f"one of {FRAME_NAMES}", repr(video))
    arrays = {"nsp": activity.values, video: session["frames"].values}
    for name, stored in BEHAVIOR_NAMES.items():
        arrays[stored] = session["behavior"].values[:, variables.index(name)]
    if "gyro_z" in session:
        arrays["gz"] = session["gyro_z"].values
    return arrays


def _check_files(session: xr.Dataset, files: list[tuple[int, int]], join_gaps: bool) -> None:
    """Refuse files without bins, and borders between stretches inside of files unless they may be joined."""
    empty = [a for a, b in files if a >= b]
    if empty:
        expected = "a bin or more in each file (ask for fewer segments)"
        raise InputError("session", "time", expected, f"{session.sizes['time']} bins for {len(files)} files")
    borders = {first for first, _ in stretch_ranges(session)} - {a for a, _ in files}
    if borders and not join_gaps:
        expected = "no border between stretches inside a file, which cannot hold it (or join_gaps=True)"
        raise InputError("session", "stretch", expected, f"{len(borders)} inside")


def _replaceable(place: Path, names: tuple[str, ...]) -> bool:
    """Whether a folder holds files of these variables and nothing that would be lost with it."""
    if not place.is_dir():
        return False
    found = [FILE_NAME.fullmatch(entry.name) for entry in place.iterdir()]
    return bool(found) and all(match is not None and match[2] in names for match in found)


def _replace(beside: Path, place: Path) -> None:
    """Put a folder in the place of another, which comes back if that fails."""
    old = beside.with_name(beside.name + ".replaced")
    if place.exists():
        os.replace(place, old)
    try:
        os.replace(beside, place)
    except BaseException:
        if old.exists():
            os.replace(old, place)
        raise

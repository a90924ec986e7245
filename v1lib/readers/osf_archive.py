"""The paper's archive (Xu et al. 2023, OSF MSP3A): one folder a mouse of NumPy files, or a zip → session.

A mouse's folder holds ``{train,test}_<name>_seg_<k>.npy``: spike counts ``nsp`` (bin, unit), videos
``vid_mean`` and others (bin, y, x), and one value a bin of ``speed``, ``pitch``, ``roll``, ``phi``, ``th``
(theta), ``eyerad`` (pupil radius) and, in some, ``gz`` (gyroscope). Bins last 48 ms. Segments follow one
another in time, and in each the test file follows the train file.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_whole
from v1lib.readers.osf_files import BEHAVIOR_NAMES, FRAME_NAMES, PARTS, choose_mouse, joined, opened, read_all
from v1lib.session import SCHEMA_VERSION, validate_session

BIN_WIDTH_S = 0.048
#: Units of an animal that the paper did not record are dropped below this mean rate, Hz, as the paper's were.
LEAST_RATE_HZ = 3.0
#: The columns of ``nsp``, from 0, that the paper drops of each of its mice.
PAPER_DROPPED = {
    "070921_J553RT": (
        *(1, 20, 21, 25, 27, 30, 31, 35, 39, 45, 46, 49, 50, 51, 52, 53, 54, 55, 57, 58),
        *(59, 64, 65, 68, 75, 77, 79, 81, 83, 84, 87, 88, 90, 91, 94, 95, 97, 104, 105, 107),
    ),
    "110421_J569LT": (0, 1, 2, 5, 6, 8, 11, 12, 13, 16, 18, 22, 24, 26, 28, 30, 41, 44, 47, 49),
    "101521_J559NC": (1, 4, 9, 22, 25, 27, 28, 29, 43, 45, 46, 47, 51, 53),
}
#: How many it keeps.
PAPER_KEPT = {"070921_J553RT": 68, "110421_J569LT": 32, "101521_J559NC": 49}


def open_osf_archive(
    path: str | Path,
    *,
    animal: str | None = None,
    n_segments: int | None = None,
    frames: str = "vid_mean",
    units: str = "paper",
) -> xr.Dataset:
    """Read one mouse of the paper's archive, or of one in its layout, as a session.

    Values and signs are those of the files, on which the published weights were trained; NaN stays NaN. Video
    keeps its grey values: integers from 0 to 255 throughout become uint8, all else float32.

    The files do not tell what time passed between them. Each is its own stretch, and ``time`` runs on from
    one to the next as if none had.

    Parameters
    ----------
    path : str or Path
        The mouse's folder, a folder that holds it one or two levels down, or a zip of either, which is read
        where it lies.
    animal : str, optional
        The name of the mouse's folder; needed where there are several. Files at the top of a zip are the
        mouse of the zip's own name.
    n_segments : int, optional
        How many segments there must be; as many as there are by default.
    frames : str
        The video to take: ``vid_mean`` (mean over the bin), ``vid_middle`` (the frame in its middle),
        ``vid_shift_mean`` or ``vid_shift_middle`` (the same, shifted with the eye). Others need not be there.
    units : str
        ``paper``: without the units that the paper drops from its three mice, and of any other animal without
        those whose mean rate over all files, train and test together, is below 3 Hz. ``all``: every column.

    Returns
    -------
    xarray.Dataset
        A valid session (see :mod:`v1lib.session`) with the coordinate ``part`` (``train`` or ``test``) on
        ``time``; ``unit`` is the number of the column, from 0. Where there are ``gz`` files, the variable
        ``gyro_z`` (time) holds them. Attributes: ``units_dropped`` (numbers of columns, or ``none``);
        ``source_sha256``, of the name, a zero byte and the content of each file, in the order train 0,
        test 0, train 1 and so on, in each counts, video, behaviour in the session's order, gyroscope.

    Raises
    ------
    InputError
        If there is no such animal or more than one to choose from, or a file is missing, cut short, holds
        Python objects, does not fit the others, or has a value that it cannot have.
    """
    path = Path(path)
    _check_choices(animal, n_segments, frames, units)
    with opened(path) as members:
        animal, folder = choose_mouse(path, members, animal)
        names = ("nsp", frames, *BEHAVIOR_NAMES.values()) + (("gz",) if "gz" in folder.variables() else ())
        found = folder.n_segments(names)
        if n_segments not in (None, found):
            raise InputError(path, f"n_segments of {animal}", f"{n_segments} segments", str(found))
        pieces, digest = read_all(folder, names, found)

    bins = [counts.shape[0] for counts in pieces["nsp"]]
    counts = joined(pieces.pop("nsp"))
    kept = _kept_units(path, animal, counts, units)
    dropped = np.setdiff1d(np.arange(counts.shape[1]), kept).tolist()
    traces = {name: joined(pieces.pop(stored)) for name, stored in BEHAVIOR_NAMES.items()}
    n_bins = sum(bins)
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), joined(pieces.pop(frames)), {"stored_as": frames}),
            "behavior": (("time", "variable"), np.stack(list(traces.values()), axis=1)),
            "activity": (("time", "unit"), counts[:, kept], {"kind": "spike_count"}),
            "stretch": ("time", np.repeat(np.arange(len(bins)), bins).astype(np.int32)),
        },
        {
            "time": (np.arange(n_bins) + 0.5) * BIN_WIDTH_S,
            "variable": list(traces),
            "unit": kept,
            "part": ("time", np.repeat(np.tile(PARTS, len(bins) // 2), bins)),
        },
        {
            "schema_version": SCHEMA_VERSION,
            "animal": animal,
            "session": animal,
            "source": f"archive in the layout of OSF MSP3A: {path.name}",
            "source_sha256": digest,
            "bin_width_s": BIN_WIDTH_S,
            "v1lib_version": version("v1lib"),
            "angle_convention": "as in the archive",
            "units_dropped": dropped or "none",
        },
    )
    if "gz" in pieces:
        session["gyro_z"] = ("time", joined(pieces.pop("gz")), {"units": "as in the archive"})
    session["time"].attrs.update(units="s", note="files laid end to end: the time between them is not stored")
    return validate_session(session, source=path)


def _check_choices(animal: object, n_segments: int | None, frames: str, units: str) -> None:
    if animal is not None and not isinstance(animal, str):
        raise InputError("argument", "animal", "the name of a mouse's folder", repr(animal))
    if n_segments is not None:
        check_whole("argument", "n_segments", n_segments, 1)
    if frames not in FRAME_NAMES:
        raise InputError("argument", "frames", f"one of {FRAME_NAMES}", repr(frames))
    if units not in ("paper", "all"):
        raise InputError("argument", "units", "paper or all", repr(units))


def _kept_units(path: Path, animal: str, counts: np.ndarray, units: str) -> np.ndarray:
    """Numbers of the columns to keep, int64, rising."""
    n_units = counts.shape[1]
    numbers = np.arange(n_units)
    if units == "all":
        return numbers
    if animal in PAPER_DROPPED:
        n_kept, dropped = PAPER_KEPT[animal], PAPER_DROPPED[animal]
        if n_units != n_kept + len(dropped):
            expected = (
                f"{n_kept + len(dropped)} units, of which the paper keeps {n_kept} (units='all' keeps all)"
            )
            raise InputError(path, f"nsp of {animal}", expected, f"{n_units}")
        return np.setdiff1d(numbers, dropped)
    rate = counts.mean(axis=0) / BIN_WIDTH_S
    slow = rate < LEAST_RATE_HZ * (1 - 1e-9)  # far below one spike more or less, far above rounding
    if slow.all():
        expected = f"a unit of at least {LEAST_RATE_HZ:g} Hz (units='all' keeps all)"
        raise InputError(path, f"nsp of {animal}", expected, f"at most {rate.max():.2f} Hz")
    return numbers[~slow]

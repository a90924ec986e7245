"""Head and eye movement that somebody measured, as one table: the public mouse, or anybody's CSV.

The public file (Meyer, O'Keefe and Poort 2020, *Current Biology* 30) is an array of ten columns at 60 Hz:
time (s), head pitch, head roll (deg), angular velocity about the pitch, roll and yaw axes (deg/s), left eye
horizontal and vertical, right eye horizontal and vertical (deg). Its signs, and how they are known:

- *pitch* (nose up positive) and *roll* (right ear down positive) are as here: the authors' own code turns the
  head about its interaural axis (right) by pitch and about its axis to the front by roll, z up.
- *angular velocities* have the opposite sign of those turns. The direction of gravity in the head, given by
  pitch and roll, must change as the head turns: fitted to the data below 0.5 Hz, all three factors are
  −0.7 to −1.2 in each minute but the first. So +yaw in the file is to the right, and is turned round here.
- *eye horizontal* is to the right in the file (the authors' code turns the eye by minus that angle about z).
  That agrees with the above: it goes against the head, by −0.5 (left eye) and −0.7 (right eye) deg/s for
  each deg/s of the file's yaw. It is turned round here too: theta is positive to the left for both eyes.
- *eye vertical* is up in both eyes: it falls by 0.28 (left) and 0.30 (right) deg for each degree of pitch,
  and with the right ear down the right eye rises and the left eye sinks.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v1lib.errors import InputError

_UNITS = {"pitch": "deg", "roll": "deg", "yaw_rate": "deg/s", "theta": "deg", "phi": "deg"}
_COLUMNS = ("time", *_UNITS)
#: Columns of the public file: pitch, roll, yaw velocity, and horizontal and vertical of an eye.
_HEAD = (1, 2, 5)
_EYES = {"left": (6, 7), "right": (8, 9)}
_SIGNS = (1.0, 1.0, -1.0, -1.0, 1.0)


def read_head_eye(path: str | Path, eye: str = "right") -> xr.Dataset:
    """Read measured movement of head and eye, in the conventions of the session.

    Parameters
    ----------
    path : str or Path
        The public array (``fetch("meyer2020/example_freely_moving.npy")``), or a CSV file with the columns
        time (s), pitch, roll (deg), yaw_rate (deg/s), theta, phi (deg), in any order and at any rate; missing
        samples are empty or ``nan``. A CSV is taken to be in the conventions below.
    eye : {"right", "left"}
        Which eye of the public array; a CSV has one eye, and `eye` says which it is.

    Returns
    -------
    xarray.Dataset
        ``pitch`` (nose up), ``roll`` (right ear down), ``yaw_rate`` (to the left, about the head's own axis),
        ``theta`` (to the left), ``phi`` (up) over ``time`` (s), each positive as said, NaN where not
        measured, with attribute ``units``. Zeros of the angles are the file's.

    Raises
    ------
    InputError
        One sentence, for a file of another kind or content.
    """
    path = Path(path)
    if not isinstance(eye, str) or eye not in _EYES:
        raise InputError(path, "eye", f"one of {sorted(_EYES)}", repr(eye))
    if not path.is_file():
        raise InputError(path, "file", "a table of head and eye", "a folder" if path.is_dir() else "no file")
    with path.open("rb") as file:
        is_array = file.read(6) == b"\x93NUMPY"
    time, columns = _read_array(path, eye) if is_array else _read_csv(path)
    if not np.isfinite(time).all():
        raise InputError(path, "time", "finite stamps", f"{int((~np.isfinite(time)).sum())} not finite")
    if time.size < 2 or not (np.diff(time) > 0).all():
        found = (
            f"{time.size} rows" if time.size < 2 else f"a fall after {time[np.argmin(np.diff(time) > 0)]} s"
        )
        raise InputError(path, "time", "two rows or more, each later than the one before", found)
    for name, values in zip(_UNITS, columns, strict=True):
        if np.isinf(values).any():
            raise InputError(path, name, "finite values, or nan where not measured", "infinite ones")
        if np.isnan(values).all():
            raise InputError(path, name, "measured values", "none")
    data = {
        name: ("time", values, {"units": unit})
        for (name, unit), values in zip(_UNITS.items(), columns, strict=True)
    }
    return xr.Dataset(data, {"time": ("time", time, {"units": "s"})}, {"source": path.name, "eye": eye})


def _read_array(path: Path, eye: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Time (s) and the columns of one eye, signs turned to this library's."""
    expected = "an array of numbers with ten columns"
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            path, "array", expected, f"one that does not load ({type(error).__name__})"
        ) from error
    if table.ndim != 2 or table.shape[1] != 10 or table.dtype.kind != "f":
        raise InputError(path, "array", expected, f"{table.dtype} of shape {table.shape}")
    columns = (*_HEAD, *_EYES[eye])
    return table[:, 0], [sign * table[:, column] for sign, column in zip(_SIGNS, columns, strict=True)]


def _check_fields(path: Path) -> None:
    """Refuse a row of more or fewer fields than the header: its values would stand in other columns."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file, skipinitialspace=True)
        header = next(reader, [])
        for row in reader:
            if row and len(row) != len(header):
                expected = f"{len(header)} fields, as the header has"
                raise InputError(path, f"line {reader.line_num}", expected, f"{len(row)}")


def _read_csv(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Time (s) and the columns of a CSV file."""
    expected = f"a CSV file with the columns {', '.join(_COLUMNS)}"
    try:
        _check_fields(path)
        table = pd.read_csv(
            path, skipinitialspace=True, keep_default_na=False, na_values=["", "nan", "NaN", "NAN"]
        )
    except InputError:
        raise
    except (ValueError, OSError, csv.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, "file", expected, f"one that does not open so ({reason})") from error
    lacking = [name for name in _COLUMNS if list(table.columns).count(name) != 1]
    if lacking:
        raise InputError(path, "columns", expected, f"none named {', '.join(lacking)}")
    for name in _COLUMNS:
        if not pd.api.types.is_numeric_dtype(table[name]) or table[name].dtype == bool:
            text = pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()
            found = repr(table[name][text].iloc[0]) if text.any() else str(table[name].dtype)
            raise InputError(path, name, "numbers, empty or nan where not measured", found)
    time, *columns = (table[name].to_numpy(float) for name in _COLUMNS)
    return time, columns

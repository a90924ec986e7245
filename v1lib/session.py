"""What an aligned session is: its schema, validation, and its file.

A session is an :class:`xarray.Dataset` with one row a time bin. Everything to the left of it in the
library makes one; everything to the right reads one.

==============  ==============  ================  =====================================================
name            dims            dtype             meaning
==============  ==============  ================  =====================================================
``time``        time            float64           centre of the bin, s from the start of the session
``frames``      time, y, x      uint8 or float32  head-camera frame of the bin (mean of its fields)
``behavior``    time, variable  float32           see :data:`BEHAVIOR_UNITS`; NaN where not measured
``activity``    time, unit      uint16, float32   spikes in the bin, or fluorescence
``stretch``     time            int32             number of the contiguous stretch the bin lies in
==============  ==============  ================  =====================================================

Attributes: ``schema_version``, ``animal``, ``session``, ``source``, ``bin_width_s``, ``v1lib_version``,
and whatever else tells where the numbers come from. ``activity`` carries ``kind``, which is
``spike_count`` or ``fluorescence``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v1lib.errors import InputError

SCHEMA_VERSION = 1

#: Behaviour variables a session may have, in their fixed order, with their units.
BEHAVIOR_UNITS = {
    "speed": "cm/s",
    "pitch": "deg",
    "roll": "deg",
    "phi": "deg",
    "theta": "deg",
    "pupil": "px or mm",
}
ACTIVITY_KINDS = ("spike_count", "fluorescence")

_LAYOUT = {
    "time": (("time",), ("float64",)),
    "frames": (("time", "y", "x"), ("uint8", "float32")),
    "behavior": (("time", "variable"), ("float32",)),
    "activity": (("time", "unit"), ("uint16", "float32")),
    "stretch": (("time",), ("int32",)),
}
_REQUIRED_ATTRIBUTES = ("schema_version", "animal", "session", "source", "bin_width_s", "v1lib_version")


def stretch_ranges(session: xr.Dataset) -> list[tuple[int, int]]:
    """Half-open ranges of bins, one a stretch, in order of time."""
    number = session["stretch"].values
    borders = np.flatnonzero(np.diff(number)) + 1
    return list(pairwise([0, *borders.tolist(), number.size]))


def check_is_session(where: str | Path, session: object) -> None:
    """Refuse what is no dataset, such as the path of one."""
    if not isinstance(session, xr.Dataset):
        raise InputError(where, "session", "a session (xarray.Dataset)", type(session).__name__)


def validate_session(session: xr.Dataset, *, source: str | Path = "session") -> xr.Dataset:
    """Return `session` unchanged, or refuse it.

    Parameters
    ----------
    session : xarray.Dataset
        See the table at the top of this module.
    source : str or Path
        Named in the error message.

    Raises
    ------
    InputError
        One sentence naming file, variable, what was expected and what was found.
    """
    check_is_session(source, session)
    for name, (dims, dtypes) in _LAYOUT.items():
        if name not in session.variables:
            raise InputError(source, name, "a variable of that name", "none")
        variable = session[name]
        if variable.dims != dims:
            raise InputError(source, name, f"dimensions {dims}", str(variable.dims))
        if str(variable.dtype) not in dtypes:
            raise InputError(source, name, " or ".join(dtypes), str(variable.dtype))
    for name in _REQUIRED_ATTRIBUTES:
        if name not in session.attrs:
            raise InputError(source, f"attribute {name}", "a value", "none")
    if str(session.attrs["schema_version"]) != str(SCHEMA_VERSION):
        raise InputError(source, "schema_version", str(SCHEMA_VERSION), str(session.attrs["schema_version"]))
    for dim in ("time", "unit", "y", "x"):
        if session.sizes[dim] == 0:
            raise InputError(source, dim, "at least one entry", "none")

    _validate_behavior(session, source)
    _validate_activity(session, source)
    _validate_time(session, source)
    if session["frames"].dtype.kind == "f" and not np.isfinite(session["frames"].values).all():
        raise InputError(source, "frames", "finite values", "NaN or infinity")
    return session


def _validate_behavior(session: xr.Dataset, source: str | Path) -> None:
    names = [str(name) for name in session["variable"].values]
    unknown = [name for name in names if name not in BEHAVIOR_UNITS]
    if unknown:
        raise InputError(source, "variable", f"names among {list(BEHAVIOR_UNITS)}", str(unknown))
    if len(set(names)) != len(names):
        raise InputError(source, "variable", "each name once", str(names))
    if np.isinf(session["behavior"].values).any():
        raise InputError(source, "behavior", "finite values or NaN", "infinity")


def _validate_activity(session: xr.Dataset, source: str | Path) -> None:
    activity = session["activity"]
    kind = activity.attrs.get("kind")
    if kind not in ACTIVITY_KINDS:
        raise InputError(source, "activity attribute kind", " or ".join(ACTIVITY_KINDS), repr(kind))
    if kind == "spike_count" and activity.dtype != np.uint16:
        raise InputError(source, "activity", "uint16 spike counts", str(activity.dtype))
    if kind == "fluorescence" and activity.dtype.kind != "f":
        raise InputError(source, "activity", "float32 fluorescence", str(activity.dtype))
    labels = activity["unit"].values if "unit" in activity.coords else np.zeros(activity.sizes["unit"])
    if len(set(labels.tolist())) != labels.size:
        raise InputError(source, "unit", "a label for each unit, each once", str(labels.tolist()[:10]))
    if activity.dtype.kind == "f" and not np.isfinite(activity.values).all():
        raise InputError(source, "activity", "finite values", "NaN or infinity")


def _validate_time(session: xr.Dataset, source: str | Path) -> None:
    width = session.attrs["bin_width_s"]
    if not isinstance(width, (int, float, np.number)) or not 0 < width < np.inf:
        raise InputError(source, "bin_width_s", "a positive number", repr(width))
    time, number = session["time"].values, session["stretch"].values
    if not np.isfinite(time).all():
        raise InputError(source, "time", "finite values", "NaN or infinity")
    steps, same = np.diff(time), np.diff(number) == 0
    if (np.diff(number) < 0).any():
        raise InputError(source, "stretch", "numbers that never fall", "a falling number")
    if (steps <= 0).any():
        bin_number = int(np.flatnonzero(steps <= 0)[0])
        raise InputError(
            source, "time", "rising values", f"{time[bin_number + 1]} s after {time[bin_number]} s"
        )
    # A thousandth of a bin is far above rounding in float64 seconds and far below any lost frame.
    if (np.abs(steps[same] - width) > 1e-3 * width).any():
        worst = float(steps[same][np.argmax(np.abs(steps[same] - width))])
        raise InputError(source, "time", f"bins of {width} s inside a stretch", f"a step of {worst:.6f} s")


def save_session(session: xr.Dataset, path: str | Path) -> Path:
    """Write a validated session as one NetCDF-4 file, beside its place first and then renamed."""
    validate_session(session)
    return write_netcdf(session, path, compressed=("frames",))


def load_session(path: str | Path) -> xr.Dataset:
    """Read a session file written by :func:`save_session`, whole and validated."""
    return validate_session(read_netcdf(path), source=path)


def write_netcdf(dataset: xr.Dataset, path: str | Path, compressed: tuple[str, ...] = ()) -> Path:
    """Write `dataset` to `path` so that a reader sees the whole file or none."""
    path = Path(path)
    encoding = {name: {"zlib": True, "complevel": 1, "shuffle": False} for name in compressed}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.to_netcdf(beside, engine="h5netcdf", encoding=encoding)
        beside.replace(path)
    except OSError as error:
        found = error.strerror or str(error)
        raise InputError(path, "file", "a place that can be written", found) from error
    finally:
        beside.unlink(missing_ok=True)
    return path


def open_netcdf(path: str | Path) -> xr.Dataset:
    """Open a NetCDF-4 file, its values still on disk; one that is none, or cut short, is refused."""
    if not Path(path).is_file():
        raise InputError(path, "file", "a NetCDF-4 file", "no file")
    with _damage_named(path):
        return xr.open_dataset(path, engine="h5netcdf")


def read_netcdf(path: str | Path) -> xr.Dataset:
    """Read a NetCDF-4 file into memory; a file that is none, or cut short, is refused in one sentence."""
    with open_netcdf(path) as dataset, _damage_named(path):
        return dataset.load()


@contextmanager
def _damage_named(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            path, "file", "a complete NetCDF-4 file", f"one that does not open ({reason})"
        ) from error


def summarize_session(session: xr.Dataset) -> pd.Series:
    """What a session holds, as a short labelled list."""
    width = float(session.attrs["bin_width_s"])
    activity = session["activity"]
    rows: dict[str, object] = {
        "animal": session.attrs["animal"],
        "source": session.attrs["source"],
        "duration (min)": round(session.sizes["time"] * width / 60, 2),
        "bins": session.sizes["time"],
        "bin width (ms)": round(1000 * width, 3),
        "stretches": len(stretch_ranges(session)),
        "frame (y, x)": f"{session.sizes['y']} × {session.sizes['x']}",
        "units": session.sizes["unit"],
        "activity": activity.attrs["kind"],
    }
    if activity.attrs["kind"] == "spike_count":
        rows["median rate (Hz)"] = round(float(activity.mean("time").median()) / width, 2)
    for name in session["variable"].values:
        missing = float(np.isnan(session["behavior"].sel(variable=name)).mean())
        rows[f"{name} missing (%)"] = round(100 * missing, 2)
    return pd.Series(rows | _alignment_rows(session.attrs), name="session")


def _alignment_rows(attributes: dict) -> dict[str, object]:
    """Rows of the summary on clock and masks, for a session that was aligned from raw streams."""
    rows: dict[str, object] = {}
    if "clock_offset_s" in attributes:
        offset, drift = attributes["clock_offset_s"], attributes["clock_drift_ppm"]
        rows["clock offset (ms)"] = f"{1e3 * offset:.2f} ± {1e3 * attributes['clock_offset_se_s']:.2f}"
        rows["clock drift (ppm)"] = f"{drift:.2f} ± {attributes['clock_drift_se_ppm']:.2f}"
        rows["clock quality"] = round(float(attributes["clock_quality"]), 3)
    if "clock_jumps" in attributes:
        rows["clock jumps"] = "; ".join(np.atleast_1d(attributes["clock_jumps"]))
    shares = {"speed_masked": "speed masked (%)", "imu_masked": "inertial sensor masked (%)"}
    for name, row in shares.items():
        if name in attributes:
            rows[row] = round(100 * float(attributes[name]), 3)
    numbers = {
        "constant_frames": "constant frames",
        "bins_without_frames": "bins without frames",
        "bins_at_clock_jumps": "bins at clock jumps",
        "outside_s": "outside of the session (s)",
    }
    for name, row in numbers.items():
        if name in attributes:
            rows[row] = round(attributes[name], 1)
    return rows

"""A measured head and eye, for the simulated mouse to move as they moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from v1lib.errors import InputError
from v1lib.simulate.kinematics import (
    EYE_HEIGHT_CM,
    SAMPLE_RATE_HZ,
    pupil_radius,
    running_speed,
    smooth,
    torsion_of,
    walk,
)

#: Columns of a table, with the largest value that each can have.
COLUMNS = {"pitch": 90.0, "roll": 90.0, "yaw_rate": 5000.0, "theta": 90.0, "phi": 90.0}
#: A step between measured samples this many times the usual one is a gap.
_GAP_STEPS = 1.75
#: Below this cosine between head and world, yaw rate about the head's axis no longer tells the heading's.
_LEAST_UPRIGHT = 0.25
#: Slower samples than this tell of no head movement; times in ms look as if they were.
_LONGEST_STEP_S = 0.1


def motion_from_table(
    rng: np.random.Generator, table: pd.DataFrame | xr.Dataset, seconds: float
) -> xr.Dataset:
    """Movement at 300 Hz whose head and right eye follow a table.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of what the table does not tell: running, pupil, torsion, and where the animal starts.
    table : pandas.DataFrame or xarray.Dataset
        By name, over ``time`` (s, rising, at any rate): ``pitch``, ``roll`` (elevation of the nose and of the
        left ear, deg), ``yaw_rate`` (about the head's own up axis as a gyroscope feels it, deg/s, left
        positive), ``theta``, ``phi`` (eye in head, deg, left and up positive, any zero); NaN where missing.
    seconds : float
        How much of the table's beginning to use, s.

    Returns
    -------
    xarray.Dataset
        As from :func:`v1lib.simulate.kinematics.simulate_motion`. Between two measured samples movement is
        linear. Where the table has a gap it is bridged by a straight line, because the world must go on;
        ``head_measured`` and ``eye_measured`` are False there and the instruments record nothing.

    Raises
    ------
    InputError
        One sentence on a column that is missing, too short, out of range, or hardly measured.

    Notes
    -----
    The eye's zero is its median over the table, as in a session. While the head's up axis lies within 14 deg
    of the horizon the heading cannot be known from a yaw rate, and counts as not measured. The gyroscope of
    the recording feels the table's yaw rate again.
    """
    source, values = _columns(table, seconds)
    source = source - source[0]
    n = round(seconds * SAMPLE_RATE_HZ)
    time = np.arange(n) / SAMPLE_RATE_HZ
    track = {name: _bridged(time, source, values[name]) for name in COLUMNS}

    pitch, elevation = np.deg2rad(track["pitch"][0]), np.deg2rad(track["roll"][0])
    sine = np.sin(elevation) / np.cos(pitch)
    if (np.abs(sine) > 1).any():
        at = int(np.argmax(np.abs(sine)))
        tilt = f"pitch {np.rad2deg(pitch[at]):.1f} and roll {np.rad2deg(elevation[at]):.1f} deg"
        found = f"{tilt} at {time[at]:.2f} s"
        raise InputError("motion", "pitch and roll", "tilts that a head can have together", found)
    roll = np.arcsin(sine)
    upright = np.cos(pitch) * np.cos(roll)
    known = upright > _LEAST_UPRIGHT
    head_measured = known & track["pitch"][1] & track["roll"][1] & track["yaw_rate"][1]
    eye_measured = track["theta"][1] & track["phi"][1]
    _check_measured("pitch, roll and yaw_rate", "off its side and measured between neighbours", head_measured)
    _check_measured("theta and phi", "measured between neighbours", eye_measured)
    pitch_rate = np.gradient(np.rad2deg(pitch)) * SAMPLE_RATE_HZ
    # The head's own up axis feels its turn about the vertical and, while it is rolled, part of its pitching.
    heading_rate = (track["yaw_rate"][0] - pitch_rate * np.sin(roll)) / np.where(known, upright, 1.0)
    heading_rate = np.interp(time, time[known], heading_rate[known])
    yaw = np.concatenate([[0.0], np.cumsum(0.5 * (heading_rate[1:] + heading_rate[:-1]))]) / SAMPLE_RATE_HZ
    yaw += rng.uniform(-180, 180)
    position, _, speed = walk(rng, running_speed(rng, n), None, smooth(smooth(yaw, 0.2), 0.2))

    eye = {name: track[name][0] - np.nanmedian(values[name]) for name in ("theta", "phi")}
    names = {
        "x": position[:, 0],
        "y": position[:, 1],
        "z": np.full(n, EYE_HEIGHT_CM),
        "speed": speed,
        "yaw": yaw,
        "pitch": np.rad2deg(pitch),
        "roll": np.rad2deg(roll),
        **eye,
        "torsion": torsion_of(rng, np.rad2deg(roll)),
        "pupil": pupil_radius(rng, speed),
        "head_measured": head_measured,
        "eye_measured": eye_measured,
    }
    return xr.Dataset({name: ("time", values) for name, values in names.items()}, {"time": time})


def _columns(table: pd.DataFrame | xr.Dataset, seconds: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The table's time and columns as float arrays, checked."""
    if not isinstance(table, (pd.DataFrame, xr.Dataset)):
        raise InputError("motion", "table", "a pandas.DataFrame or an xarray.Dataset", type(table).__name__)
    columns = {}
    there = list(table.columns) if isinstance(table, pd.DataFrame) else list(table.variables)
    for name in ("time", *COLUMNS):
        if name not in there:
            raise InputError(
                "motion", name, "a column of that name", f"only {[str(other) for other in there]}"
            )
        values = np.asarray(table[name])
        if values.dtype.kind not in "iuf":
            kind = pd.api.types.infer_dtype(values.ravel(), skipna=False)
            raise InputError("motion", name, "numbers", f"values of type {kind}")
        columns[name] = values.astype(float)
    time = columns.pop("time")
    if time.ndim != 1 or time.size < 2 or not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise InputError("motion", "time", "two or more finite times that rise, in s", _about_time(time))
    step = np.median(np.diff(time))
    if step > _LONGEST_STEP_S:
        raise InputError("motion", "time", "10 samples a second or more, in s", f"steps of {step:g} s")
    # One sample's slack: a table of 600 s at 60 Hz ends one sample before 600 s.
    length = time[-1] - time[0] + step
    if length < seconds:
        raise InputError("motion", "time", f"{seconds:g} s of movement, as minutes asks", f"{length:g} s")
    for name, most in COLUMNS.items():
        values = columns[name]
        if values.shape != time.shape:
            raise InputError("motion", name, f"{time.size} samples, as time has", f"shape {values.shape}")
        if np.isinf(values).any() or (np.abs(values) > most).any():
            found = f"{values[np.nanargmax(np.abs(values))]:g}"
            raise InputError("motion", name, f"values up to {most:g} either way, NaN where missing", found)
        used = np.isfinite(values[time - time[0] < seconds])
        if used.mean() < 0.5:
            found = f"{100 * used.mean():.0f} %"
            raise InputError("motion", name, f"at least half of the first {seconds:g} s measured", found)
    return time, columns


def _check_measured(variable: str, how: str, measured: np.ndarray) -> None:
    if measured.mean() < 0.5:
        found = f"{100 * measured.mean():.0f} %"
        raise InputError("motion", variable, f"at least half of the time {how}", found)


def _about_time(time: np.ndarray) -> str:
    if time.ndim != 1 or time.size < 2:
        return f"shape {time.shape}"
    if not np.isfinite(time).all():
        return f"{int((~np.isfinite(time)).sum())} that are not finite"
    first = int(np.flatnonzero(np.diff(time) <= 0)[0])
    return f"{time[first + 1]:g} s after {time[first]:g} s at row {first + 1}"


def _bridged(time: np.ndarray, source: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A column at `time`, linear between measured samples, and whether `time` lies between two neighbours."""
    measured = np.isfinite(values)
    at = source[measured]
    after = np.searchsorted(at, time, side="right").clip(1, at.size - 1)
    near = at[after] - at[after - 1] <= _GAP_STEPS * np.median(np.diff(source))
    # The very first and last sample stand for half a step around them.
    inside = (time >= at[0] - 1e-9) & (time <= at[-1] + np.median(np.diff(source)) / 2)
    return np.interp(time, at, values[measured]), near & inside

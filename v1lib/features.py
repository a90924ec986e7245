"""Behaviour as a model reads it: sets of columns, their scaling, and what stands where nothing was measured.

A column is a variable (``pitch``), its first difference per bin (``d_pitch``) or the product of two
columns (``pitch*d_roll``). Sets of columns, after the paper: ``orig`` are the variables, ``velo`` is
speed and the differences of the others, ``all`` is both, ``S`` is pupil, its difference and speed;
``orig_prod``, ``velo_prod`` and ``all_prod`` add every product of two different columns. A variable that
a session does not have is in none of its sets.

Where a value is missing (NaN in the session, and the first difference of each stretch) the standardised
column holds 0, which is its mean over the training part; a product is missing where a factor is. The share
of bins filled like this is kept for each column in :class:`Scaling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xarray as xr

from v1lib.errors import InputError
from v1lib.session import stretch_ranges
from v1lib.splits import Splits

BEHAVIOR_SETS = ("S", "orig", "velo", "all", "orig_prod", "velo_prod", "all_prod")
#: What turns the frame on the retina, in the order in which the paper's shifter takes it.
GAZE_VARIABLES = ("theta", "phi", "pitch", "roll")


@dataclass(frozen=True)
class Scaling:
    """Figures of the training part that turn a session into the input of a model, and back.

    ``mean``, ``sd`` and ``filled`` (share of all bins without a value) have one entry a column;
    frames have one mean and one sd in the session's grey values; ``activity_mean`` and ``activity_sd``
    have one entry a unit, in counts or fluorescence a bin.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    filled: tuple[float, ...]
    frame_mean: float
    frame_sd: float
    activity_mean: tuple[float, ...]
    activity_sd: tuple[float, ...]


def behavior_set(session: xr.Dataset, name: str) -> tuple[str, ...]:
    """The columns of a set, of those variables that the session has.

    Parameters
    ----------
    session : xarray.Dataset
    name : str
        One of :data:`BEHAVIOR_SETS`.
    """
    if name not in BEHAVIOR_SETS:
        raise InputError("behavior_set", "name", f"one of {BEHAVIOR_SETS}", repr(name))
    variables = [str(variable) for variable in session["variable"].values]
    if name == "S":
        chosen = ["pupil", "d_pupil", "speed"]
        return tuple(column for column in chosen if column.removeprefix("d_") in variables)
    velocity = [variable if variable == "speed" else f"d_{variable}" for variable in variables]
    base = name.removesuffix("_prod")
    columns = {"orig": variables, "velo": velocity, "all": list(dict.fromkeys(variables + velocity))}[base]
    if name.endswith("_prod"):
        columns = columns + [f"{a}*{b}" for a, b in combinations(columns, 2)]
    return tuple(columns)


def gaze_set(session: xr.Dataset) -> tuple[str, ...]:
    """The variables that a shifter reads, of those that the session has."""
    variables = {str(variable) for variable in session["variable"].values}
    return tuple(variable for variable in GAZE_VARIABLES if variable in variables)


def behavior_table(session: xr.Dataset, columns: tuple[str, ...]) -> np.ndarray:
    """The columns in their own units, float64, shape (time, column); NaN where there is no value.

    Raises
    ------
    InputError
        If a column needs a variable that the session does not have.
    """
    variables = [str(variable) for variable in session["variable"].values]
    values = session["behavior"].values.astype(np.float64)
    starts = [start for start, _ in stretch_ranges(session)]

    def column(name: str) -> np.ndarray:
        if "*" in name:
            first, second = name.split("*")
            return column(first) * column(second)
        variable = name.removeprefix("d_")
        if variable not in variables:
            raise InputError("session", "behavior", f"the variable {variable}, which the model reads", "none")
        trace = values[:, variables.index(variable)]
        if not name.startswith("d_"):
            return trace
        difference = np.diff(trace, prepend=np.nan)
        difference[starts] = np.nan
        return difference

    if not columns:
        return np.zeros((session.sizes["time"], 0))
    return np.stack([column(name) for name in columns], axis=1)


def fit_scaling(session: xr.Dataset, columns: tuple[str, ...], splits: Splits) -> Scaling:
    """Means and standard deviations over the training part alone.

    Raises
    ------
    InputError
        If a column or the frames are constant in the training part, a column has no value in it, or a
        unit has no spike in it (or constant fluorescence).
    """
    train = splits.bins("train")
    table = behavior_table(session, columns)
    inside = table[train]
    for number, name in enumerate(columns):
        measured = inside[np.isfinite(inside[:, number]), number]
        if measured.size < 2:
            raise InputError("session", name, "values in the training part", f"{measured.size}")
        if np.ptp(measured) == 0:
            raise InputError("session", name, "values that vary in the training part", f"only {measured[0]}")
    frames = session["frames"].values[train]
    # float64 sums of a bin at a time: exact to rounding, and no second copy of the frames in memory.
    sums = np.array(
        [(frame.sum(dtype=np.float64), np.square(frame, dtype=np.float64).sum()) for frame in frames]
    )
    pixels = frames.size
    frame_mean = sums[:, 0].sum() / pixels
    frame_sd = float(np.sqrt(max(sums[:, 1].sum() / pixels - frame_mean**2, 0.0)))
    if np.ptp(sums[:, 0]) == 0 and (frames == frames[0]).all():
        raise InputError(
            "session", "frames", "frames that change in the training part", "one frame throughout"
        )
    activity = session["activity"].values[train].astype(np.float64)
    still = np.ptp(activity, axis=0) == 0
    if still.any():
        unit = session["unit"].values[still.argmax()]
        spikes = session["activity"].attrs["kind"] == "spike_count" and not activity[:, still.argmax()].any()
        found = "no spike" if spikes else "one constant value"
        raise InputError("session", f"unit {unit}", "activity that varies in the training part", found)
    return Scaling(
        columns=tuple(columns),
        mean=tuple(np.nanmean(inside, axis=0).tolist()) if columns else (),
        sd=tuple(np.nanstd(inside, axis=0).tolist()) if columns else (),
        filled=tuple(np.isnan(table).mean(axis=0).tolist()),
        frame_mean=float(frame_mean),
        frame_sd=frame_sd,
        activity_mean=tuple(activity.mean(axis=0).tolist()),
        activity_sd=tuple(activity.std(axis=0).tolist()),
    )


def scaled_behavior(session: xr.Dataset, scaling: Scaling) -> np.ndarray:
    """The columns standardised by `scaling`, float32, shape (time, column); 0 where there is no value."""
    table = (behavior_table(session, scaling.columns) - np.array(scaling.mean)) / np.array(scaling.sd)
    return np.nan_to_num(table, nan=0.0).astype(np.float32)

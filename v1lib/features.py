"""Behaviour as a model reads it: sets of columns, their scaling, and what stands where nothing was measured.

A column is a variable (``pitch``), its first difference per bin (``d_pitch``) or the product of two
columns (``pitch*d_roll``). Sets of columns, after the paper: ``orig`` are the variables, ``velo`` is
speed and the differences of the others, ``all`` is both, ``S`` is pupil, its difference and speed;
``orig_prod``, ``velo_prod`` and ``all_prod`` add every product of two different columns. ``position`` is how
eye and head are turned (theta, phi, pitch, roll), after Parker et al. (Neuron 2022). A variable that a
session does not have is in none of its sets.

There are two ways to scale, :data:`SCALINGS`:

``training``
    Columns and frames are standardised with figures of the training part. A variable that is not measured
    keeps its last value in the stretch for up to :data:`HOLD_S`, the length of a long blink, after which it
    is missing. A difference is missing where one of its two values was not measured, and at the start of
    each stretch; a product where a factor is. Where a column is missing, its standardised value is 0, which
    is its mean over the training part.
``paper``
    As the paper does: columns in their own units, a missing value is 0 before differences and products are
    taken, and the first difference of each file is taken against 0; frames run from 0 to 1 by the darkest
    and brightest pixel of their file, test files included. A file is a stretch of a session that says of
    each bin, in the coordinate ``part``, which part its file belongs to.

The share of bins without a value is kept for each column in :class:`Scaling`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import xarray as xr

from v1lib.errors import InputError
from v1lib.session import BEHAVIOR_UNITS, stretch_ranges
from v1lib.splits import Splits

#: The sets of the paper, and those of all models here.
PAPER_SETS = ("S", "orig", "velo", "all", "orig_prod", "velo_prod", "all_prod")
BEHAVIOR_SETS = (*PAPER_SETS, "position")
#: What turns the frame on the retina, in the order in which the paper's shifter takes it.
GAZE_VARIABLES = ("theta", "phi", "pitch", "roll")
SCALINGS = ("training", "paper")
#: How long a variable that is not measured keeps its last value, s.
HOLD_S = 0.5


@dataclass(frozen=True)
class Scaling:
    """Figures that turn a session into the input of a model, and back.

    ``kind`` is one of :data:`SCALINGS`. ``mean``, ``sd`` and ``filled`` (share of all bins without a value)
    have one entry a column; frames have one mean and one sd in the session's grey values. They come from the
    training part; with ``paper`` the means are 0 and the deviations 1, because columns stay as they are and
    frames are scaled by their files. ``activity_mean`` and ``activity_sd`` have one entry a unit, in counts
    or fluorescence a bin of the training part.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    filled: tuple[float, ...]
    frame_mean: float
    frame_sd: float
    activity_mean: tuple[float, ...]
    activity_sd: tuple[float, ...]
    kind: str = "training"

    def __post_init__(self) -> None:
        check_scaling("Scaling", "kind", self.kind)


def check_scaling(where: str, variable: str, name: str) -> None:
    """Refuse what is none of :data:`SCALINGS`."""
    if name not in SCALINGS:
        raise InputError(where, variable, " or ".join(SCALINGS), repr(name))


def behavior_set(session: xr.Dataset, name: str) -> tuple[str, ...]:
    """The columns of a set, of those variables that the session has.

    Parameters
    ----------
    session : xarray.Dataset
    name : str
        One of :data:`BEHAVIOR_SETS`.
    """
    return behavior_columns(name, tuple(str(variable) for variable in session["variable"].values))


def behavior_columns(name: str, variables: tuple[str, ...] = tuple(BEHAVIOR_UNITS)) -> tuple[str, ...]:
    """The columns of a set of these variables, in their order: variables, differences, then products.

    Products stand in the order of their factors: 1*2, 1*3, ..., 2*3, ...
    """
    if name not in BEHAVIOR_SETS:
        raise InputError("behavior_set", "name", f"one of {BEHAVIOR_SETS}", repr(name))
    if name == "position":
        return tuple(variable for variable in GAZE_VARIABLES if variable in variables)
    if name == "S":
        chosen = ["pupil", "d_pupil", "speed"]
        return tuple(column for column in chosen if column.removeprefix("d_") in variables)
    measured = list(variables)
    velocity = [variable if variable == "speed" else f"d_{variable}" for variable in variables]
    base = name.removesuffix("_prod")
    columns = {"orig": measured, "velo": velocity, "all": list(dict.fromkeys(measured + velocity))}[base]
    if name.endswith("_prod"):
        columns = columns + [f"{a}*{b}" for a, b in combinations(columns, 2)]
    return tuple(columns)


def gaze_set(session: xr.Dataset) -> tuple[str, ...]:
    """The variables that a shifter reads, of those that the session has."""
    variables = {str(variable) for variable in session["variable"].values}
    return tuple(variable for variable in GAZE_VARIABLES if variable in variables)


def behavior_table(
    session: xr.Dataset, columns: tuple[str, ...], *, missing: float = np.nan, hold_s: float = 0.0
) -> np.ndarray:
    """The columns in their own units, float64, shape (time, column).

    `missing` stands for each value that was not measured, and for the one before the first of each stretch,
    which the first difference is taken against. A variable that was not measured keeps its last value for
    `hold_s` before it is missing; differences are taken between measured values alone.

    Raises
    ------
    InputError
        If a column needs a variable that the session does not have.
    """
    variables = [str(variable) for variable in session["variable"].values]
    values = session["behavior"].values.astype(np.float64)
    held = _held(session, values, hold_s)
    values, held = (np.where(np.isnan(table), missing, table) for table in (values, held))
    starts = [start for start, _ in stretch_ranges(session)]

    def column(name: str) -> np.ndarray:
        if "*" in name:
            first, second = name.split("*")
            return column(first) * column(second)
        variable = name.removeprefix("d_")
        if variable not in variables:
            raise InputError("session", "behavior", f"the variable {variable}, which the model reads", "none")
        number = variables.index(variable)
        if not name.startswith("d_"):
            return held[:, number]
        trace = values[:, number]
        difference = np.diff(trace, prepend=missing)
        difference[starts] = trace[starts] - missing
        return difference

    if not columns:
        return np.zeros((session.sizes["time"], 0))
    return np.stack([column(name) for name in columns], axis=1)


def _held(session: xr.Dataset, values: np.ndarray, hold_s: float) -> np.ndarray:
    """Values (time, variable) with each that was measured kept for `hold_s` after, inside its stretch."""
    bins = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, bins), axis=0)
    start = np.concatenate([np.full(b - a, a) for a, b in stretch_ranges(session)])[:, None]
    longest = int(hold_s / float(session.attrs["bin_width_s"]) + 1e-9)
    found = (last >= start) & (bins - last <= longest)
    return np.where(found, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)


def fit_scaling(
    session: xr.Dataset, columns: tuple[str, ...], splits: Splits, kind: str = "training"
) -> Scaling:
    """Means and standard deviations over the training part alone; those of the activity alone for ``paper``.

    Raises
    ------
    InputError
        If a column or the frames are constant in the training part, a column has no value in it, or a
        unit has no spike in it (or constant fluorescence); for ``paper`` if the session is not in files.
    """
    check_scaling("fit_scaling", "kind", kind)
    if kind == "paper":
        _check_files(session)
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
    scaling = Scaling(
        columns=tuple(columns),
        mean=tuple(np.nanmean(inside, axis=0).tolist()) if columns else (),
        sd=tuple(np.nanstd(inside, axis=0).tolist()) if columns else (),
        filled=tuple(np.isnan(table).mean(axis=0).tolist()),
        frame_mean=float(frame_mean),
        frame_sd=frame_sd,
        activity_mean=tuple(activity.mean(axis=0).tolist()),
        activity_sd=tuple(activity.std(axis=0).tolist()),
        kind=kind,
    )
    if kind == "training":
        return scaling
    n = len(columns)
    return replace(scaling, mean=(0.0,) * n, sd=(1.0,) * n, frame_mean=0.0, frame_sd=1.0)


def scaled_behavior(session: xr.Dataset, scaling: Scaling) -> np.ndarray:
    """The columns as a model reads them, float32, shape (time, column); see the top of this module."""
    if scaling.kind == "paper":
        _check_files(session)
        return behavior_table(session, scaling.columns, missing=0.0).astype(np.float32)
    table = behavior_table(session, scaling.columns, hold_s=HOLD_S)
    table = (table - np.array(scaling.mean)) / np.array(scaling.sd)
    return np.nan_to_num(table, nan=0.0).astype(np.float32)


def frame_range(session: xr.Dataset, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """The grey value that becomes 0 in each bin's frame and the difference that becomes 1, float32, (time,).

    Raises
    ------
    InputError
        For ``paper``, if the session is not in files, or all pixels of a file are the same.
    """
    n = session.sizes["time"]
    if scaling.kind == "training":
        return np.full(n, scaling.frame_mean, np.float32), np.full(n, scaling.frame_sd, np.float32)
    _check_files(session)
    frames, low, span = session["frames"].values, np.empty(n, np.float32), np.empty(n, np.float32)
    for a, b in stretch_ranges(session):
        darkest, brightest = float(frames[a:b].min()), float(frames[a:b].max())
        if darkest == brightest:
            found = f"only {darkest:g} in the file that starts at bin {a}"
            raise InputError("session", "frames", "pixels that differ within each file", found)
        low[a:b], span[a:b] = darkest, brightest - darkest
    return low, span


def scaled_frames(session: xr.Dataset, scaling: Scaling, bins: np.ndarray) -> np.ndarray:
    """Frames of some bins as a model sees them, float32, shape (bin, y, x)."""
    low, span = (figure[bins, None, None] for figure in frame_range(session, scaling))
    return (session["frames"].values[bins].astype(np.float32) - low) / span


def _check_files(session: xr.Dataset) -> None:
    """Each stretch is a file: all its bins are of one part."""
    if "part" not in session.coords or session["part"].dims != ("time",):
        expected = "a coordinate over time that says of each bin what part its file is of (scaling 'paper')"
        raise InputError("session", "part", expected, "none")
    part = session["part"].values
    for a, b in stretch_ranges(session):
        if (part[a:b] != part[a]).any():
            raise InputError("session", "part", "one value in a stretch", f"two from bin {a} to {b - 1}")

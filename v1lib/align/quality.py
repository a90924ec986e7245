"""Whether to trust an alignment: what a laboratory can check on a recording that has no truth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from v1lib.errors import InputError
from v1lib.recording import Recording


class _Limit(NamedTuple):
    """Up to where a figure is good and from where on it is bad; where `good` is the larger, downward."""

    good: float
    bad: float
    unit: str


#: A tenth of a bin of 48 ms is lost among the latencies of units; half a bin moves spikes to other frames.
LIMITS = {
    "eye against head, r": _Limit(0.7, 0.4, ""),
    "clock, standard error at either end": _Limit(5.0, 24.0, "ms"),
    "largest lag left in a minute": _Limit(5.0, 24.0, "ms"),
    "minutes without a lag of their own": _Limit(20.0, 50.0, "%"),
    "jumps of the clock": _Limit(0.0, 3.0, ""),
    "eye tracked": _Limit(80.0, 50.0, "% of frames"),
    "acceleration, median norm off one g": _Limit(0.03, 0.10, "g"),
    "inertial sensor at full scale or stuck": _Limit(0.1, 5.0, "% of samples"),
    "bins without frames": _Limit(1.0, 10.0, "%"),
    "speeds that are tracking errors": _Limit(1.0, 10.0, "%"),
    "phi against pitch, r": _Limit(-0.3, 0.0, ""),
}

_NEEDED = (
    "bins_without_frames",
    "clock_drift_se_ppm",
    "clock_jumps",
    "clock_offset_se_s",
    "clock_quality",
    "imu_masked",
    "speed_masked",
)


def judge_alignment(recording: Recording, session: xr.Dataset, residuals: xr.Dataset) -> pd.DataFrame:
    """What can be checked of an alignment without a truth, and what to make of it.

    Parameters
    ----------
    recording : Recording
    session : xarray.Dataset
        From :func:`v1lib.align` of this recording.
    residuals : xarray.Dataset
        From :func:`v1lib.align.clocks.clock_residuals` under the session's clock.

    Returns
    -------
    pandas.DataFrame
        One row a check: ``found``, what is ``good`` and what is ``bad``, ``unit`` and ``verdict``: ``good``,
        ``look`` (between the two) or ``bad``; ``not measured`` where the figure cannot be had. The limits are
        :data:`LIMITS`; those on times are a tenth and a half of a bin of 48 ms, the others this library's
        choice. The largest lag left is what it is beyond two of its standard errors. No check sees an error
        that is the same in all minutes, such as the eye's own lag.

    Raises
    ------
    InputError
        For a session that lacks the attributes of an alignment, phi or pitch.
    """
    _check_session(session)
    attributes = session.attrs
    # In its middle a recording knows its clock best; towards either end the drift's error adds up.
    half = 0.5 * float(session["time"][-1])
    errors = attributes["clock_offset_se_s"], 1e-6 * attributes["clock_drift_se_ppm"] * half
    left = 1000 * (np.abs(residuals["lag"].values) - 2 * residuals["lag_se"].values)
    norm = np.linalg.norm(recording.imu["acc"].values, axis=1)
    behavior = session["behavior"]
    tilted = xr.corr(behavior.sel(variable="phi"), behavior.sel(variable="pitch"))
    n_bins = session.sizes["time"] + attributes["bins_without_frames"]
    jumps = attributes["clock_jumps"]
    found = (
        attributes["clock_quality"],
        1000 * float(np.max(errors)),  # NaN where one of them is
        max(float(np.nanmax(left)), 0.0) if np.isfinite(left).any() else np.nan,
        100 * float(np.isnan(left).mean()),
        0 if isinstance(jumps, str) and jumps == "none" else len(np.atleast_1d(jumps)),
        100 * float(np.isfinite(recording.eye["X0"]).mean()),
        abs(float(np.nanmedian(norm)) - 1),
        100 * attributes["imu_masked"],
        100 * attributes["bins_without_frames"] / n_bins,
        100 * attributes["speed_masked"],
        float(tilted),
    )
    rows = {
        name: [value, *_bounds(limit), limit.unit, _verdict(value, limit)]
        for (name, limit), value in zip(LIMITS.items(), found, strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["found", "good", "bad", "unit", "verdict"])


def _check_session(session: xr.Dataset) -> None:
    """Refuse a session that lacks what is judged."""
    missing = [name for name in _NEEDED if name not in session.attrs]
    if missing:
        expected = f"the attributes of an alignment, {', '.join(_NEEDED)}"
        raise InputError("session", "attributes", expected, f"none of the name {', '.join(missing)}")
    present = session["variable"].values.tolist() if "variable" in session.coords else []
    if not {"phi", "pitch"} <= set(present):
        raise InputError("session", "behavior", "phi and pitch among its variables", f"only {present}")


def _bounds(limit: _Limit) -> tuple[str, str]:
    """What is good and what is bad, in words."""
    good, bad = ("≤", "≥") if limit.bad > limit.good else ("≥", "≤")
    return f"{good} {limit.good:g}", f"{bad} {limit.bad:g}"


def _verdict(value: float, limit: _Limit) -> str:
    """Where a value lies between what is good and what is bad."""
    if not np.isfinite(value):
        return "not measured"
    sign = 1 if limit.bad > limit.good else -1
    if sign * value <= sign * limit.good:
        return "good"
    return "look" if sign * value < sign * limit.bad else "bad"

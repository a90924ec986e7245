"""Receptive fields by regression of spike counts on frames, and frames as the retina had them."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import torch
import xarray as xr

from v1lib.errors import InputError
from v1lib.models.encoding import warp
from v1lib.session import stretch_ranges


def check_bins(where: str, bins: np.ndarray, session: xr.Dataset) -> np.ndarray:
    """`bins` as an array of bin numbers of the session, or a refusal that names `where`."""
    numbers, n = np.asarray(bins), session.sizes["time"]
    expected = f"a row of whole numbers from 0 to {n - 1}"
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not numbers.size:
        raise InputError(where, "bins", expected, f"{numbers.dtype} of shape {numbers.shape}")
    if numbers.min() < 0 or numbers.max() >= n:
        raise InputError(where, "bins", expected, f"{numbers.min()} to {numbers.max()}")
    return numbers


def gaze_corrected(
    session: xr.Dataset, shift_x: np.ndarray, shift_y: np.ndarray, rotation: np.ndarray
) -> xr.DataArray:
    """The frames of a session moved by a known movement of the retinal image.

    Parameters
    ----------
    session : xarray.Dataset
    shift_x, shift_y : (time,) arrays
        px, to the right and down.
    rotation : (time,) array
        deg, around the middle of the frame, from x towards y (clockwise as seen).

    Returns
    -------
    xarray.DataArray, dims (time, y, x), float32
        Grey levels; the mean grey of the session's frames where the camera saw nothing.

    Raises
    ------
    InputError
        If a movement has not one finite number a bin.
    """
    frames = session["frames"].values
    for name, trace in (("shift_x", shift_x), ("shift_y", shift_y), ("rotation", rotation)):
        if np.shape(trace) != (len(frames),):
            expected = f"shape {(len(frames),)}, one number a bin"
            raise InputError("gaze_corrected", name, expected, f"{np.shape(trace)}")
        if not np.isfinite(trace).all():
            missing = int((~np.isfinite(trace)).sum())
            raise InputError("gaze_corrected", name, "finite numbers", f"{missing} NaN or infinite")
    height, width = frames.shape[1:]
    grey = float(frames.mean())
    shift = torch.tensor(np.stack([shift_x, shift_y, rotation], axis=1), dtype=torch.float32)
    moved = np.empty(frames.shape, np.float32)
    for start in range(0, len(frames), 2048):
        part = slice(start, start + 2048)
        pictures = torch.from_numpy(frames[part].astype(np.float32) - grey)[:, None]
        # Zero, which the warp puts outside the frame, is the mean here.
        moved[part] = warp(pictures, shift[part], ((width - 1) / 2, (height - 1) / 2))[:, 0].numpy() + grey
    return xr.DataArray(moved, {"time": session["time"]}, ("time", "y", "x"))


def linear_fields(
    session: xr.Dataset,
    frames: xr.DataArray | None = None,
    *,
    bins: np.ndarray | None = None,
    lag: int = 1,
    ridge: float = 0.01,
) -> xr.DataArray:
    """The linear filter of each unit: ridge regression of its activity on the frames of `lag` bins before.

    In natural scenes neighbouring pixels resemble each other, so the plain spike-triggered average of a
    unit is a blurred copy of its receptive field; regression takes these correlations out.

    Parameters
    ----------
    session : xarray.Dataset
    frames : xarray.DataArray, dims (time, y, x), optional
        In place of the session's frames, such as those of :func:`gaze_corrected`.
    bins : array of bin numbers, optional
        Only the activity of these bins is regressed, such as that of a part which trained nothing.
    lag : int
        Bins from frame to activity.
    ridge : float
        Penalty on the squared filter, as a share of the mean variance of a pixel; above 0.

    Returns
    -------
    xarray.DataArray, dims (unit, y, x)
        Each of unit norm; positive where light raises the activity.

    Raises
    ------
    InputError
        Where frames, bins or lag do not fit the session, `ridge` is not positive, or the frames or a unit
        do not vary in the bins.
    """
    if not (np.isfinite(ridge) and ridge > 0):
        raise InputError("linear_fields", "ridge", "a positive number", str(ridge))
    shown = session["frames"] if frames is None else frames
    if shown.dims != ("time", "y", "x"):
        raise InputError("linear_fields", "frames", "dimensions ('time', 'y', 'x')", str(shown.dims))
    if shown.sizes["time"] != session.sizes["time"]:
        found = f"{shown.sizes['time']}"
        raise InputError("linear_fields", "frames", f"{session.sizes['time']} frames, one a bin", found)
    usable = isinstance(lag, Integral) and lag >= 0
    starts = [np.arange(a, b - lag) for a, b in stretch_ranges(session) if usable and b - a > lag]
    if not starts:
        raise InputError("linear_fields", "lag", "0 or more bins, fewer than a stretch has", str(lag))
    before = np.concatenate(starts)
    if bins is not None:
        before = before[np.isin(before + lag, check_bins("linear_fields", bins, session))]
        if not before.size:
            raise InputError("linear_fields", "bins", "bins of the session with a frame before them", "none")
    seen = shown.values[before].reshape(before.size, -1).astype(np.float64)
    if not np.isfinite(seen).all():
        raise InputError("linear_fields", "frames", "finite values", "NaN or infinity")
    if not np.ptp(seen, axis=0).any():
        raise InputError("linear_fields", "frames", "frames that change in these bins", "one throughout")
    seen -= seen.mean(axis=0)
    answers = session["activity"].values[before + lag].astype(np.float64)
    still = np.ptp(answers, axis=0) == 0
    if still.any():
        unit = session["unit"].values[still.argmax()]
        raise InputError("linear_fields", f"unit {unit}", "activity that varies in these bins", "a constant")
    answers -= answers.mean(axis=0)
    covariance = seen.T @ seen / before.size
    penalty = ridge * np.trace(covariance) / len(covariance)
    filters = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), seen.T @ answers / before.size)
    fields = filters.T.reshape(-1, *shown.shape[1:])
    fields /= np.linalg.norm(fields, axis=(1, 2), keepdims=True)
    return xr.DataArray(fields, {"unit": session["unit"]}, ("unit", "y", "x"), "receptive_field")

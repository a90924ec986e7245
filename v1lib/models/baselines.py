"""Models that a network has to beat, and one that nothing honest can be judged by."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from v1lib.errors import InputError
from v1lib.splits import Splits


def neighbor_rate(session: xr.Dataset, splits: Splits, *, reach_s: float = 0.5) -> xr.DataArray:
    """The mean activity of the training bins around each bin: a model that knows time and nothing else.

    Activity changes slowly, so a test bin between two training bins is predicted by them. What such a copy
    scores is what a split leaks.

    Parameters
    ----------
    session : xarray.Dataset
    splits : Splits
        Only its training bins are read.
    reach_s : float
        Standard deviation of the Gaussian weight over time, s; it ends at four of them.

    Returns
    -------
    xarray.DataArray, dims (time, unit)
        The training part's mean where no training bin is within reach.

    Raises
    ------
    InputError
        If `reach_s` is not a positive number.
    """
    if not (np.isfinite(reach_s) and reach_s > 0):
        raise InputError("neighbor_rate", "reach_s", "a positive number of seconds", str(reach_s))
    there = splits.mask("train", session.sizes["time"])
    activity = session["activity"].values.astype(np.float64)
    mean = activity[there].mean(axis=0)
    sd = reach_s / float(session.attrs["bin_width_s"])
    deviation = gaussian_filter1d(np.where(there[:, None], activity - mean, 0.0), sd, axis=0, mode="constant")
    weight = gaussian_filter1d(there.astype(float), sd, mode="constant")[:, None]
    near = np.divide(deviation, weight, out=np.zeros_like(deviation), where=weight > 1e-6)
    return xr.DataArray(mean + near, {"time": session["time"], "unit": session["unit"]}, ("time", "unit"))

"""Predictions of the same bins, wherever they come from: r of each, and how far the first is ahead."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.bootstrap import (
    BLOCK_S,
    LEVEL,
    block_bins,
    block_sums,
    bootstrap_r,
    interval,
    mean_of_finite,
    resample_units,
)
from v1lib.errors import InputError
from v1lib.metrics import r_from_sums, smoothed, smoothing_bins
from v1lib.splits import Ranges


def compare_predictions(
    predictions: dict[str, xr.DataArray],
    session: xr.Dataset,
    ranges: Ranges,
    *,
    smooth_s: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """r of each prediction over ranges of bins, with intervals, and differences to the first.

    What runs of different splits made can be compared, on bins that none of them was fitted to.

    Parameters
    ----------
    predictions : dict of xarray.DataArray, dims (time, unit)
        By name, on the session's bins and units; those outside `ranges` may be NaN.
    session : xarray.Dataset
    ranges : half-open ranges of bins
        The boxcar stays inside each; a range shorter than it gives nothing.
    smooth_s : float
        Boxcar in seconds before r is taken; 0 for raw r.
    seed : int
        Of the bootstrap: in one draw all predictions have the same blocks of about 10 s, and the same units.

    Returns
    -------
    xarray.Dataset, dims model, unit (and ``bound``: low, high)
        ``r`` (model, unit), NaN for a unit that does not vary there or is predicted by a constant, which is
        left out of the means; ``mean_r`` (model) and ``mean_r_interval`` (model, bound); ``difference``
        (model), the mean over units of the first's r less this one's, and ``difference_interval`` (model,
        bound).
        Attributes: ``n_bins``, ``n_blocks``, ``smooth_s``, ``block_s``, ``level``.

    Raises
    ------
    InputError
        If there is no prediction, one has other bins or units than the session or is not finite in the
        ranges, or no range is as long as the boxcar.
    """
    where = "compare_predictions"
    if not predictions:
        raise InputError(where, "predictions", "at least one", "none")
    width = float(session.attrs["bin_width_s"])
    bins, block = smoothing_bins(where, smooth_s, width), block_bins(width)
    segments = [np.arange(start, stop) for start, stop in ranges]
    counts = smoothed(where, session["activity"].values.astype(np.float64), segments, bins)
    r, draws = [], []
    for name, one in predictions.items():
        _check(name, one, session, segments)
        sums = block_sums(smoothed(where, one.values.astype(np.float64), segments, bins), counts, block)
        r.append(r_from_sums(sums.sum(axis=0)))
        draws.append(bootstrap_r(sums, np.random.default_rng(seed)))

    def over_units(drawn: np.ndarray) -> np.ndarray:
        return interval(resample_units(drawn, np.random.default_rng(seed + 1)))

    return xr.Dataset(
        {
            "r": (("model", "unit"), np.stack(r)),
            "mean_r": ("model", mean_of_finite(np.stack(r))),
            "mean_r_interval": (("model", "bound"), np.stack([over_units(one) for one in draws])),
            "difference": ("model", mean_of_finite(r[0] - np.stack(r))),
            "difference_interval": (
                ("model", "bound"),
                np.stack([over_units(draws[0] - one) for one in draws]),
            ),
        },
        {"model": list(predictions), "unit": session["unit"], "bound": ["low", "high"]},
        {
            "n_bins": sum(len(part) for part in counts),
            "n_blocks": len(sums),
            "smooth_s": smooth_s,
            "block_s": BLOCK_S,
            "level": LEVEL,
        },
    )


def _check(name: str, one: xr.DataArray, session: xr.Dataset, segments: list[np.ndarray]) -> None:
    if one.dims != ("time", "unit"):
        raise InputError("compare_predictions", name, "dimensions ('time', 'unit')", str(one.dims))
    for dim in one.dims:
        if not np.array_equal(one[dim], session[dim]):
            expected = f"the session's {session.sizes[dim]} labels of {dim}"
            raise InputError("compare_predictions", name, expected, "others")
    if not np.isfinite(one.values[np.concatenate(segments)]).all():
        raise InputError("compare_predictions", name, "finite values in the ranges", "NaN or infinity")

"""Measures of how well one trace predicts another, each unit for itself, without intervals or runs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.errors import InputError
from v1lib.splits import Ranges

#: Bins to score, one array a range of neighbouring bins.
Segments = list[np.ndarray]


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r of each column, shape (unit,), from two arrays (time, unit); NaN for a constant column."""
    return r_from_sums(pair_sums(centered(a), centered(b)))


def centered(values: np.ndarray) -> np.ndarray:
    """Deviations of each column from its mean; exactly 0 in a column that varies by no more than rounding."""
    mean = values.mean(axis=0)
    return np.where(np.ptp(values, axis=0) > 1e-9 * np.abs(mean), values - mean, 0.0)


def pair_sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What r needs: n, sums, squares and products of the columns, shape (6, unit)."""
    n = np.full(a.shape[1], float(a.shape[0]))
    return np.stack([n, a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)])


def r_from_sums(sums: np.ndarray) -> np.ndarray:
    """Pearson's r from sums (..., 6, unit), shape (..., unit); NaN for a constant column."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -2, 0)
    va, vb = aa - a * a / n, bb - b * b / n
    # A column is constant if its variance is lost in the rounding of its squares.
    ok = (va > 1e-12 * np.abs(aa)) & (vb > 1e-12 * np.abs(bb))
    return np.where(ok, (ab - a * b / n) / np.sqrt(np.where(ok, va * vb, 1.0)), np.nan)


def smooth(values: np.ndarray, bins: int) -> np.ndarray:
    """Boxcar mean over time, only where the whole boxcar fits: (time, unit) -> (time - bins + 1, unit)."""
    total = np.cumsum(np.pad(values.astype(np.float64), ((1, 0), (0, 0))), axis=0)
    return (total[bins:] - total[:-bins]) / bins


def smooth_over_ends(values: np.ndarray, bins: int) -> np.ndarray:
    """Boxcar mean over time as the paper takes it, with zeros beyond both ends: (time, unit), as it came.

    Bin by bin ``numpy.convolve(column, ones / bins, mode="same")``.
    """
    return np.apply_along_axis(np.convolve, 0, values.astype(np.float64), np.full(bins, 1 / bins), "same")


def smoothed(where: str, values: np.ndarray, segments: Segments, bins: int) -> list[np.ndarray]:
    """Values of each segment smoothed inside it; segments shorter than the boxcar give nothing."""
    kept = [smooth(values[segment], bins) for segment in segments if segment.size >= bins]
    if not kept:
        raise InputError(where, "ranges", f"a range of at least {bins} bins, the boxcar", "only shorter ones")
    return kept


def smoothing_bins(where: str, smooth_s: float, width: float) -> int:
    """Bins of a boxcar of so many seconds, at least 1."""
    if not (np.isfinite(smooth_s) and smooth_s >= 0):
        raise InputError(where, "smooth_s", "a finite number of seconds, 0 or more", str(smooth_s))
    return max(1, int(smooth_s / width + 1e-9))


def r_within(
    prediction: xr.DataArray, session: xr.Dataset, ranges: Ranges, *, smooth_s: float = 0.0
) -> np.ndarray:
    """r of each unit between any prediction and the activity over ranges of bins, shape (unit,).

    Parameters
    ----------
    prediction : xarray.DataArray, dims (time, unit)
        On the session's bins.
    session : xarray.Dataset
    ranges : half-open ranges of bins
        The boxcar stays inside each; a range shorter than it gives nothing.
    smooth_s : float
        Boxcar in seconds; 0 for raw r.

    Returns
    -------
    numpy.ndarray
        NaN for a unit whose prediction or activity is constant there.
    """
    bins = smoothing_bins("r_within", smooth_s, float(session.attrs["bin_width_s"]))
    segments = [np.arange(start, stop) for start, stop in ranges]
    pairs = (prediction.values.astype(np.float64), session["activity"].values.astype(np.float64))
    made, counts = (np.concatenate(smoothed("r_within", values, segments, bins)) for values in pairs)
    return pearson(made, counts)


def bits_per_spike(rates: np.ndarray, counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Poisson log-likelihood of rates over that of a constant rate, in bits a spike; NaN without spikes.

    Parameters
    ----------
    rates, counts : (time, unit), a bin
    mean : (unit,), the constant rate of the model to compare with
    """
    return bits_from_sums(poisson_gain(rates, counts, mean).sum(axis=0), counts.sum(axis=0))


def poisson_gain(rates: np.ndarray, counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Poisson log-likelihood of rates less that of a constant rate, nats in each bin, shape (time, unit)."""
    tiny = np.finfo(np.float32).tiny  # a predicted rate of exactly 0 costs much, not infinitely much
    return counts * (np.log(np.maximum(rates, tiny)) - np.log(mean)) - (rates - mean)


def bits_from_sums(gain: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """Bits a spike from summed gains (nats) and spikes of one shape; NaN without spikes."""
    return np.where(spikes > 0, gain / (np.log(2) * np.where(spikes > 0, spikes, 1)), np.nan)

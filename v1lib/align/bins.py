"""Bins of time: what a stream's samples and a unit's spikes amount to in each.

A bin is half-open: what happens exactly on an edge belongs to the later bin.
"""

from __future__ import annotations

import numpy as np


def bin_edges(start: float, stop: float, width: float) -> np.ndarray:
    """Edges of the whole bins of `width` s that fit between `start` and `stop`, (n + 1,)."""
    # A thousandth of a bin of slack keeps rounding from costing the last bin.
    n = int((stop - start) / width + 1e-3)
    return start + width * np.arange(n + 1)


def count_spikes(times: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Spikes in each bin, (n,); all spikes between the first and the last edge are counted once."""
    return np.diff(np.searchsorted(times, edges, side="left"))


def mean_in_bins(time: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the measured samples in each bin, (n,); NaN where a bin holds none."""
    measured = np.isfinite(values)
    number = np.searchsorted(edges, time[measured], side="right") - 1
    inside = (number >= 0) & (number < edges.size - 1)
    number, values = number[inside], values[measured][inside]
    total = np.bincount(number, weights=values, minlength=edges.size - 1)
    count = np.bincount(number, minlength=edges.size - 1)
    return np.divide(total, count, out=np.full(edges.size - 1, np.nan), where=count > 0)

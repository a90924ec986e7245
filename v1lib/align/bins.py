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
    """Spikes in each bin, (n,); every spike from the first edge on and before the last is counted once.

    Parameters
    ----------
    times : array
        Spike times, s, in any order.
    edges : (n + 1,) array
        Edges of the bins, s. A spike is compared with the edges as the doubles they are: one that equals
        ``edges[k]`` is in bin k.
    """
    number, inside = _bin_numbers(times, edges)
    return np.bincount(number[inside], minlength=edges.size - 1)


def mean_in_bins(time: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the measured samples in each bin, (n,); NaN where a bin holds none."""
    measured = np.isfinite(values)
    number, inside = _bin_numbers(time[measured], edges)
    number, values = number[inside], values[measured][inside]
    total = np.bincount(number, weights=values, minlength=edges.size - 1)
    count = np.bincount(number, minlength=edges.size - 1)
    return np.divide(total, count, out=np.full(edges.size - 1, np.nan), where=count > 0)


def _bin_numbers(times: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the bin of each time, and whether there is such a bin, both (m,)."""
    number = np.searchsorted(edges, times, side="right") - 1
    return number, (number >= 0) & (number < edges.size - 1)

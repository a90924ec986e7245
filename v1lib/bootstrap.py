"""Intervals of scores: blocks of neighbouring bins drawn anew, and for means the units too.

Bins of neural activity are not independent, so a bootstrap of bins promises intervals that are too narrow.
Blocks of about 10 s are longer than most of what makes neighbouring bins alike.
Source: Künsch 1989, The Annals of Statistics 17, with blocks that do not overlap (Carlstein 1986, ibid. 14).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from v1lib.metrics import centered, pair_sums, r_from_sums

BLOCK_S = 10.0
N_BOOTSTRAP = 2000
LEVEL = 0.95


def block_bins(bin_width_s: float) -> int:
    """Bins of a block of ``BLOCK_S``."""
    return max(1, round(BLOCK_S / bin_width_s))


def in_blocks(parts: list[np.ndarray], block: int) -> list[np.ndarray]:
    """Each part (time, ...) cut into equal pieces of about `block` bins."""
    return [piece for part in parts for piece in np.array_split(part, max(1, round(len(part) / block)))]


def block_sums(made: list[np.ndarray], counts: list[np.ndarray], block: int) -> np.ndarray:
    """What r needs (:func:`v1lib.metrics.pair_sums`) of each block, measured from the overall means.

    Parameters
    ----------
    made, counts : lists of arrays (time, unit), one a segment
    block : int
        Segments are cut into equal pieces of about so many bins.

    Returns
    -------
    numpy.ndarray, shape (block, 6, unit)
    """
    # Measured from the overall means, so that the squares keep their digits.
    ends = np.cumsum([len(part) for part in made])[:-1]
    a, b = (in_blocks(np.split(centered(np.concatenate(parts)), ends), block) for parts in (made, counts))
    return np.stack([pair_sums(x, y) for x, y in zip(a, b, strict=True)])


def draw_blocks(n: int, rng: np.random.Generator) -> np.ndarray:
    """How often each draw holds each of n blocks, float64, shape (draw, block).

    NaN for a single block, which tells nothing about how blocks differ.
    """
    if n < 2:
        return np.full((N_BOOTSTRAP, n), np.nan)
    return rng.multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP).astype(np.float64)


def bootstrap_r(sums: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """r of resampled blocks, shape (draw, unit), from block sums (block, 6, unit)."""
    return r_from_sums(np.tensordot(draw_blocks(len(sums), rng), sums, 1))


def resample_units(draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean over units drawn anew in each draw, shape (draw,), from (draw, unit)."""
    chosen = rng.integers(draws.shape[1], size=draws.shape)
    return mean_of_finite(np.take_along_axis(draws, chosen, axis=1))


def mean_of_finite(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is, as for units that do not vary."""
    there = ~np.isnan(values)
    n = there.sum(axis=-1)
    return np.where(n > 0, np.where(there, values, 0.0).sum(axis=-1) / np.maximum(n, 1), np.nan)


def interval(draws: np.ndarray, method: Literal["linear", "inverted_cdf"] = "linear") -> np.ndarray:
    """Percentile interval over the first axis, shape (2, ...); NaN where every draw is.

    `method` is that of :func:`numpy.percentile`; ``inverted_cdf`` also orders infinite draws.
    """
    tail = 100 * (1 - LEVEL) / 2
    there = ~np.isnan(draws).all(axis=0)
    found = np.full((2, *draws.shape[1:]), np.nan)
    found[:, there] = np.nanpercentile(draws[:, there], [tail, 100 - tail], axis=0, method=method)
    return found

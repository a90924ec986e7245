"""How certain a mean over animals, units, fits and time is, and how often its interval holds the truth.

Units and blocks of time are those of an animal, and so is what a seed adds, for each seed is one fit of each
animal. Within an animal they are crossed: a fit predicts every unit in every block. An average over all of
them varies with each and with their interactions, so its variance is put together from mean squares by the
method of moments (Searle, Casella and McCulloch 1992, *Variance Components*, ch. 4) and Satterthwaite's
degrees of freedom (1946, Biometrics Bulletin 2). Of r, which is no average, the mean squares are those of
jackknife pseudo-values over blocks (Tukey; Efron and Stein 1981, The Annals of Statistics 9).
"""

from __future__ import annotations

from itertools import combinations
from math import prod
from typing import Literal

import numpy as np
from scipy.stats import t as student

from v1lib.bootstrap import N_BOOTSTRAP, draw_blocks
from v1lib.metrics import r_from_sums

#: Axes of the values of an animal.
LEVELS = ("seed", "unit", "block")
#: Some of the levels, and for each such set a mean square with its degrees of freedom.
Levels = tuple[str, ...]
MeanSquares = dict[Levels, tuple[float, float]]
Animals = Literal["random", "fixed"]


def r_by_block(sums: np.ndarray) -> np.ndarray:
    """What each block of time says of r: jackknife pseudo-values n r − (n − 1) r without the block.

    Parameters
    ----------
    sums : array, shape (..., block, 6)
        :func:`v1lib.metrics.pair_sums` of each block.

    Returns
    -------
    numpy.ndarray, shape (..., block)
        Their mean is r less its bias of order 1 / n. r itself for a single block; NaN where r is undefined
        without the block.
    """
    total = sums.sum(axis=-2, keepdims=True)
    n = sums.shape[-2]
    if n == 1:
        return _r(total)
    return n * _r(total) - (n - 1) * _r(total - sums)


def mean_squares(values: np.ndarray) -> MeanSquares:
    """Mean square of each set of levels, as a share of the variance of the mean of all values.

    Parameters
    ----------
    values : array, shape (seed, unit, block)

    Returns
    -------
    dict of pairs
        Mean square and its degrees of freedom by levels, of which single ones (of size 1) are absent. For
        units alone it is the variance between units' means over the number of units.
    """
    found = {}
    for levels in level_sets(values.shape):
        axes = [LEVELS.index(level) for level in levels]
        part = values.mean(axis=tuple(set(range(3)) - set(axes)), keepdims=True)
        for axis in axes:
            part = part - part.mean(axis=axis, keepdims=True)
        df = degrees(levels, values.shape)
        found[levels] = (float((part**2).sum() / df / part.size), float(df))
    return found


def pooled(each: list[MeanSquares]) -> MeanSquares:
    """Mean squares of the mean over animals from those of each animal; empty if one has none."""
    if not all(each):
        return {}
    found = {}
    for levels in dict.fromkeys(levels for one in each for levels in one):
        parts = np.array([one[levels] for one in each if levels in one])
        square, df = parts[:, 0].sum(), parts[:, 1]
        spread = float((parts[:, 0] ** 2 / df).sum())
        found[levels] = (float(square / len(each) ** 2), square**2 / spread if spread else df.sum())
    return found


def components(squares: MeanSquares) -> dict[Levels, float]:
    """What each level and interaction adds to the variance of the mean, unbiased, from mean squares.

    A mean square holds its own component and those of all interactions that it is part of, each divided by
    the number of cells; sums of alternating sign leave its own, which by chance can be below 0.
    """
    found = {}
    for levels in squares:
        above = [more for more in squares if set(levels) <= set(more)]
        found[levels] = sum((-1) ** (len(more) - len(levels)) * squares[more][0] for more in above)
    return found


def variance_of_mean(squares: MeanSquares) -> tuple[float, float]:
    """Variance of a mean and Satterthwaite's degrees of freedom, from its mean squares.

    The mean squares of single levels together hold their interactions twice and more; the sum of the
    components holds them once. By chance it can be below one of the mean squares, each of which is a part of
    the variance: then that one stands for it. NaN for both where there are none.
    """
    if not squares:
        return np.nan, np.nan
    variance, largest = sum(components(squares).values()), max(squares.values())
    if variance <= largest[0]:
        return largest
    spread = sum(square**2 / df for square, df in squares.values())
    # Differences of mean squares can leave fewer degrees than the level with the fewest has.
    return variance, max(variance**2 / spread, min(df for _, df in squares.values()))


def degrees(levels: Levels, shape: tuple[int, ...]) -> int:
    """Degrees of freedom of the mean square of these levels in values of a shape (seed, unit, block)."""
    return prod(shape[LEVELS.index(level)] - 1 for level in levels)


def t_interval(
    means: list[float], squares: list[MeanSquares], animals: Animals, level: float
) -> tuple[float, float]:
    """Half the width of an interval of the mean over animals, and the p value of that mean against 0.

    Parameters
    ----------
    means : list of float, one an animal
    squares : list of dicts, one an animal
        From :func:`mean_squares`.
    animals : str
        ``fixed``: the mean of these animals, whose variance is that of units, blocks and seeds alone.
        ``random``: the mean of all animals of which these are a sample. The variance between their means
        holds that of units, blocks and seeds already (Davison and Hinkley 1997, *Bootstrap Methods*, 3.8),
        so that Student's t of as many degrees of freedom as animals less one is exact for normal means. It
        is never narrower, nor its p smaller, than with fixed animals, since what is unknown of these is
        unknown of all.
    level : float
        Error rate: the interval is one of 1 − `level`.

    Returns
    -------
    half, p : float
        Infinite and 1 where nothing says how the mean varies.
    """
    mean = float(np.mean(means))
    found = [_t(mean, *variance_of_mean(pooled(squares)), level)]
    if animals == "random":
        found.append(_t(mean, float(np.var(means, ddof=1)) / len(means), len(means) - 1, level))
    known = [pair for pair in found if np.isfinite(pair[0])]
    return (max(half for half, _ in known), max(p for _, p in known)) if known else (np.inf, 1.0)


def bootstrap_mean(
    values: list[np.ndarray], sums: list[tuple[np.ndarray, ...]], animals: Animals, seed: int
) -> np.ndarray:
    """Mean over animals in draws of the hierarchical bootstrap, shape (draw,).

    Animals are drawn with replacement where they are random; then units, blocks and seeds of each, all three
    independently (Owen 2007, The Annals of Applied Statistics 1). r is computed anew from the drawn blocks.

    Parameters
    ----------
    values : list of arrays (seed, unit), one an animal
    sums : list of tuples of arrays (seed, unit, block, 6), one tuple an animal
        Of one variant, or of two whose r are subtracted; empty for a score that has no blocks.
    animals : str
        ``random`` or ``fixed``.
    seed : int

    Notes
    -----
    A draw in which r of some unit is undefined is NaN.
    """
    rng = np.random.default_rng(seed)
    draws = np.stack([_animal_draws(*pair, rng) for pair in zip(values, sums, strict=True)])
    if animals == "fixed":
        return draws.mean(axis=0)
    # A second draw of an animal has units, blocks and seeds of its own.
    which = rng.integers(len(values), size=(len(values), N_BOOTSTRAP))
    return draws[which, rng.integers(N_BOOTSTRAP, size=which.shape)].mean(axis=0)


def _animal_draws(values: np.ndarray, sums: tuple[np.ndarray, ...], rng: np.random.Generator) -> np.ndarray:
    n_seeds, n_units = values.shape
    drawn = np.broadcast_to(values, (N_BOOTSTRAP, n_seeds, n_units))
    if sums and sums[0].shape[2] > 1:
        chosen = draw_blocks(sums[0].shape[2], rng)
        each = [_r(np.tensordot(chosen, np.moveaxis(one, 2, 0), 1)) for one in sums]
        drawn = each[0] - each[1] if len(each) == 2 else each[0]
    seeds, units = (rng.multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP) / n for n in (n_seeds, n_units))
    return np.einsum("dsu,ds,du->d", drawn, seeds, units, optimize=True)


def _r(sums: np.ndarray) -> np.ndarray:
    """r, shape (...), of sums (..., 6)."""
    return r_from_sums(np.moveaxis(sums, -1, -2))


def level_sets(shape: tuple[int, ...]) -> list[Levels]:
    """All sets of levels that are of more than one in a shape (seed, unit, block), single levels first."""
    several = [level for level, size in zip(LEVELS, shape, strict=True) if size > 1]
    return [levels for size in (1, 2, 3) for levels in combinations(several, size)]


def _t(mean: float, variance: float, df: float, level: float) -> tuple[float, float]:
    if np.isnan(variance):
        return np.inf, 1.0
    if variance == 0:
        return 0.0, float(mean == 0)
    error = float(np.sqrt(variance))
    return float(student.ppf(1 - level / 2, df)) * error, float(2 * student.sf(abs(mean) / error, df))

"""What a sweep says: means by variant with every spread beside them, and which differences are real.

All functions read the Dataset of :func:`v1lib.sweep.sweep`: scores (variant, seed, unit), ``unit_animal``
(unit), and for r the sums of each block of about 10 s of test time, ``block_sums`` (variant, seed, unit,
block, moment) with ``n_blocks`` (animal). Every animal counts the same, whatever the number of its units.

Intervals of two kinds stand side by side. ``interval`` is the one to believe: Student's t with the variance
of :mod:`v1lib.hierarchy`. ``bootstrap_interval`` is the percentile interval of the plain hierarchical
bootstrap, as it is common in the field: too narrow for few animals, since a few drawn from a few vary too
little, and too wide where noise of single fits and blocks is most of the spread, since it is drawn twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from scipy.stats import false_discovery_control

from v1lib.errors import InputError, check_real, check_whole
from v1lib.hierarchy import Animals, bootstrap_mean, mean_squares, t_interval
from v1lib.samples import Sample, compared_pairs, samples_of

Correction = Literal["holm", "benjamini-hochberg"]


def summarize(
    results: xr.Dataset, score: str = "r", *, animals: Animals = "random", level: float = 0.05, seed: int = 0
) -> xr.Dataset:
    """Mean score of each variant over all animals and in each, with its spread over units, seeds and animals.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`v1lib.sweep.sweep`.
    score : str
        A variable of it over variant, seed and unit, such as ``r`` or ``bits_per_spike``.
    animals, level, seed
        As in :func:`differences`.

    Returns
    -------
    xarray.Dataset, dims variant, animal and bound (low, high)
        In the unit of the score. ``animal_mean``: mean over units of the mean over seeds, with
        ``animal_interval``; ``sd_units`` (of units' means over seeds) and ``sd_seeds`` (of seeds' means over
        units), NaN for a single one; ``n_units``, ``n_seeds``, ``fits_left_out``, ``units_left_out``. Over
        animals: ``mean``, ``interval``, ``bootstrap_interval``, ``sd_animals`` (of animals' means),
        ``n_animals``, ``animals`` (random or fixed). Attributes as in :func:`differences`.

    Raises
    ------
    InputError
        If the score is not in the results, or r has no block sums.
    """
    _check("summarize", results, score, animals, level, seed)
    return _table(results, score, [(v,) for v in results["variant"].values], "variant", animals, level, seed)


def differences(
    results: xr.Dataset,
    reference: str | None = None,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    score: str = "r",
    animals: Animals = "random",
    correction: Correction = "holm",
    level: float = 0.05,
    seed: int = 0,
) -> xr.Dataset:
    """How much higher variants score than a reference on the same units, seeds and blocks of time.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`v1lib.sweep.sweep`.
    reference : str, optional
        The variant that all others are compared with.
    pairs : sequence of pairs of str
        Further comparisons, each first minus second. All comparisons of a call are one family.
    score : str
        A variable over variant, seed and unit. Only r has block sums, so only its intervals hold what is due
        to the stretch of time that was tested; the attribute ``not_in_intervals`` says so.
    animals : str
        ``random``: what holds for animals like these. ``fixed``: what holds for these, in other units, fits
        and time. With a single animal it is fixed, and the variable ``animals`` says so.
    correction : str
        ``holm``: the chance of any false verdict in the family is at most `level` (Holm 1979, Scandinavian
        Journal of Statistics 6). ``benjamini-hochberg``: the expected share of false ones among the verdicts
        is (Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57).
    level : float
        Error rate of verdicts, 0.001 to 0.5; each interval is one of 1 − `level`, not corrected.
    seed : int
        Of the bootstrap, which nothing but ``bootstrap_interval`` depends on.

    Returns
    -------
    xarray.Dataset, dims comparison, animal and bound (low, high)
        In the unit of the score: ``mean`` with ``interval`` and ``bootstrap_interval``, ``p``,
        ``p_corrected``, ``verdict`` (higher, lower or undecided), ``animals`` (random or fixed),
        ``n_animals``, ``sd_animals``. By animal: ``animal_mean`` with ``animal_interval`` (of that animal,
        fixed), ``sd_units``, ``sd_seeds``, ``n_units``, ``n_seeds``, and what is missing in either of the
        two: ``fits_left_out`` (seeds without a score in any unit) and ``units_left_out`` (units that in one
        of the other fits have no score, or none without one of the blocks). Coordinates ``variant`` and
        ``reference`` (comparison). A comparison that nothing is left of has NaN and is in no family.

    Raises
    ------
    InputError
        If a variant or the score is not in the results, r has no block sums, or nothing is to be compared.

    Notes
    -----
    So many 95 % intervals held the true difference in simulated sweeps (``benchmarks/interval_coverage.py``;
    100 sweeps a case, so that a share is known to 2 to 4 %; the tests of this module and of
    :mod:`v1lib.hierarchy` hold coverage from below). Random animals that differ by 0.05 in r: ``interval``
    0.96 and 0.94 of three animals with one and three seeds, 0.94 and 0.96 of ten; ``bootstrap_interval`` 0.92
    and 0.76, 0.92 and 0.93. One fixed animal: ``interval`` 0.90 to 0.99, ``bootstrap_interval`` 0.98 to 1.00,
    a third to four fifths wider. Two equal models: ``interval`` 0.99 to 1.00 for random animals, since it is
    never narrower than with fixed ones, 0.96 to 1.00 for fixed. Where seeds matter as much as units, 600
    intervals of one fixed animal: 0.91 with two seeds, 0.93 with three, 0.94 with eight, because
    Satterthwaite's degrees are approximate; 0.68 with one, whose interval is that of these fits and says
    nothing of others.
    """
    _check("differences", results, score, animals, level, seed)
    if correction not in ("holm", "benjamini-hochberg"):
        raise InputError("differences", "correction", "holm or benjamini-hochberg", repr(correction))
    compared = compared_pairs("differences", results, reference, pairs)
    found = _table(results, score, compared, "comparison", animals, level, seed)
    p = found["p"].values
    there = ~np.isnan(p)
    corrected = np.full_like(p, np.nan)
    if there.any():
        corrected[there] = (holm if correction == "holm" else false_discovery_control)(p[there])
    real = np.nan_to_num(corrected, nan=1.0) <= level
    verdict = np.where(real, np.where(found["mean"] > 0, "higher", "lower"), "undecided")
    found = found.assign(
        p_corrected=("comparison", corrected), verdict=("comparison", verdict)
    ).assign_coords(
        variant=("comparison", [pair[0] for pair in compared]),
        reference=("comparison", [pair[1] for pair in compared]),
    )
    return found.assign_attrs(correction=correction, n_comparisons=int(there.sum()))


def holm(p: np.ndarray) -> np.ndarray:
    """p values (comparison,) corrected by Holm's method, not above 1."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _table(
    results: xr.Dataset,
    score: str,
    rows: list[tuple[str, ...]],
    dim: str,
    animals: Animals,
    level: float,
    seed: int,
) -> xr.Dataset:
    """One row a variant or pair of variants, everything but the correction."""
    samples = [samples_of(results, score, row) for row in rows]
    by_row = [_over_animals(one, animals, level, seed) for one in samples]
    by_animal = [[_of_animal(sample, level) for sample in one] for one in samples]
    bounds = {"interval", "bootstrap_interval", "animal_interval"}
    found: dict[str, tuple] = {}
    dims: tuple[str, ...]
    for name in by_row[0]:
        dims = (dim, "bound") if name in bounds else (dim,)
        found[name] = (dims, np.array([row[name] for row in by_row]))
    for name in by_animal[0][0]:
        dims = (dim, "animal", "bound") if name in bounds else (dim, "animal")
        found[name] = (dims, np.array([[one[name] for one in row] for row in by_animal]))
    labels = [" − ".join(row) for row in rows]
    absent = [
        name
        for name, missing in {
            "time (the score has no block sums)": score != "r",
            "other fits (a single seed, fixed animals)": any(
                row["animals"] == "fixed" and any(len(s.values) == 1 for s in one)
                for row, one in zip(by_row, samples, strict=True)
            ),
            "other animals (fixed)": any(row["animals"] == "fixed" for row in by_row),
        }.items()
        if missing
    ]
    attrs = {"score": score, "level": level, "seed": seed, "not_in_intervals": "; ".join(absent) or "nothing"}
    coords = {dim: labels, "animal": results["animal"].values, "bound": ["low", "high"]}
    return xr.Dataset(found, coords, attrs)


def _of_animal(sample: Sample, level: float) -> dict[str, object]:
    """Variables by animal, of one animal and comparison."""
    values = sample.values
    n_seeds, n_units = values.shape
    found: dict[str, object] = {
        "animal_mean": np.nan,
        "animal_interval": (np.nan, np.nan),
        "sd_units": np.nan,
        "sd_seeds": np.nan,
        "n_units": n_units if n_seeds else 0,
        "n_seeds": n_seeds if n_units else 0,
        "fits_left_out": sample.fits_left_out,
        "units_left_out": sample.units_left_out,
    }
    if not values.size:
        return found
    mean = float(values.mean())
    half, _ = t_interval([mean], [mean_squares(sample.by_block)], "fixed", level)
    return found | {
        "animal_mean": mean,
        "animal_interval": (mean - half, mean + half),
        "sd_units": _sd(values.mean(axis=0)),
        "sd_seeds": _sd(values.mean(axis=1)),
    }


def _over_animals(samples: list[Sample], animals: Animals, level: float, seed: int) -> dict[str, object]:
    """Variables over all animals that anything is left of."""
    there = [sample for sample in samples if sample.values.size]
    scope: Animals = animals if len(there) > 1 else "fixed"
    found: dict[str, object] = {
        "mean": np.nan,
        "interval": (np.nan, np.nan),
        "bootstrap_interval": (np.nan, np.nan),
        "p": np.nan,
        "sd_animals": np.nan,
        "n_animals": len(there),
        "animals": scope,
    }
    if not there:
        return found
    means = [float(sample.values.mean()) for sample in there]
    mean = float(np.mean(means))
    half, p = t_interval(means, [mean_squares(one.by_block) for one in there], scope, level)
    drawn = bootstrap_mean([one.values for one in there], [one.sums for one in there], scope, seed)
    return found | {
        "mean": mean,
        "interval": (mean - half, mean + half),
        "bootstrap_interval": tuple(np.nanpercentile(drawn, [50 * level, 100 - 50 * level])),
        "p": p,
        "sd_animals": _sd(np.array(means)),
    }


def _sd(values: np.ndarray) -> float:
    """Standard deviation of a sample; NaN of a single value."""
    return float(values.std(ddof=1)) if values.size > 1 else np.nan


def _check(where: str, results: xr.Dataset, score: str, animals: str, level: float, seed: int) -> None:
    dims = {"variant", "seed", "unit"}
    scores = [str(name) for name, one in results.data_vars.items() if set(one.dims) == dims]
    if score not in scores:
        raise InputError(where, "score", f"one of {', '.join(scores)}", repr(score))
    if score == "r" and not {"block_sums", "n_blocks"} <= set(results):
        raise InputError(where, "block_sums", "sums of each block for the intervals of r", "none")
    if animals not in ("random", "fixed"):
        raise InputError(where, "animals", "random or fixed", repr(animals))
    check_real(where, "level", level, 0.001, 0.5)
    check_whole(where, "seed", seed, 0)

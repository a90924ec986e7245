"""What a sweep says: means by variant with every spread beside them, and which differences are real.

Functions read the Dataset of :func:`v1lib.sweep.sweep`: scores (variant, seed, unit), ``unit_animal``
(unit), and for r the sums of each block of about 10 s of test time, ``block_sums`` (variant, seed, unit,
block, moment) with ``n_blocks`` (animal). Every animal counts the same, whatever the number of its units.

Intervals of two kinds stand side by side. ``interval`` is the one to believe: Student's t with the variance
of :mod:`v1lib.hierarchy`. ``bootstrap_interval`` is the percentile interval of the plain hierarchical
bootstrap, as it is common in the field: too narrow for few animals, since a few drawn from a few vary too
little, and too wide where noise of single fits and blocks is most of the spread, since it is drawn twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from scipy.stats import false_discovery_control

from v1lib import published
from v1lib.bootstrap import mean_of_finite
from v1lib.errors import InputError, check_real, check_whole
from v1lib.hierarchy import Animals, bootstrap_mean, mean_squares, t_interval
from v1lib.samples import Sample, check_results, compared_pairs, comparison_labels, samples_of
from v1lib.variants import TABLES

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
    _check_correction("differences", correction)
    compared = compared_pairs("differences", results, reference, pairs)
    found = _table(results, score, compared, "comparison", animals, level, seed)
    return _judged(found, compared, correction, level)


def single_fits(
    results: xr.Dataset,
    reference: str | None = None,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    score: str = "r",
) -> xr.Dataset:
    """What a table of one fit each would have said, for every choice of the fits.

    Parameters
    ----------
    results, reference, pairs, score
        As in :func:`differences`.

    Returns
    -------
    xarray.Dataset, dims comparison, seed and other_seed
        In the unit of the score: ``difference``, the mean over animals of the mean over units, of the first's
        fit of `seed` less the second's of `other_seed`; NaN where an animal lacks either. ``mean`` of all
        these; ``turned``, the share of them whose sign is not that of the mean. Coordinates ``variant`` and
        ``reference`` (comparison).

    Raises
    ------
    InputError
        If a variant or the score is not in the results, or nothing is to be compared.
    """
    _check_score("single_fits", results, score)
    compared = compared_pairs("single_fits", results, reference, pairs)
    each = np.array([_fit_differences(results, score, *pair) for pair in compared])
    flat = each.reshape(len(compared), -1)
    mean = mean_of_finite(flat)
    turned = mean_of_finite(np.where(np.isnan(flat), np.nan, flat * mean[:, None] < 0))
    seeds = results["seed"].values
    return xr.Dataset(
        {
            "difference": (("comparison", "seed", "other_seed"), each),
            "mean": ("comparison", mean),
            "turned": ("comparison", turned),
        },
        {"comparison": comparison_labels(compared), "seed": seeds, "other_seed": seeds} | _sides(compared),
        {"score": score},
    )


def fits_apart(results: xr.Dataset, variant: str, *, score: str = "r") -> np.ndarray:
    """How far each two fits of the same variant are apart, the higher less the lower, one value a pair.

    Parameters
    ----------
    results, score
        As in :func:`differences`.
    variant : str

    Raises
    ------
    InputError
        If the variant or the score is not in the results.
    """
    _check_score("fits_apart", results, score)
    names = [str(name) for name in results["variant"].values]
    if variant not in names:
        raise InputError("fits_apart", "variant", f"one of {', '.join(names)}", repr(variant))
    found = _fit_differences(results, score, variant, variant)
    values = np.abs(found[np.triu_indices_from(found, 1)])
    return values[~np.isnan(values)]


def unit_differences(
    results: xr.Dataset,
    reference: str | None = None,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    correction: Correction = "holm",
    level: float = 0.05,
) -> xr.Dataset:
    """How much higher variants score on each unit, over its fits and stretches of time.

    Parameters
    ----------
    results, reference, pairs
        As in :func:`differences`; the score is r, whose blocks of time a single unit needs.
    correction : str
        As in :func:`differences`, but a family are all units of one comparison.
    level : float
        Error rate of verdicts, 0.001 to 0.5; each interval is one of 1 − `level`, not corrected.

    Returns
    -------
    xarray.Dataset, dims comparison, unit and bound (low, high)
        In units of r: ``difference`` and its ``interval``, ``p``, ``p_corrected``, ``verdict`` (higher, lower
        or undecided), over the seeds in which both have an r of the unit; NaN where there is none.
        Coordinates ``variant`` and ``reference`` (comparison), ``unit_animal`` and ``unit_label`` (unit).

    Raises
    ------
    InputError
        As :func:`differences`.
    """
    _check("unit_differences", results, "r", "fixed", level, 0)
    _check_correction("unit_differences", correction)
    compared = compared_pairs("unit_differences", results, reference, pairs)
    made = [
        [_of_unit(results.isel(unit=[place]), pair, level) for pair in compared]
        for place in range(results.sizes["unit"])
    ]
    values, interval, p = (
        np.array([[one[k] for one in row] for row in made]).swapaxes(0, 1) for k in range(3)
    )
    judged = [_verdicts(*one, correction, level) for one in zip(p, values, strict=True)]
    labels = {name: results[name] for name in ("unit_animal", "unit_label")}
    return xr.Dataset(
        {
            "difference": (("comparison", "unit"), values),
            "interval": (("comparison", "unit", "bound"), interval),
            "p": (("comparison", "unit"), p),
            "p_corrected": (("comparison", "unit"), np.array([one[0] for one in judged])),
            "verdict": (("comparison", "unit"), np.array([one[1] for one in judged])),
        },
        {"comparison": comparison_labels(compared), "bound": ["low", "high"]} | _sides(compared) | labels,
        {"score": "r", "level": level, "correction": correction},
    )


def with_variant(results: xr.Dataset, name: str, made: Mapping[tuple[str, int], xr.Dataset]) -> xr.Dataset:
    """The results with one variant more, of runs that no plan has.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`v1lib.sweep.sweep`.
    name : str
        A new one.
    made : mapping
        By animal and seed, what :func:`v1lib.results.scores` gives of the run on the bins of the plan. What
        is not there is NaN, and so is what the fits cost.

    Raises
    ------
    InputError
        If the name is taken, an animal or seed is not in the results, or a run has other units.
    """
    if name in results["variant"].values:
        raise InputError("with_variant", "name", "a new one", repr(name))
    added = results.isel(variant=[0]).assign_coords(variant=[name]).copy(deep=True)
    for variable in added.data_vars.values():
        if "variant" in variable.dims and variable.dtype.kind == "f":
            variable.values[:] = np.nan
    if "reason" in added:
        added["reason"].values[:] = "not in the plan"
    seeds = results["seed"].values.tolist()
    for (animal, seed), found in made.items():
        if animal not in results["animal"].values or seed not in seeds:
            raise InputError("with_variant", "made", "animals and seeds of the results", f"{(animal, seed)}")
        here = np.flatnonzero(results["unit_animal"].values == animal)
        labels = [str(label) for label in results["unit_label"].values[here]]
        units = [str(unit) for unit in found["unit"].values]
        if units != labels:
            expected = f"{len(labels)} units of the results in their order"
            raise InputError("with_variant", f"units of {(animal, seed)}", expected, f"{units!r:.80}")
        if "reason" in added:
            at = results["animal"].values.tolist().index(animal)
            added["reason"].transpose("variant", "seed", "animal").values[0, seeds.index(seed), at] = ""
        for score, value in found.data_vars.items():
            if score == "block_sums":
                sums = added[score].transpose("variant", "seed", "unit", "block", "moment").values
                n_blocks = value.sizes["block"]
                sums[0, seeds.index(seed), here], sums[0, seeds.index(seed), here, :n_blocks] = 0.0, value
            elif score in added and "seed" in added[score].dims:
                added[score].transpose("variant", "seed", "unit").values[0, seeds.index(seed), here] = value
    return xr.concat([results, added], "variant", data_vars="minimal", coords="minimal", compat="override")


def paper_table(results: xr.Dataset, number: int, base: str) -> xr.Dataset:
    """A table of the paper with what has been measured of it so far.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`v1lib.sweep.sweep` or :func:`v1lib.load_results`.
    number : int
        1, 2 or 3.
    base : str
        Whose rows: a key of :data:`v1lib.variants.TABLES`.

    Returns
    -------
    xarray.Dataset, dims row and animal
        Of the paper's score: ``mean`` over units of the mean over seeds, ``sd_units`` (of units' means over
        seeds), ``sd_seeds`` (of seeds' means over units), ``n_units`` and ``n_seeds``, NaN and 0 where
        nothing is fitted or the results' plan has no such row; ``published`` (NaN where the paper has none).
        The animals are those of the results and then the paper's other mice. Coordinate ``variant`` (row).

    Raises
    ------
    InputError
        If there is no such table or base, or the results' plan has none of its rows.
    """
    where = "paper_table"
    if number not in published.PRINTED:
        raise InputError(where, "number", "1, 2 or 3", repr(number))
    if base not in TABLES:
        raise InputError(where, "base", f"one of {', '.join(TABLES)}", repr(base))
    _check_score(where, results, "paper_r")
    printed, variants = published.PRINTED[number], TABLES[base][number]
    planned = [name for name in variants if name in results["variant"].values]
    if not planned:
        there = ", ".join(map(str, results["variant"].values))
        raise InputError(where, "variant", f"rows of Table {number} such as {variants[0]!r}", there)
    animals = [str(animal) for animal in results["animal"].values]
    animals += [mouse for mouse in published.ANIMALS if mouse not in animals]
    rows = [
        [_of_animal(sample, 0.05) for sample in samples_of(results, "paper_r", (name,))] for name in planned
    ]
    names = {"animal_mean": "mean"} | {name: name for name in ("sd_units", "sd_seeds", "n_units", "n_seeds")}
    measured = xr.Dataset(
        {
            new: (("variant", "animal"), np.array([[one[old] for one in row] for row in rows], float))
            for old, new in names.items()
        },
        {"variant": planned, "animal": results["animal"].values},
    ).reindex(variant=list(variants), animal=animals)
    for name in ("n_units", "n_seeds"):
        measured[name] = measured[name].fillna(0).astype(int)
    beside = xr.DataArray(
        np.array(list(printed.values())),
        {"variant": list(variants), "animal": list(published.ANIMALS)},
        ("variant", "animal"),
    ).reindex(animal=animals)
    found = measured.assign(published=beside).assign_coords(row=("variant", list(printed)))
    return found.swap_dims(variant="row").assign_attrs(score="paper_r", table=number, base=base)


def published_differences(number: int, *, correction: Correction = "holm", level: float = 0.05) -> xr.Dataset:
    """Differences between rows of a table of the paper, as far as three mice with one fit each tell.

    Parameters
    ----------
    number : int
        1, 2 or 3; which rows are compared says :data:`v1lib.published.COMPARED`.
    correction, level
        As in :func:`differences`, the table's comparisons being one family.

    Returns
    -------
    xarray.Dataset, dims comparison, animal and bound (low, high)
        As of :func:`differences`, of the paper's score: ``animal_mean`` (the mouse's printed difference),
        ``mean`` over mice, ``interval``, ``p``, ``p_corrected``, ``verdict``, ``n_animals``, ``sd_animals``.
        Each mouse has its own fits, so what differs between fits is in the spread between mice.

    Raises
    ------
    InputError
        If there is no such table.
    """
    if number not in published.COMPARED:
        raise InputError("published_differences", "number", "1, 2 or 3", repr(number))
    _check_correction("published_differences", correction)
    check_real("published_differences", "level", level, 0.001, 0.5)
    compared = list(published.COMPARED[number])
    printed = published.PRINTED[number]
    apart = np.array([np.subtract(printed[first], printed[second]) for first, second in compared])
    mean = apart.mean(axis=1)
    tests = [t_interval(list(row), [{}] * row.size, "random", level) for row in apart]
    half, p = np.array(tests).T
    found = xr.Dataset(
        {
            "animal_mean": (("comparison", "animal"), apart),
            "mean": ("comparison", mean),
            "interval": (("comparison", "bound"), np.stack([mean - half, mean + half], axis=1)),
            "p": ("comparison", p),
            "sd_animals": ("comparison", apart.std(axis=1, ddof=1)),
            "n_animals": ("comparison", np.full(len(compared), apart.shape[1])),
        },
        {
            "comparison": comparison_labels(compared),
            "animal": list(published.ANIMALS),
            "bound": ["low", "high"],
        },
        {"score": "paper_r", "level": level, "table": number},
    )
    return _judged(found, compared, correction, level)


def holm(p: np.ndarray) -> np.ndarray:
    """p values (comparison,) corrected by Holm's method, not above 1."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _judged(
    found: xr.Dataset, compared: Sequence[tuple[str, ...]], correction: Correction, level: float
) -> xr.Dataset:
    """With the verdicts of all comparisons as one family."""
    corrected, verdict = _verdicts(found["p"].values, found["mean"].values, correction, level)
    judged = found.assign(p_corrected=("comparison", corrected), verdict=("comparison", verdict))
    n_comparisons = int((~np.isnan(corrected)).sum())
    return judged.assign_coords(_sides(compared)).assign_attrs(
        correction=correction, n_comparisons=n_comparisons
    )


def _verdicts(
    p: np.ndarray, mean: np.ndarray, correction: Correction, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """p corrected for the family and verdicts; NaN and undecided where p is NaN, which is in no family."""
    there = ~np.isnan(p)
    corrected = np.full_like(p, np.nan)
    if there.any():
        corrected[there] = (holm if correction == "holm" else false_discovery_control)(p[there])
    real = np.nan_to_num(corrected, nan=1.0) <= level
    return corrected, np.where(real, np.where(mean > 0, "higher", "lower"), "undecided")


def _sides(compared: Sequence[tuple[str, ...]]) -> dict[str, tuple[str, list[str]]]:
    """Coordinates: what is compared with what."""
    return {
        "variant": ("comparison", [pair[0] for pair in compared]),
        "reference": ("comparison", [pair[1] for pair in compared]),
    }


def _fit_differences(results: xr.Dataset, score: str, first: str, second: str) -> np.ndarray:
    """Each fit of the first less each of the second (seed, seed), every animal counting the same."""
    a, b = (
        results[score].sel(variant=name).transpose("seed", "unit").values[..., None, :]
        for name in (first, second)
    )
    apart = a - b.swapaxes(0, 1)
    of_animals = [
        mean_of_finite(apart[..., results["unit_animal"].values == animal])
        for animal in results["animal"].values
    ]
    return np.mean(of_animals, axis=0)


def _of_unit(
    results: xr.Dataset, pair: tuple[str, ...], level: float
) -> tuple[float, tuple[float, float], float]:
    """Difference of the only unit, its interval, and its p."""
    there = [sample for sample in samples_of(results, "r", pair) if sample.values.size]
    if not there:
        return np.nan, (np.nan, np.nan), np.nan
    mean = float(there[0].values.mean())
    half, p = t_interval([mean], [mean_squares(there[0].by_block)], "fixed", level)
    return mean, (mean - half, mean + half), p


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
    labels = comparison_labels(rows)
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


def _check_score(where: str, results: xr.Dataset, score: str) -> None:
    check_results(where, results)
    dims = {"variant", "seed", "unit"}
    scores = [str(name) for name, one in results.data_vars.items() if set(one.dims) == dims]
    if score not in scores:
        raise InputError(where, "score", f"one of {', '.join(scores)}", repr(score))


def _check_correction(where: str, correction: str) -> None:
    if correction not in ("holm", "benjamini-hochberg"):
        raise InputError(where, "correction", "holm or benjamini-hochberg", repr(correction))


def _check(where: str, results: xr.Dataset, score: str, animals: str, level: float, seed: int) -> None:
    _check_score(where, results, score)
    if score == "r" and not {"block_sums", "n_blocks"} <= set(results):
        raise InputError(where, "block_sums", "sums of each block for the intervals of r", "none")
    if animals not in ("random", "fixed"):
        raise InputError(where, "animals", "random or fixed", repr(animals))
    check_real(where, "level", level, 0.001, 0.5)
    check_whole(where, "seed", seed, 0)

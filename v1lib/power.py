"""What a plan can decide, said before it is run: the smallest difference that it would find."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import prod

import numpy as np
import xarray as xr
from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student

from v1lib.errors import InputError, check_real, check_whole
from v1lib.hierarchy import (
    LEVELS,
    Animals,
    MeanSquares,
    components,
    degrees,
    level_sets,
    mean_squares,
    pooled,
    variance_of_mean,
)
from v1lib.samples import Sample, compared_pairs, comparison_labels, samples_of

#: Variance components of a difference: of animals, of each level inside them, and of their interactions.
COMPONENTS = ("animal", *("_".join(levels) for levels in level_sets((2, 2, 2))))


def variance_components(
    results: xr.Dataset,
    reference: str | None = None,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    score: str = "r",
) -> xr.Dataset:
    """How much differences vary between animals, units, seeds and blocks, from pilot results.

    Parameters
    ----------
    results, reference, pairs, score
        As in :func:`v1lib.tables.differences`.

    Returns
    -------
    xarray.Dataset, dim comparison
        Variances in the squared unit of the score: ``animal``, ``seed``, ``unit``, ``block`` and their
        interactions such as ``seed_unit``, by the method of moments, none below 0; inside animals the mean
        over animals. NaN where a pilot with a single animal, seed, unit or block cannot tell; what such a
        level and its interactions add is then in the other components.

    Raises
    ------
    InputError
        As :func:`v1lib.tables.differences`.
    """
    compared = compared_pairs("variance_components", results, reference, pairs)
    rows = [_components(samples_of(results, score, pair)) for pair in compared]
    found = {name: ("comparison", np.array([row[name] for row in rows])) for name in COMPONENTS}
    return xr.Dataset(found, {"comparison": comparison_labels(compared)}, {"score": score})


def detectable_difference(
    variances: Mapping[Hashable, object],
    *,
    n_animals: int,
    n_units: int,
    n_seeds: int,
    n_blocks: int,
    animals: Animals = "random",
    n_comparisons: int = 1,
    power: float = 0.8,
    level: float = 0.05,
) -> float:
    """The smallest true mean difference that a plan finds with a given probability.

    Parameters
    ----------
    variances : mapping of str to float
        By the names of :data:`COMPONENTS`; those that are absent are 0. A Dataset of
        :func:`variance_components` averaged over comparisons is one.
    n_animals, n_units, n_seeds, n_blocks : int
        Of the plan: units and blocks of test time of each animal, and fits of each variant and animal. One
        block where the score has none.
    animals : str
        As in :func:`v1lib.tables.differences`; ``random`` needs two.
    n_comparisons : int
        In the family. The difference is held to the first and strictest step of Holm's correction, p below
        level / n_comparisons.
    power, level : float
        Probability of a verdict, 0.5 to 0.99, and error rate.

    Returns
    -------
    float
        In the unit of the score, from the noncentral t distribution at the expected standard error. With
        fixed animals and a single seed it is a difference of those fits.

    Raises
    ------
    InputError
        If a size, rate or variance cannot be used, or the plan says nothing about how differences vary.
    """
    where = "detectable_difference"
    sizes = {"n_animals": n_animals, "n_units": n_units, "n_seeds": n_seeds, "n_blocks": n_blocks}
    for name, size in (sizes | {"n_comparisons": n_comparisons}).items():
        check_whole(where, name, size, 1)
    check_real(where, "power", power, 0.5, 0.99)
    check_real(where, "level", level, 0.001, 0.5)
    if animals == "random" and n_animals < 2:
        raise InputError(where, "n_animals", "at least 2 where animals are random", str(n_animals))
    given = _checked(where, variances, animals)
    inside, shape = {name: given[name] for name in COMPONENTS[1:]}, (n_seeds, n_units, n_blocks)
    variance, df = variance_of_mean(pooled([_expected_squares(inside, shape)] * n_animals))
    if np.isnan(variance):
        raise InputError(where, "n_units", "more than one unit, seed or block", "one of each")
    tests = [(np.sqrt(variance), df)]
    if animals == "random":
        within = sum(value / _cells(name, shape) for name, value in inside.items())
        tests.append((np.sqrt((given["animal"] + within) / n_animals), n_animals - 1))
    return max(error * _noncentrality(df, level / n_comparisons, power) for error, df in tests)


def _components(samples: list[Sample]) -> dict[str, float]:
    there = [sample for sample in samples if sample.values.size]
    found = dict.fromkeys(COMPONENTS, np.nan)
    if not there:
        return found
    each = [(components(mean_squares(one.by_block)), one.by_block.shape) for one in there]
    for levels in level_sets((2, 2, 2)):
        name = "_".join(levels)
        known = [added[levels] * _cells(name, shape) for added, shape in each if levels in added]
        found[name] = max(0.0, float(np.mean(known))) if known else np.nan
    if len(there) > 1:
        within = np.mean([sum(added.values()) for added, _ in each])
        between = np.var([one.values.mean() for one in there], ddof=1)
        found["animal"] = float(max(0.0, between - within))
    return found


def _cells(name: str, shape: tuple[int, ...]) -> int:
    """Number of cells of the named levels in values of a shape (seed, unit, block)."""
    return prod(shape[LEVELS.index(level)] for level in name.split("_"))


def _expected_squares(inside: Mapping[str, float], shape: tuple[int, ...]) -> MeanSquares:
    """Expected mean squares of a plan. A level of size 1 has none: what it adds alone is the same for all."""
    return {
        levels: (
            sum(
                value / _cells(name, shape)
                for name, value in inside.items()
                if set(levels) <= set(name.split("_"))
            ),
            degrees(levels, shape),
        )
        for levels in level_sets(shape)
    }


def _noncentrality(df: float, level: float, power: float) -> float:
    """Standard errors that a difference must have for Student's t test, two-sided, to have this power."""
    reach = float(student.ppf(1 - level / 2, df))
    return float(brentq(lambda shift: nct.sf(reach, df, shift) - power, 0.0, 20 * reach + 20))


def _checked(where: str, variances: Mapping[Hashable, object], animals: Animals) -> dict[str, float]:
    if animals not in ("random", "fixed"):
        raise InputError(where, "animals", "random or fixed", repr(animals))
    unknown = [str(name) for name in variances if name not in COMPONENTS]
    if unknown:
        raise InputError(where, "variances", f"names of {', '.join(COMPONENTS)}", ", ".join(unknown))
    found = {name: float(variances.get(name, 0.0)) for name in COMPONENTS}  # type: ignore[arg-type]
    if animals == "fixed":
        found["animal"] = 0.0
    for name, value in found.items():
        check_real(where, name, value, 0.0, np.inf)
    return found

"""Scores of a sweep's variants, or paired differences of two, animal by animal and with nothing missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from v1lib.errors import InputError
from v1lib.hierarchy import r_by_block


class Sample(NamedTuple):
    """Scores of one animal, or differences of scores, that nothing is missing from."""

    values: np.ndarray  # (seed, unit)
    by_block: np.ndarray  # (seed, unit, block), a single block for a score without blocks
    sums: tuple[np.ndarray, ...]  # (seed, unit, block, 6) of each variant that the score comes from
    fits_left_out: int
    units_left_out: int


def check_results(where: str, results: xr.Dataset) -> None:
    """Refuse what is not the results of a sweep."""
    if not isinstance(results, xr.Dataset) or "variant" not in results.coords:
        raise InputError(where, "results", "the results of a sweep", type(results).__name__)


def compared_pairs(
    where: str, results: xr.Dataset, reference: str | None, pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, ...]]:
    """All variants with the reference, then the given pairs; each must be there, and no pair twice."""
    check_results(where, results)
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        raise InputError(where, "pairs", "a row of pairs of variants", repr(pairs))
    names = [str(name) for name in results["variant"].values]
    known = ", ".join(names)
    first = [] if reference is None else [(name, reference) for name in names if name != reference]
    compared = [*first, *(tuple(pair) for pair in pairs)]
    for name in ([] if reference is None else [reference]) + [name for pair in compared for name in pair]:
        if name not in names:
            raise InputError(where, "variant", f"one of {known}", repr(name))
    if not compared:
        raise InputError(where, "reference", "a variant to compare with, or pairs", "none")
    for pair in compared:
        if len(pair) != 2 or pair[0] == pair[1] or compared.count(pair) > 1:
            raise InputError(where, "pairs", "two different variants, each pair once", repr(pair))
    return compared


def comparison_labels(compared: Sequence[tuple[str, ...]]) -> list[str]:
    """How a table calls each comparison, or each variant that stands alone."""
    return [" − ".join(pair) for pair in compared]


def samples_of(results: xr.Dataset, score: str, variants: tuple[str, ...]) -> list[Sample]:
    """Scores of a variant, or of the first of two less the second, in each animal of the results."""
    places = [int(np.flatnonzero(results["variant"].values == name)[0]) for name in variants]
    values = results[score].transpose("variant", "seed", "unit").values[places]
    sums = None
    if score == "r":
        order = ("variant", "seed", "unit", "block", "moment")
        sums = results["block_sums"].transpose(*order).values[places]
    found = []
    for place, animal in enumerate(results["animal"].values):
        here = results["unit_animal"].values == animal
        n_blocks = 0 if sums is None else int(results["n_blocks"].values[place])
        found.append(_sample(values[:, :, here], None if sums is None else sums[:, :, here, :n_blocks]))
    return found


def _sample(each: np.ndarray, sums: np.ndarray | None) -> Sample:
    """What both variants have, from (variant, seed, unit) and (variant, seed, unit, block, 6)."""
    values = _minus(list(each))
    by_block = values[..., None] if sums is None else _minus([r_by_block(one) for one in sums])
    fitted = ~np.isnan(values).all(axis=1)
    whole = ~np.isnan(values[fitted]).any(axis=0) & ~np.isnan(by_block[fitted]).any(axis=(0, 2))
    return Sample(
        values[fitted][:, whole],
        by_block[fitted][:, whole],
        () if sums is None else tuple(one[fitted][:, whole] for one in sums),
        int((~fitted).sum()),
        int((~whole).sum()),
    )


def _minus(each: list[np.ndarray]) -> np.ndarray:
    return each[0] - each[1] if len(each) == 2 else each[0]

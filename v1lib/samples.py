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


def compared_pairs(
    where: str, results: xr.Dataset, reference: str | None, pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, ...]]:
    """All variants with the reference, then the given pairs; each must be there, and no pair twice."""
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


def samples_of(results: xr.Dataset, score: str, variants: tuple[str, ...]) -> list[Sample]:
    """Scores of a variant, or of the first of two less the second, in each animal of the results."""
    return [_sample(results, score, variants, place) for place in range(results.sizes["animal"])]


def _sample(results: xr.Dataset, score: str, variants: tuple[str, ...], place: int) -> Sample:
    here = results["unit_animal"].values == results["animal"].values[place]
    part = results[[score, *(["block_sums"] if score == "r" else [])]].sel(variant=list(variants))
    part = part.isel(unit=here)
    values = _minus(list(part[score].transpose("variant", "seed", "unit").values))
    sums: tuple[np.ndarray, ...] = ()
    by_block = values[..., None]
    if score == "r":
        part = part.isel(block=slice(int(results["n_blocks"].values[place])))
        sums = tuple(part["block_sums"].transpose("variant", "seed", "unit", "block", "moment").values)
        by_block = _minus([r_by_block(one) for one in sums])
    fitted = ~np.isnan(values).all(axis=1)
    whole = ~np.isnan(values[fitted]).any(axis=0) & ~np.isnan(by_block[fitted]).any(axis=(0, 2))
    return Sample(
        values[fitted][:, whole],
        by_block[fitted][:, whole],
        tuple(one[fitted][:, whole] for one in sums),
        int((~fitted).sum()),
        int((~whole).sum()),
    )


def _minus(each: list[np.ndarray]) -> np.ndarray:
    return each[0] - each[1] if len(each) == 2 else each[0]

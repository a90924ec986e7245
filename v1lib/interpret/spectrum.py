"""Over how many dimensions a population varies: eigenspectrum, its exponent, participation ratio."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_whole


def eigenspectrum(
    activity: np.ndarray,
    *,
    ranks: tuple[int, int] = (3, 30),
    block: int = 1,
    n_resamples: int = 200,
    seed: int = 0,
) -> xr.Dataset:
    """Eigenvalues of the covariance of a population that has no noise of its own.

    Of a recording, whose noise adds to all eigenvalues, this is not the spectrum of what it codes (Stringer
    et al., Nature 2019, compare repeats).

    Parameters
    ----------
    activity : (n, unit) array
    ranks : (int, int)
        First and last rank, from 1, between which the logarithm of the eigenvalue is regressed on that of
        the rank.
    block : int
        Bins that are resampled together, as they are alike.
    n_resamples : int
    seed : int

    Returns
    -------
    xarray.Dataset
        ``eigenvalue`` (rank), shares of the variance, descending; ``exponent``, that of the power law
        rank^-exponent, with ``exponent_low`` and ``exponent_high``, the 95 % interval of the basic bootstrap
        over blocks; ``participation_ratio``, (sum of eigenvalues)^2 / sum of their squares. The attribute
        ``ranks``.

    Raises
    ------
    InputError
        If activity is not of finite numbers that vary, an argument is out of its range, there are fewer
        than 10 blocks, or an eigenvalue up to the last rank is 0.
    """
    activity = np.asarray(activity, float)
    where = "eigenspectrum"
    if activity.ndim != 2 or not np.isfinite(activity).all():
        raise InputError(where, "activity", "finite values (bin, unit)", f"an array of {activity.shape}")
    for name, value, least in (("block", block, 1), ("n_resamples", n_resamples, 20), ("seed", seed, 0)):
        check_whole(where, name, value, least)
    first, last = ranks
    check_whole(where, "ranks", first, 1)
    check_whole(where, "ranks", last, first + 2)
    n_blocks = len(activity) // block
    if n_blocks < 10:
        raise InputError(where, "activity", f"10 blocks of {block} bins or more", f"{n_blocks}")
    whole = activity - activity.mean(0)
    values = np.linalg.eigvalsh(whole.T @ whole / len(whole))[::-1].clip(0)
    if len(values) < last or values[last - 1] <= 1e-12 * values[0]:
        found = f"{(values > 1e-12 * values[0]).sum()} of {len(values)}"
        raise InputError(where, "activity", f"variance in {last} dimensions, the last of ranks", found)
    blocks = whole[: n_blocks * block].reshape(n_blocks, block, -1)
    rng = np.random.default_rng(seed)
    exponents = []
    for _ in range(n_resamples):
        drawn = blocks[rng.integers(n_blocks, size=n_blocks)].reshape(n_blocks * block, -1)
        drawn = drawn - drawn.mean(0)
        exponents.append(_exponent(np.linalg.eigvalsh(drawn.T @ drawn)[::-1], first, last))
    exponent = _exponent(values, first, last)
    # A resample repeats bins, so its spectrum is steeper than its source's: percentiles would lie too high.
    high, low = 2 * exponent - np.nanquantile(exponents, [0.025, 0.975])
    return xr.Dataset(
        {
            "eigenvalue": ("rank", values / values.sum()),
            "exponent": exponent,
            "exponent_low": low,
            "exponent_high": high,
            "participation_ratio": values.sum() ** 2 / np.square(values).sum(),
        },
        {"rank": np.arange(1, len(values) + 1)},
        {"ranks": (first, last)},
    )


def _exponent(values: np.ndarray, first: int, last: int) -> float:
    """Slope of the logarithms, with its sign turned; NaN where a resample has lost a dimension."""
    part = values[first - 1 : last]
    if (part <= 0).any():
        return float("nan")
    return float(-np.polyfit(np.log(np.arange(first, last + 1)), np.log(part), 1)[0])

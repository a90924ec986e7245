"""What r a run reaches by chance: predictions shifted in time against the activity."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.fft import irfft, rfft
from scipy.stats import false_discovery_control

from v1lib.errors import InputError, check_real, check_whole
from v1lib.fit import Run, predict
from v1lib.metrics import centered, pearson, smoothed
from v1lib.score import check_session, scored_segments
from v1lib.splits import SMOOTHING_S, boxcar_bins


def circular_shift_null(
    run: Run,
    session: xr.Dataset,
    *,
    n_shifts: int = 200,
    part: str = "test",
    min_shift_s: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """How often a run's prediction does as well when it is moved to other moments of the same bins.

    The scored bins of the part are put in one row, and the prediction is shifted circularly along it. Every
    shift keeps all of both traces: their values and their autocorrelations, so that two slow traces are not
    taken to be related because few moments of them are independent. It breaks the relation in time between
    them, and two things more: at the end of the row, and at each border of two segments that a shifted
    prediction straddles, neighbouring bins are not neighbours in time. Trends and states that last as long
    as the part are broken with the relation, so a small p says that the prediction belongs to its moment, not
    whether it is by the stimulus, by behaviour or by a drift that both share (Harris 2020, Nonsense
    correlations in neuroscience, bioRxiv).

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        As in :func:`v1lib.score.score`.
    n_shifts : int
        At least 1; drawn without replacement, the same for all units.
    part : str
        ``test``, or another part.
    min_shift_s : float
        Least shift in either direction, s; at least one bin. See the notes on what leaving out the short
        ones costs.
    seed : int
        Of the shifts.

    Returns
    -------
    xarray.Dataset, dims unit and shift
        ``r`` and ``r_smooth`` (2-s boxcar inside each segment, before the shift), those of
        :func:`v1lib.score.score`; ``null_r`` and ``null_r_smooth`` (shift, unit), those of shifted
        predictions; ``p`` and ``p_smooth``, (1 + number of shifts with an r as high) / (1 + n_shifts);
        ``q`` and ``q_smooth``, p adjusted over units for the false discovery rate (Benjamini and Hochberg
        1995, Journal of the Royal Statistical Society B 57). Coordinate ``shift``: s, later is positive. NaN
        for a unit that does not vary or is predicted by a constant, which is none of the tests adjusted for.

    Raises
    ------
    InputError
        If the session has other bins or units than those of the fit, or the part has too few shifts.

    Notes
    -----
    Were the row a circle, r without a shift would be like r at any other shift to an untuned unit, and its
    rank among all of them uniform, however much neighbouring shifts are alike. That needs the short shifts:
    a row of 85 s has some twenty r that differ, so one without a shift that is compared to those from 20 s on
    alone is the highest far more often than once in 200. They cost little, as a prediction that belongs to
    its moment has its highest r there. Because the row is no circle, p is still somewhat too small. Slow
    predictions of slow counts that have nothing to do with them (1,800 pairs, 199 shifts, ten test segments
    of 10.5 s) that are alike over about 0.1, 0.5 and 2 s have p ≤ 0.05 in 6.5, 6.1 and 8.4 % (smoothed 6.0,
    6.5 and 7.6 %) and p = 0.005 in 0.8, 1.1 and 3.5 % (0.6, 0.8 and 2.0 %). With shifts from 20 s on, p is
    0.005 in 1.0, 2.1 and 9.2 % (3.8, 4.3 and 9.3 %): with a minimum, take no more shifts than the row has
    stretches that are independent.
    """
    check_whole("circular_shift_null", "n_shifts", n_shifts, 1)
    check_whole("circular_shift_null", "seed", seed, 0)
    check_session("circular_shift_null", run, session)
    width = float(session.attrs["bin_width_s"])
    check_real("circular_shift_null", "min_shift_s", min_shift_s, 0.0, np.inf)
    segments = scored_segments(run, session, part)
    traces = [
        values.astype(np.float64)
        for values in (predict(run, session, part=part).values, session["activity"].values)
    ]
    rows = {
        suffix: [np.concatenate(smoothed("circular_shift_null", trace, segments, bins)) for trace in traces]
        for suffix, bins in (("", 1), ("_smooth", boxcar_bins(width)))
    }
    shifts = _draw_shifts(len(rows["_smooth"][0]), width, min_shift_s, n_shifts, seed)
    found: dict[str, tuple] = {}
    for suffix, (made, counts) in rows.items():
        r, null = pearson(made, counts), shifted_r(made, counts)[shifts]
        p = _p_values(r, null)
        found[f"r{suffix}"] = ("unit", r)
        found[f"null_r{suffix}"] = (("shift", "unit"), null)
        found[f"p{suffix}"] = ("unit", p)
        found[f"q{suffix}"] = ("unit", _adjusted(p))
    attrs = {"part": part, "min_shift_s": min_shift_s, "seed": seed, "smoothing_s": SMOOTHING_S}
    return xr.Dataset(found, {"unit": session["unit"], "shift": shifts * width}, attrs)


def shifted_r(made: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """r of each column at every circular shift of the first, shape (shift, unit).

    Row k is Pearson's r of ``numpy.roll(made, k, axis=0)`` and `counts`, all of them from one
    cross-correlation by Fourier transforms. NaN for a constant column.

    Parameters
    ----------
    made, counts : (time, unit) arrays
    """
    a, b = centered(made), centered(counts)
    products = irfft(np.conj(rfft(a, axis=0)) * rfft(b, axis=0), len(a), axis=0)
    scale = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.where(scale > 0, products / np.where(scale > 0, scale, 1.0), np.nan)


def _draw_shifts(n: int, width: float, min_shift_s: float, n_shifts: int, seed: int) -> np.ndarray:
    """Shifts in bins, rising, at least `min_shift_s` from no shift on either side of a row of n bins."""
    least = max(1, int(np.ceil(min_shift_s / width - 1e-9)))
    allowed = np.arange(least, n - least + 1)
    if allowed.size < n_shifts:
        expected = f"at least {n_shifts} shifts of {min_shift_s:g} s or more"
        raise InputError("circular_shift_null", "n_shifts", expected, f"{allowed.size} in {n} smoothed bins")
    return np.sort(np.random.default_rng(seed).choice(allowed, n_shifts, replace=False))


def _p_values(r: np.ndarray, null: np.ndarray) -> np.ndarray:
    # What differs by rounding alone is as high.
    reached = (null >= r - 1e-12).sum(axis=0)
    return np.where(np.isnan(r), np.nan, (1 + reached) / (1 + len(null)))


def _adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg over the units that have a p."""
    q = np.full_like(p, np.nan)
    there = ~np.isnan(p)
    if there.any():
        q[there] = false_discovery_control(p[there])
    return q

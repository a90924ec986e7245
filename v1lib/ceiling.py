"""The best that any model can score: on a simulated recording, and on one whose true rate is not known."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.bootstrap import BLOCK_S, LEVEL, block_bins, block_sums, draw_blocks, interval
from v1lib.errors import InputError, check_real, check_whole
from v1lib.metrics import Segments, bits_per_spike, r_within, smoothed
from v1lib.session import stretch_ranges
from v1lib.simulate.spikes import draw_spikes
from v1lib.simulate.truth import bin_truth
from v1lib.splits import SMOOTHING_S, Ranges, boxcar_bins


def noise_ceiling(
    truth: xr.Dataset,
    session: xr.Dataset,
    ranges: Ranges | None = None,
    *,
    n_draws: int = 20,
    seed: int = 0,
) -> xr.Dataset:
    """What the true rate scores on spikes drawn from it anew, in the bins of a session.

    The true rate knows everything but the spikes, the slow drift of excitability included, so no model of
    what was recorded can be expected to score higher.

    Parameters
    ----------
    truth : xarray.Dataset
        From :func:`v1lib.load_truth`: spikes are drawn from its rate, with the refractory period of the
        recorded ones (:func:`v1lib.simulate.spikes.draw_spikes`).
    session : xarray.Dataset
        Aligned from the same recording, or part of it; its activity is not read.
    ranges : half-open ranges of bins, optional
        The bins to score, such as ``splits.test``; all stretches of the session without. The boxcar of
        smoothed r stays inside each. The score of a run leaves out the first bins of each range, which
        have no whole window behind them.
    n_draws, seed : int
        At least 2; 0 to 2⁶³ − 1.

    Returns
    -------
    xarray.Dataset, dim unit (and ``bound``: low, high)
        ``r``, ``r_smooth`` (2-s boxcar) and ``bits_per_spike`` (over the true mean rate in the ranges), each
        the mean over draws, with ``_interval``, the middle 95 % of draws; ``mean_<score>`` and
        ``mean_<score>_interval`` of the mean over units. A unit whose rate is constant has NaN for r, as one
        without any driver would have if its excitability did not drift, and is left out of the means.

    Raises
    ------
    InputError
        If the truth is of other units or another time than the session, or on bins already, or the ranges
        are none of the session's.
    """
    check_whole("noise_ceiling", "n_draws", n_draws, 2)
    check_whole("noise_ceiling", "seed", seed, 0)
    check_real("noise_ceiling", "seed", seed, 0, 2**63 - 1)  # what an attribute can hold
    if "rate" not in truth or truth["rate"].dims != ("step", "unit"):
        found = str(truth["rate"].dims) if "rate" in truth else "none"
        raise InputError("truth", "rate", "one over ('step', 'unit'), as load_truth gives it", found)
    expected = bin_truth(truth, session)["rate"]
    ranges = _checked("noise_ceiling", session, ranges)
    rng = np.random.default_rng(seed)
    rates = truth["rate"].values
    draws = [
        _scores(expected, _counts(draw_spikes(rng, rates), truth, session), ranges) for _ in range(n_draws)
    ]
    scores: dict[str, tuple] = {}
    for name in draws[0]:
        by_draw = np.stack([draw[name] for draw in draws])  # (draw, unit)
        varies = ~np.isnan(by_draw).any(axis=0)
        mean = by_draw[:, varies].mean(axis=1) if varies.any() else np.full(n_draws, np.nan)
        scores[name] = ("unit", by_draw.mean(axis=0))
        scores[f"{name}_interval"] = (("unit", "bound"), _middle(by_draw).T)
        scores[f"mean_{name}"] = ((), mean.mean())
        scores[f"mean_{name}_interval"] = ("bound", _middle(mean))
    attrs = {"n_draws": n_draws, "seed": seed, "level": LEVEL, "smoothing_s": SMOOTHING_S}
    return xr.Dataset(scores, {"unit": session["unit"], "bound": ["low", "high"]}, attrs)


def poisson_ceiling(session: xr.Dataset, ranges: Ranges | None = None, *, seed: int = 0) -> xr.Dataset:
    """The r that the true rate would reach if counts are Poisson about it, without knowing the rate.

    Of counts y that are Poisson about a rate λ (expected spikes of a bin), var(y) = var(λ) + mean(λ): the
    variance of y about λ is λ itself, and the law of total variance adds that of λ. The mean of y stands
    for that of λ, so the signal's variance is var(y) − mean(y), and λ correlates with y at
    √(signal variance / var(y)). A boxcar mean of n bins has the noise mean(y) / n. Of both noises so much is
    taken off as the sample's own mean takes up.

    Parameters
    ----------
    session : xarray.Dataset
        With spike counts.
    ranges : half-open ranges of bins, optional
        The bins to score, such as ``splits.test``; all stretches of the session without. The boxcar of
        smoothed r stays inside each. The score of a run leaves out the first bins of each range, which
        have no whole window behind them.
    seed : int
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset, dim unit (and ``bound``: low, high)
        ``r`` and ``r_smooth`` (2-s boxcar), each with ``_interval``, 95 % of a bootstrap over blocks of about
        10 s. NaN where var(y) is no larger than mean(y): counts without any rate in them end there as often
        as not, and 0 in place of it would say that no model can predict the unit, which is not known. For
        that reason there is no mean over units: it would be that of the lucky ones.

    Raises
    ------
    InputError
        If the activity is no spike counts, the ranges are none of the session's, or none is as long as the
        boxcar.

    Notes
    -----
    It bounds every model only as far as counts are Poisson about the rate. Whatever can be known before the
    spikes, from stimulus, behaviour or other cells, is part of λ and raises the variance. Refractory counts
    vary less than Poisson ones, so their ceiling is too low and a good model can pass it. Simulated units (4
    to 17 spikes a second, refractory for 1.5 ms, four minutes, 120 units of five recordings) have it 0.032
    below the raw r of the true rate on average (root mean square 0.038) and 0.006 below the smoothed r
    (0.019); the tests hold a recording's mean to −0.05 to −0.015 and −0.03 to 0.01. Poisson counts of the
    same rates have it at either r, within 0.001 on average over eight draws (tests: 0.012 in one).
    The decomposition is that of Goris, Movshon and Simoncelli 2014 (Nature Neuroscience 17).
    """
    if session["activity"].attrs["kind"] != "spike_count":
        kind = repr(session["activity"].attrs["kind"])
        raise InputError("poisson_ceiling", "activity", "spike counts (kind 'spike_count')", kind)
    check_whole("poisson_ceiling", "seed", seed, 0)
    segments = [np.arange(start, stop) for start, stop in _checked("poisson_ceiling", session, ranges)]
    attrs = {"seed": seed, "level": LEVEL, "block_s": BLOCK_S, "smoothing_s": SMOOTHING_S}
    coords = {"unit": session["unit"], "bound": ["low", "high"]}
    return xr.Dataset(segment_ceilings(session, segments, np.random.default_rng(seed)), coords, attrs)


def segment_ceilings(
    session: xr.Dataset, segments: Segments, rng: np.random.Generator
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Variables of :func:`poisson_ceiling` over segments of bins in any order."""
    width = float(session.attrs["bin_width_s"])
    counts = session["activity"].values.astype(np.float64)
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, bins in (("r", 1), ("r_smooth", boxcar_bins(width))):
        parts = smoothed("poisson_ceiling", counts, segments, bins)
        sums, mean = block_sums(parts, parts, block_bins(width)), np.concatenate(parts).mean(axis=0)
        noise = noise_share(segments, bins)
        draws = signal_share(np.tensordot(draw_blocks(len(sums), rng), sums, 1), mean, noise)
        found[name] = (("unit",), _root(signal_share(sums.sum(axis=0), mean, noise)))
        found[f"{name}_interval"] = (("unit", "bound"), _root(interval(draws)).T)
    return found


def signal_share(sums: np.ndarray, mean: np.ndarray, noise: float) -> np.ndarray:
    """Share of the variance of counts that is more than Poisson, 1 − noise · mean / variance.

    Parameters
    ----------
    sums : (..., 6, unit) array
        From :func:`v1lib.bootstrap.block_sums` with the counts as the second of the pair, summed over blocks.
    mean : (unit,) array
        Of the counts, from which the sums were measured.
    noise : float
        From :func:`noise_share`.

    Returns
    -------
    numpy.ndarray, shape (..., unit)
        Below 0 where the variance is smaller than Poisson; NaN for constant counts.
    """
    n, _, total, _, squares, _ = np.moveaxis(sums, -2, 0)
    variance = squares / n - (total / n) ** 2
    varies = n * variance > 1e-12 * squares
    return np.where(varies, 1 - noise * (mean + total / n) / np.where(varies, variance, 1.0), np.nan)


def noise_share(segments: Segments, bins: int) -> float:
    """Variance of boxcar means of Poisson counts of a mean of 1 about their own average.

    1 / bins, less the variance of the average of all boxcars, which is the sum of the squared weights that
    bins have in it.
    """
    lengths = [segment.size for segment in segments if segment.size >= bins]
    places = sum(length - bins + 1 for length in lengths)
    weights = [np.convolve(np.ones(length - bins + 1), np.ones(bins)) for length in lengths]
    return 1 / bins - float(np.square(np.concatenate(weights) / (bins * places)).sum())


def _root(share: np.ndarray) -> np.ndarray:
    """Square root; NaN where there is nothing positive to take it of."""
    return np.sqrt(np.where(share > 0, share, np.nan))


def _checked(where: str, session: xr.Dataset, ranges: object) -> Ranges:
    """Ranges of the session's bins, which rise; its stretches where none are given."""
    n = session.sizes["time"]
    try:
        edges = np.array(stretch_ranges(session) if ranges is None else ranges)
    except (TypeError, ValueError):
        edges = np.zeros(0)
    whole = edges.ndim == 2 and edges.shape[1] == 2 and len(edges) > 0 and edges.dtype.kind in "iu"
    if (
        not whole
        or not (edges[:, 0] < edges[:, 1]).all()
        or not (edges[1:, 0] >= edges[:-1, 1]).all()
        or edges[0, 0] < 0
        or edges[-1, 1] > n
    ):
        expected = f"pairs of whole numbers a < b from 0 to {n}, each after the one before"
        raise InputError(where, "ranges", expected, f"{ranges!r:.80}")
    return tuple((int(start), int(stop)) for start, stop in edges)


def _counts(spikes: list[np.ndarray], truth: xr.Dataset, session: xr.Dataset) -> xr.Dataset:
    """Spikes (s from the first step) as the activity of the session's bins."""
    width = float(session.attrs["bin_width_s"])
    start = session["time"].values - width / 2 + session.attrs["start_s"] - truth.attrs["start_s"]
    counts = np.stack(
        [np.searchsorted(train, start + width) - np.searchsorted(train, start) for train in spikes], axis=1
    )
    return xr.Dataset({"activity": (("time", "unit"), counts)}, attrs={"bin_width_s": width})


def _scores(expected: xr.DataArray, drawn: xr.Dataset, ranges: Ranges) -> dict[str, np.ndarray]:
    """Each score of the expected counts on drawn ones, (unit,)."""
    bins = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    rates, counts = expected.values[bins], drawn["activity"].values[bins]
    return {
        "r": r_within(expected, drawn, ranges),
        "r_smooth": r_within(expected, drawn, ranges, smooth_s=SMOOTHING_S),
        "bits_per_spike": bits_per_spike(rates, counts, rates.mean(axis=0)),
    }


def _middle(draws: np.ndarray) -> np.ndarray:
    """Percentile interval over the first axis, (bound, ...); NaN where a draw is."""
    tail = 100 * (1 - LEVEL) / 2
    return np.percentile(draws, [tail, 100 - tail], axis=0)

"""The best that any model can score on a simulated recording: what the true rate scores on other spikes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_real, check_whole
from v1lib.score import LEVEL, bits_per_spike, r_within
from v1lib.session import stretch_ranges
from v1lib.simulate.spikes import draw_spikes
from v1lib.simulate.truth import bin_truth
from v1lib.splits import SMOOTHING_S, Ranges


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
        smoothed r stays inside each.
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
    ranges = _checked(stretch_ranges(session) if ranges is None else ranges, session.sizes["time"])
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


def _checked(ranges: object, n: int) -> Ranges:
    """Ranges of `n` bins, which rise."""
    try:
        edges = np.array(ranges)
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
        raise InputError("noise_ceiling", "ranges", expected, f"{ranges!r:.80}")
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

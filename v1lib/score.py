"""How well a run predicts bins it has never seen: per unit, with intervals, beside what is possible.

Everything is computed on the bins of the test part that have a prediction whose whole window lies in the same
test range. Smoothing never reaches over the end of such a range: only bins with the whole boxcar inside
count. Intervals are 95 % percentile intervals of a bootstrap over blocks of about 10 s of test time (the
same blocks for all units); those of means and of mean differences resample the units too.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.errors import InputError
from v1lib.fingerprint import bins_and_units
from v1lib.fit import Run, predict
from v1lib.splits import SMOOTHING_S, Ranges, boxcar_bins

BLOCK_S = 10.0
N_BOOTSTRAP = 2000
LEVEL = 0.95

Segments = list[np.ndarray]


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r of each column, shape (unit,), from two arrays (time, unit); NaN for a constant column."""
    return r_from_sums(_sums(_centered(a), _centered(b)))


def _centered(values: np.ndarray) -> np.ndarray:
    """Deviations of each column from its mean; exactly 0 in a column that varies by no more than rounding."""
    mean = values.mean(axis=0)
    return np.where(np.ptp(values, axis=0) > 1e-9 * np.abs(mean), values - mean, 0.0)


def r_within(
    prediction: xr.DataArray, session: xr.Dataset, ranges: Ranges, *, smooth_s: float = 0.0
) -> np.ndarray:
    """r of each unit between any prediction and the activity over ranges of bins, shape (unit,).

    Parameters
    ----------
    prediction : xarray.DataArray, dims (time, unit)
        On the session's bins.
    session : xarray.Dataset
    ranges : half-open ranges of bins
        The boxcar stays inside each; a range shorter than it gives nothing.
    smooth_s : float
        Boxcar in seconds; 0 for raw r.

    Returns
    -------
    numpy.ndarray
        NaN for a unit whose prediction or activity is constant there.
    """
    bins = _boxcar("r_within", smooth_s, float(session.attrs["bin_width_s"]))
    segments = [np.arange(start, stop) for start, stop in ranges]
    pairs = (prediction.values.astype(np.float64), session["activity"].values.astype(np.float64))
    made, counts = (np.concatenate(_smoothed(values, segments, bins)) for values in pairs)
    return pearson(made, counts)


def smooth(values: np.ndarray, bins: int) -> np.ndarray:
    """Boxcar mean over time, only where the whole boxcar fits: (time, unit) -> (time - bins + 1, unit)."""
    total = np.cumsum(np.pad(values.astype(np.float64), ((1, 0), (0, 0))), axis=0)
    return (total[bins:] - total[:-bins]) / bins


def score(
    run: Run, session: xr.Dataset, truth: xr.Dataset | None = None, *, part: str = "test", seed: int = 0
) -> xr.Dataset:
    """Scores of a run on the test part of a session.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        The session that the run was fitted to, or one of the same bins and units with other frames,
        behaviour or activity.
    truth : xarray.Dataset, optional
        With `rate` (time, unit), the expected spike count of each bin of the session. Adds the oracle: the
        score of the true rate on the same bins.
    part : str
        ``test``, or another part to look at how much a model overfits.
    seed : int
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset, dim unit (and ``bound``: low, high)
        ``r`` and ``r_smooth`` (2-s boxcar), each with ``_interval``; for spike counts ``bits_per_spike``
        over the training part's mean rate; ``oracle_r``, ``oracle_r_smooth`` and ``fraction_of_oracle``
        (raw r over raw oracle) with `truth`. Without a unit: ``mean_<score>`` and ``mean_<score>_interval``.
        Attributes: ``n_bins`` and ``n_blocks``, the same with ``_smooth``, ``part``. A unit that does not
        vary there, or is predicted by a constant, has NaN and is left out of the means.

    Raises
    ------
    InputError
        If the session or `truth` has other bins or units than those of the fit, or no range of the part is
        as long as a window and the boxcar.
    """
    _check_session("score", run, session)
    segments = _segments(run, session, part)
    counts = session["activity"].values.astype(np.float64)
    predicted = predict(run, session).values.astype(np.float64)
    rng = np.random.default_rng(seed)
    width = float(session.attrs["bin_width_s"])
    block = max(1, round(BLOCK_S / width))
    box = boxcar_bins(width)
    found: dict[str, tuple] = {}
    attrs: dict[str, object] = {"part": part, "smoothing_s": SMOOTHING_S, "block_s": BLOCK_S, "level": LEVEL}

    def add(name: str, made: np.ndarray, bins: int) -> None:
        sums = _block_sums(_smoothed(made, segments, bins), _smoothed(counts, segments, bins), block)
        value, draws = r_from_sums(sums.sum(axis=0)), _bootstrap_r(sums, rng)
        found[name] = (("unit",), value)
        found[f"{name}_interval"] = (("unit", "bound"), _interval(draws).T)
        found[f"mean_{name}"] = ((), _mean(value))
        found[f"mean_{name}_interval"] = (("bound",), _interval(_resample_units(draws, rng)))
        suffix = "" if bins == 1 else "_smooth"
        attrs[f"n_bins{suffix}"], attrs[f"n_blocks{suffix}"] = int(sums[:, 0, 0].sum()), sums.shape[0]

    add("r", predicted, 1)
    add("r_smooth", predicted, box)
    if truth is not None:
        rate = _true_rate(truth, session)
        add("oracle_r", rate, 1)
        add("oracle_r_smooth", rate, box)
        found["fraction_of_oracle"] = (("unit",), found["r"][1] / found["oracle_r"][1])
    if session["activity"].attrs["kind"] == "spike_count":
        bins = np.concatenate(segments)
        mean = np.array(run.scaling.activity_mean)
        found["bits_per_spike"] = (("unit",), bits_per_spike(predicted[bins], counts[bins], mean))
    result = xr.Dataset(found, {"unit": session["unit"], "bound": ["low", "high"]}, attrs)
    return result


def bits_per_spike(rates: np.ndarray, counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Poisson log-likelihood of rates over that of a constant rate, in bits a spike; NaN without spikes.

    Parameters
    ----------
    rates, counts : (time, unit), a bin
    mean : (unit,), the constant rate of the model to compare with
    """
    tiny = np.finfo(np.float32).tiny  # a predicted rate of exactly 0 costs much, not infinitely much
    gain = counts * (np.log(np.maximum(rates, tiny)) - np.log(mean)) - (rates - mean)
    spikes = counts.sum(axis=0)
    return np.where(spikes > 0, gain.sum(axis=0) / (np.log(2) * np.where(spikes > 0, spikes, 1)), np.nan)


def paired_difference(
    run_a: Run,
    run_b: Run,
    session: xr.Dataset,
    *,
    session_b: xr.Dataset | None = None,
    smooth_s: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """How much better run a predicts the test part than run b, on the same bins and units.

    Parameters
    ----------
    run_a, run_b : Run
        With the same splits.
    session : xarray.Dataset
        As in :func:`score`.
    session_b : xarray.Dataset, optional
        What run b predicts from in place of `session`, such as the same bins with other frames, for a
        control with one run. The activity to be predicted is that of `session`.
    smooth_s : float
        Boxcar in seconds before r is taken; 0 for raw r.

    Returns
    -------
    xarray.Dataset
        ``difference`` (unit) of r, ``difference_interval`` (unit, bound), ``mean_difference`` and
        ``mean_difference_interval`` (bound). In one draw of the bootstrap both runs get the same blocks.

    Raises
    ------
    InputError
        If the runs were split differently, or a session has other bins or units than those of its run.
    """
    given_b = session if session_b is None else session_b
    _check_session("paired_difference", run_a, session)
    _check_session("paired_difference", run_b, given_b)
    if run_a.splits != run_b.splits:
        raise InputError("paired_difference", "splits", "the same splits in both runs", "different ones")
    segments = _common(_segments(run_a, session, "test"), _segments(run_b, session, "test"))
    width = float(session.attrs["bin_width_s"])
    bins = _boxcar("paired_difference", smooth_s, width)
    counts = _smoothed(session["activity"].values.astype(np.float64), segments, bins)
    block = max(1, round(BLOCK_S / width))
    values, draws = [], []
    for run, given in ((run_a, session), (run_b, given_b)):
        made = _smoothed(predict(run, given).values.astype(np.float64), segments, bins)
        sums = _block_sums(made, counts, block)
        values.append(r_from_sums(sums.sum(axis=0)))
        draws.append(_bootstrap_r(sums, np.random.default_rng(seed)))
    difference, drawn = values[0] - values[1], draws[0] - draws[1]
    return xr.Dataset(
        {
            "difference": ("unit", difference),
            "difference_interval": (("unit", "bound"), _interval(drawn).T),
            "mean_difference": _mean(difference),
            "mean_difference_interval": (
                "bound",
                _interval(_resample_units(drawn, np.random.default_rng(seed + 1))),
            ),
        },
        {"unit": session["unit"], "bound": ["low", "high"]},
        {"smooth_s": smooth_s, "block_s": BLOCK_S, "level": LEVEL, "n_blocks": sums.shape[0]},
    )


def _check_session(where: str, run: Run, session: xr.Dataset) -> None:
    """Refuse a session of other bins or units; a run of an older version carries no mark to compare with."""
    mark = bins_and_units(session)
    if run.provenance.get("bins_and_units", mark) != mark:
        raise InputError(where, "session", "the bins and units that the run was fitted to", "others")


def _boxcar(where: str, smooth_s: float, width: float) -> int:
    """Bins of a boxcar of so many seconds, at least 1."""
    if not (np.isfinite(smooth_s) and smooth_s >= 0):
        raise InputError(where, "smooth_s", "a finite number of seconds, 0 or more", str(smooth_s))
    return max(1, int(smooth_s / width + 1e-9))


def _segments(run: Run, session: xr.Dataset, part: str) -> Segments:
    """Bins to score, one array a range: those whose whole window lies in the range."""
    lead = run.model.seq_len - 1 + run.config.predict_offset
    segments = [np.arange(a + lead, b) for a, b in run.splits.ranges(part) if b - a > lead]
    if not segments:
        raise InputError("score", part, f"a range of more than {lead} bins, the window", "none")
    if segments[-1][-1] >= session.sizes["time"]:
        found = f"{session.sizes['time']} bins"
        raise InputError(
            "score", "session", f"the session of the splits, up to bin {segments[-1][-1]}", found
        )
    return segments


def _common(first: Segments, second: Segments) -> Segments:
    shared = [np.intersect1d(a, b) for a in first for b in second]
    return [bins for bins in shared if bins.size]


def _true_rate(truth: xr.Dataset, session: xr.Dataset) -> np.ndarray:
    if "rate" not in truth:
        raise InputError("truth", "rate", "a variable of that name", f"only {sorted(map(str, truth))}")
    rate = truth["rate"]
    if rate.dims != ("time", "unit"):
        raise InputError("truth", "rate", "dimensions ('time', 'unit')", str(rate.dims))
    for dim in rate.dims:
        if not np.array_equal(rate[dim], session[dim]):
            raise InputError("truth", str(dim), f"the session's {session.sizes[dim]} labels", "others")
    return rate.values.astype(np.float64)


def _smoothed(values: np.ndarray, segments: Segments, bins: int) -> list[np.ndarray]:
    """Values of each segment smoothed inside it; segments shorter than the boxcar give nothing."""
    kept = [smooth(values[segment], bins) for segment in segments if segment.size >= bins]
    if not kept:
        raise InputError("score", "test", f"a range of at least {bins} bins, the boxcar", "only shorter ones")
    return kept


def _sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What r needs: n, sums, squares and products of the columns, shape (6, unit)."""
    n = np.full(a.shape[1], float(a.shape[0]))
    return np.stack([n, a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)])


def _block_sums(made: list[np.ndarray], counts: list[np.ndarray], block: int) -> np.ndarray:
    """Block sums, shape (block, 6, unit); segments are cut into equal pieces of about `block` bins."""
    # Measured from the overall means, so that the squares keep their digits.
    ends = np.cumsum([len(part) for part in made])[:-1]
    blocks = []
    for a, b in zip(
        *(np.split(_centered(np.concatenate(parts)), ends) for parts in (made, counts)), strict=True
    ):
        pieces = max(1, round(a.shape[0] / block))
        for x, y in zip(np.array_split(a, pieces), np.array_split(b, pieces), strict=True):
            blocks.append(_sums(x, y))
    return np.stack(blocks)


def r_from_sums(sums: np.ndarray) -> np.ndarray:
    """Pearson's r from sums (..., 6, unit), shape (..., unit); NaN for a constant column."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -2, 0)
    va, vb = aa - a * a / n, bb - b * b / n
    # A column is constant if its variance is lost in the rounding of its squares.
    ok = (va > 1e-12 * np.abs(aa)) & (vb > 1e-12 * np.abs(bb))
    return np.where(ok, (ab - a * b / n) / np.sqrt(np.where(ok, va * vb, 1.0)), np.nan)


def _bootstrap_r(sums: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """r of resampled blocks, shape (draw, unit)."""
    n = sums.shape[0]
    weights = rng.multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP).astype(np.float64)
    return r_from_sums(np.tensordot(weights, sums, 1))


def _resample_units(draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean over units drawn anew in each draw, shape (draw,)."""
    chosen = rng.integers(draws.shape[1], size=draws.shape)
    return _mean(np.take_along_axis(draws, chosen, axis=1))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is, as for units that do not vary."""
    there = ~np.isnan(values)
    n = there.sum(axis=-1)
    return np.where(n > 0, np.where(there, values, 0.0).sum(axis=-1) / np.maximum(n, 1), np.nan)


def _interval(draws: np.ndarray) -> np.ndarray:
    """Percentile interval over the first axis, shape (2, ...); NaN where every draw is."""
    tail = 100 * (1 - LEVEL) / 2
    there = ~np.isnan(draws).all(axis=0)
    found = np.full((2, *draws.shape[1:]), np.nan)
    found[:, there] = np.nanpercentile(draws[:, there], [tail, 100 - tail], axis=0)
    return found

"""How well a run predicts bins it has never seen: per unit, with intervals, beside what is possible.

Everything is computed on the bins of the test part that have a prediction whose whole window lies in the same
test range. Smoothing never reaches over the end of such a range: only bins with the whole boxcar inside
count. Intervals are 95 % percentile intervals of a bootstrap over blocks of about 10 s of test time (the
same blocks for all units); those of means and of mean differences resample the units too.
:func:`paper_score` alone smooths as the paper does, over the ends of ranges, and stands under its own name.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.bootstrap import (
    BLOCK_S,
    LEVEL,
    N_BOOTSTRAP,
    block_bins,
    block_sums,
    bootstrap_r,
    draw_blocks,
    in_blocks,
    interval,
    mean_of_finite,
    resample_units,
)
from v1lib.ceiling import noise_share, segment_ceilings, signal_share
from v1lib.errors import InputError
from v1lib.fingerprint import bins_and_units
from v1lib.fit import Run, predict
from v1lib.metrics import (
    Segments,
    bits_from_sums,
    bits_per_spike,
    pearson,
    poisson_gain,
    r_from_sums,
    r_within,
    smooth,
    smooth_over_ends,
    smoothed,
    smoothing_bins,
)
from v1lib.session import check_is_session
from v1lib.splits import SMOOTHING_S, boxcar_bins

__all__ = [
    "LEVEL",
    "N_BOOTSTRAP",
    "bits_per_spike",
    "check_session",
    "paired_difference",
    "paper_score",
    "pearson",
    "r_from_sums",
    "r_within",
    "score",
    "scored_segments",
    "smooth",
]


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
        ``r`` and ``r_smooth`` (2-s boxcar). For spike counts ``bits_per_spike`` over the training part's
        mean rate, and ``ceiling_r``, ``ceiling_r_smooth`` and ``fraction_of_ceiling`` (raw r over raw
        ceiling) from :func:`v1lib.ceiling.poisson_ceiling` on the same bins. With `truth` ``oracle_r``,
        ``oracle_r_smooth`` and ``fraction_of_oracle`` (raw r over raw oracle). Each has ``_interval``, and
        all but the three of the Poisson ceiling, which some units lack, have ``mean_<score>`` and
        ``mean_<score>_interval``, without a unit. In one draw of the bootstrap both sides of a fraction have
        the same blocks; a draw without a positive ceiling counts as an infinite fraction, so that an end of
        its interval that is infinite says that the recording does not bound it.
        Attributes: ``n_bins`` and ``n_blocks``, the same with ``_smooth``, ``part``. A unit that does not
        vary there, or is predicted by a constant, has NaN for r and is left out of the means.

    Raises
    ------
    InputError
        If the session or `truth` has other bins or units than those of the fit, or no range of the part is
        as long as a window and the boxcar.
    """
    check_session("score", run, session)
    segments = scored_segments(run, session, part)
    counts = session["activity"].values.astype(np.float64)
    predicted = predict(run, session, part=part).values.astype(np.float64)
    rng = np.random.default_rng(seed)
    # Streams of their own: what is drawn for one score does not depend on which others there are.
    bits_rng, oracle_rng, ceiling_rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
    width = float(session.attrs["bin_width_s"])
    block = block_bins(width)
    box = boxcar_bins(width)
    found: dict[str, tuple] = {}
    attrs: dict[str, object] = {"part": part, "smoothing_s": SMOOTHING_S, "block_s": BLOCK_S, "level": LEVEL}

    def add(name: str, value: np.ndarray, draws: np.ndarray, rng: np.random.Generator) -> None:
        found[name] = (("unit",), value)
        found[f"{name}_interval"] = (("unit", "bound"), interval(draws).T)
        found[f"mean_{name}"] = ((), mean_of_finite(value))
        found[f"mean_{name}_interval"] = (("bound",), interval(resample_units(draws, rng)))

    def add_r(name: str, made: np.ndarray, bins: int) -> np.ndarray:
        pair = [smoothed("score", values, segments, bins) for values in (made, counts)]
        sums = block_sums(pair[0], pair[1], block)
        add(name, r_from_sums(sums.sum(axis=0)), bootstrap_r(sums, rng), rng)
        suffix = "" if bins == 1 else "_smooth"
        attrs[f"n_bins{suffix}"], attrs[f"n_blocks{suffix}"] = int(sums[:, 0, 0].sum()), sums.shape[0]
        return sums

    sums = add_r("r", predicted, 1)
    add_r("r_smooth", predicted, box)
    if truth is not None:
        rate = _true_rate(truth, session)
        oracle_sums = add_r("oracle_r", rate, 1)
        add_r("oracle_r_smooth", rate, box)
        chosen = draw_blocks(len(sums), oracle_rng)
        draws = [r_from_sums(np.tensordot(chosen, each, 1)) for each in (sums, oracle_sums)]
        add("fraction_of_oracle", found["r"][1] / found["oracle_r"][1], draws[0] / draws[1], oracle_rng)
    if session["activity"].attrs["kind"] == "spike_count":
        mean = np.array(run.scaling.activity_mean)
        bins = np.concatenate(segments)
        value = bits_per_spike(predicted[bins], counts[bins], mean)
        gain = [poisson_gain(predicted[segment], counts[segment], mean) for segment in segments]
        add(
            "bits_per_spike",
            value,
            _bootstrap_bits(gain, [counts[s] for s in segments], block, bits_rng),
            bits_rng,
        )
        found |= _ceiling(session, segments, sums, ceiling_rng)
    return xr.Dataset(found, {"unit": session["unit"], "bound": ["low", "high"]}, attrs)


def _bootstrap_bits(
    gain: list[np.ndarray], counts: list[np.ndarray], block: int, rng: np.random.Generator
) -> np.ndarray:
    """Bits a spike of resampled blocks, shape (draw, unit); NaN in a draw without spikes."""
    by_block = [
        np.stack([piece.sum(axis=0) for piece in in_blocks(parts, block)]) for parts in (gain, counts)
    ]
    chosen = draw_blocks(len(by_block[0]), rng)
    return bits_from_sums(*(chosen @ sums for sums in by_block))


def _ceiling(
    session: xr.Dataset, segments: Segments, sums: np.ndarray, rng: np.random.Generator
) -> dict[str, tuple]:
    """The Poisson ceiling of the scored bins, and raw r as a fraction of it, from raw block sums."""
    found = {f"ceiling_{name}": value for name, value in segment_ceilings(session, segments, rng).items()}
    mean = session["activity"].values[np.concatenate(segments)].mean(axis=0)
    drawn = np.tensordot(draw_blocks(len(sums), rng), sums, 1)
    r, share = r_from_sums(drawn), signal_share(drawn, mean, noise_share(segments, 1))
    with np.errstate(divide="ignore"):  # no positive ceiling: the fraction has no bound
        draws = r / np.sqrt(np.maximum(share, 0.0))
    fraction = r_from_sums(sums.sum(axis=0)) / found["ceiling_r"][1]
    bounds = interval(draws, method="inverted_cdf").T
    found["fraction_of_ceiling"] = (("unit",), fraction)
    found["fraction_of_ceiling_interval"] = (
        ("unit", "bound"),
        np.where(np.isnan(fraction)[:, None], np.nan, bounds),
    )
    return found


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
    check_session("paired_difference", run_a, session)
    check_session("paired_difference", run_b, given_b)
    if run_a.splits != run_b.splits:
        raise InputError("paired_difference", "splits", "the same splits in both runs", "different ones")
    segments = _common(scored_segments(run_a, session, "test"), scored_segments(run_b, session, "test"))
    width = float(session.attrs["bin_width_s"])
    bins = smoothing_bins("paired_difference", smooth_s, width)
    counts = smoothed("paired_difference", session["activity"].values.astype(np.float64), segments, bins)
    block = block_bins(width)
    values, draws = [], []
    for run, given in ((run_a, session), (run_b, given_b)):
        made = smoothed("paired_difference", predict(run, given).values.astype(np.float64), segments, bins)
        sums = block_sums(made, counts, block)
        values.append(r_from_sums(sums.sum(axis=0)))
        draws.append(bootstrap_r(sums, np.random.default_rng(seed)))
    difference, drawn = values[0] - values[1], draws[0] - draws[1]
    return xr.Dataset(
        {
            "difference": ("unit", difference),
            "difference_interval": (("unit", "bound"), interval(drawn).T),
            "mean_difference": mean_of_finite(difference),
            "mean_difference_interval": (
                "bound",
                interval(resample_units(drawn, np.random.default_rng(seed + 1))),
            ),
        },
        {"unit": session["unit"], "bound": ["low", "high"]},
        {"smooth_s": smooth_s, "block_s": BLOCK_S, "level": LEVEL, "n_blocks": sums.shape[0]},
    )


def paper_score(run: Run, session: xr.Dataset) -> xr.Dataset:
    """The paper's own figure: r and squared error of traces smoothed over everything that was tested.

    Predictions and activity of all test bins with a prediction are put in one row, and each row is smoothed
    by a boxcar of the paper's int(2000 / 48) = 41 bins (as many as fit in 2 s at other bin widths) with
    ``numpy.convolve(row, ones / bins, mode="same")``. So the boxcar reaches over the borders of test
    segments, minutes apart, and over both ends of the row, where zeros stand in: there both traces fall
    towards 0 together, which lends r to any prediction, a constant one included. ``r_smooth`` of
    :func:`score`, whose boxcar stays inside segments, is the figure without that.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        As in :func:`score`.

    Returns
    -------
    xarray.Dataset, dim unit
        ``paper_r`` and ``paper_mse`` (mean square of the difference of the smoothed traces, in the activity's
        unit squared: spikes² a bin², or that of fluorescence). Without a unit: ``mean_paper_r`` and
        ``sd_paper_r``, mean and population standard deviation (divisor: number of units) over units that
        are not NaN, and ``mean_paper_mse``. A unit silent in all of the test part has NaN for r.
        Attributes: ``n_bins`` and ``boxcar_bins``.

    Raises
    ------
    InputError
        If the session has other bins or units than those of the fit, or there are fewer test bins than the
        boxcar has.
    """
    check_session("paper_score", run, session)
    bins = np.concatenate(scored_segments(run, session, "test"))
    box = boxcar_bins(float(session.attrs["bin_width_s"]))
    if bins.size < box:
        raise InputError("paper_score", "test", f"at least {box} bins, the boxcar", str(bins.size))
    made, measured = (
        smooth_over_ends(values[bins], box)
        for values in (predict(run, session, part="test").values, session["activity"].values)
    )
    r, error = pearson(made, measured), np.square(made - measured).mean(axis=0)
    mean = mean_of_finite(r)
    return xr.Dataset(
        {
            "paper_r": ("unit", r),
            "mean_paper_r": mean,
            "sd_paper_r": np.sqrt(mean_of_finite((r - mean) ** 2)),
            "paper_mse": ("unit", error),
            "mean_paper_mse": error.mean(),
        },
        {"unit": session["unit"]},
        {"n_bins": bins.size, "boxcar_bins": box},
    )


def check_session(where: str, run: Run, session: xr.Dataset) -> None:
    """Refuse a session of other bins or units; a run of an older version carries no mark to compare with."""
    check_is_session(where, session)
    mark = bins_and_units(session)
    if run.provenance.get("bins_and_units", mark) != mark:
        raise InputError(where, "session", "the bins and units that the run was fitted to", "others")


def scored_segments(run: Run, session: xr.Dataset, part: str) -> Segments:
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

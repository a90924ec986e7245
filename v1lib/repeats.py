"""What repeats of a stimulus tell: how reliable a unit is, and how well any model of the stimulus can do.

A session with repeats is one whose stretches are trials of equal length, each of one `condition` (coordinate
on time). The part of a response that comes back in every repeat of its condition is called signal here, the
rest noise, whatever it comes from: spontaneous activity, the animal's behaviour, the measurement.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import t as student_t

from v1lib.errors import InputError
from v1lib.fit import Run, predict
from v1lib.score import LEVEL, N_BOOTSTRAP, pearson, r_from_sums
from v1lib.session import stretch_ranges
from v1lib.splits import Splits


def trial_tensor(session: xr.Dataset, values: xr.DataArray | None = None) -> xr.DataArray:
    """Arrange what happened by trial.

    Parameters
    ----------
    session : xarray.Dataset
        With coordinates ``condition`` and ``trial_time`` on time.
    values : xarray.DataArray, dims (time, unit), optional
        Aligned to the session, such as a prediction; the session's activity if not given.

    Returns
    -------
    xarray.DataArray, dims (trial, sample, unit)
        With coordinates ``condition`` (trial) and ``trial_time`` (sample, s).

    Raises
    ------
    InputError
        If the coordinates are missing, trials differ in length or times, or a trial has two conditions.
    """
    values = session["activity"] if values is None else values
    for name in ("condition", "trial_time"):
        if name not in session.coords:
            raise InputError("session", name, "a coordinate on time", "none")
    if values.sizes["time"] != session.sizes["time"]:
        found = f"{values.sizes['time']}"
        raise InputError("trial_tensor", "values", f"{session.sizes['time']} bins, as the session", found)
    lengths = {b - a for a, b in stretch_ranges(session)}
    if len(lengths) != 1:
        found = f"lengths from {min(lengths)} to {max(lengths)} bins"
        raise InputError("session", "stretch", "trials of one length", found)
    length = lengths.pop()
    shape = (session.sizes["time"] // length, length)
    condition = session["condition"].values.reshape(shape)
    trial_time = session["trial_time"].values.reshape(shape)
    if (condition != condition[:, :1]).any():
        raise InputError("session", "condition", "one value in a trial", "several")
    if np.abs(trial_time - trial_time[0]).max() > 1e-6:
        raise InputError("session", "trial_time", "the same times in every trial", "different ones")
    return xr.DataArray(
        values.values.reshape(*shape, -1),
        {
            "condition": ("trial", condition[:, 0]),
            "trial_time": ("sample", trial_time[0]),
            "unit": session["unit"].values,
        },
        ("trial", "sample", "unit"),
    )


def split_half_reliability(
    session: xr.Dataset, *, after_s: float = 0.0, n_splits: int = 100, seed: int = 0
) -> xr.DataArray:
    """How well a unit's tuning in one half of the repeats agrees with its tuning in the other.

    The response to a trial is its mean activity later than `after_s`; the tuning is the mean response to each
    condition. Pearson's r between the tunings of two random halves is averaged over many halvings.

    Parameters
    ----------
    session : xarray.Dataset
        See :func:`trial_tensor`.
    after_s : float
        Seconds of trial time.
    n_splits, seed : int
        Number of halvings, and what draws them.

    Returns
    -------
    xarray.DataArray, dim unit
        r of **halves**; :func:`spearman_brown` gives that of all repeats. NaN for a constant unit.
    """
    trials = trial_tensor(session)
    late = trials["trial_time"].values > after_s
    if not late.any():
        raise InputError("session", "trial_time", f"samples later than {after_s} s", "none")
    groups = _conditions(trials)
    few = min(len(group) for group in groups)
    if len(groups) < 3 or few < 2:
        expected = "at least 3 conditions of at least 2 trials each"
        raise InputError("session", "condition", expected, f"{len(groups)} of at least {few}")
    response = trials.values[:, late].mean(axis=1, dtype=float)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_splits):
        drawn = [rng.permutation(group) for group in groups]
        first = np.stack([response[group[: len(group) // 2]].mean(axis=0) for group in drawn])
        second = np.stack([response[group[len(group) // 2 :]].mean(axis=0) for group in drawn])
        found.append(pearson(first, second))
    return xr.DataArray(np.mean(found, axis=0), {"unit": trials["unit"]}, ("unit",), "reliability")


def spearman_brown(reliability, factor: float = 2.0):
    """Reliability of `factor` times as many repeats, from that of some: k r / (1 + (k - 1) r).

    Source: Spearman 1910 and Brown 1910, British Journal of Psychology 3.
    """
    return factor * reliability / (1 + (factor - 1) * reliability)


def noise_ceiling(session: xr.Dataset, *, from_s: float = -np.inf) -> xr.Dataset:
    """The highest raw r with single trials that a prediction from condition and trial time can reach.

    With N repeats, of which y_n is one and y the mean, over all conditions and samples:

    signal power S = (N · var(y) - mean of var(y_n)) / (N - 1), total power T = mean of var(y_n),

    and the expected response itself correlates with single trials at √(S / T). Both powers are unbiased, so
    the estimate of S falls below zero in half of all units without signal. The ceiling is then given as
    -√(-S / T): it stays below zero, as a sign that the repeats show no signal, and is neither cut to zero nor
    left out, either of which would raise a mean over units.

    Parameters
    ----------
    session : xarray.Dataset
        See :func:`trial_tensor`; equally many trials of each condition.
    from_s : float
        Trial time, s: earlier samples are left out, as a model leaves out its first window.

    Returns
    -------
    xarray.Dataset, dim unit
        ``signal_power``, ``total_power``, ``ceiling``, ``ceiling_interval`` (unit, bound): 95 % by the
        jackknife over repeats. Attributes ``n_repeats``, ``n_conditions``.

    Notes
    -----
    Sahani and Linden 2003 (Advances in Neural Information Processing Systems 15); the normalisation of r is
    that of Schoppe, Harper, Willmore, King and Schnupp 2016 (Frontiers in Computational Neuroscience 10).
    A prediction that also knows the animal's behaviour can pass this ceiling, because what behaviour adds to
    the response counts as noise here.
    """
    trials = trial_tensor(session)
    groups = _conditions(trials)
    counts = {len(group) for group in groups}
    if len(counts) != 1 or min(counts) < 3:
        expected = "equally many trials of each condition, at least 3"
        raise InputError("session", "condition", expected, f"from {min(counts)} to {max(counts)}")
    chosen = trials["trial_time"].values >= from_s
    if not chosen.any():
        raise InputError("session", "trial_time", f"samples from {from_s} s on", "none")
    n_repeats = counts.pop()
    # Repeat n is the n-th trial of each condition, all samples in a row: (repeat, condition · sample, unit).
    repeats = np.stack([trials.values[group][:, chosen].astype(float) for group in groups], axis=1)
    repeats = repeats.reshape(n_repeats, -1, trials.sizes["unit"])
    signal, total = _powers(repeats)
    left_out = np.stack([np.divide(*_powers(np.delete(repeats, n, axis=0))) for n in range(n_repeats)])
    error = np.sqrt((n_repeats - 1) * np.mean((left_out - left_out.mean(axis=0)) ** 2, axis=0))
    reach = student_t.ppf((1 + LEVEL) / 2, n_repeats - 1) * error
    share = signal / total
    return xr.Dataset(
        {
            "signal_power": ("unit", signal),
            "total_power": ("unit", total),
            "ceiling": ("unit", _signed_root(share)),
            "ceiling_interval": (
                ("unit", "bound"),
                _signed_root(np.stack([share - reach, share + reach], -1)),
            ),
        },
        {"unit": trials["unit"], "bound": ["low", "high"]},
        {"n_repeats": n_repeats, "n_conditions": len(groups), "level": LEVEL},
    )


def held_out(runs: list[Run], session: xr.Dataset) -> xr.DataArray:
    """Predictions of the folds of one model, each for its own test trials, put together.

    Parameters
    ----------
    runs : list of Run
        Fitted to the same session, with test parts that do not overlap.

    Returns
    -------
    xarray.DataArray, dims (time, unit)
        NaN in bins that no fold tests, and where a prediction has no whole window behind it.
    """
    together = np.full(session["activity"].shape, np.nan, dtype=np.float32)
    taken = np.zeros(session.sizes["time"], bool)
    for run in runs:
        bins = run.splits.bins("test")
        if taken[bins].any():
            raise InputError("held_out", "runs", "test parts that do not overlap", "a bin tested twice")
        taken[bins] = True
        together[bins] = predict(run, session).values[bins]
    coords = {"time": session["time"], "unit": session["unit"]}
    return xr.DataArray(together, coords, ("time", "unit"), "prediction")


def average_prediction(session: xr.Dataset, folds: list[Splits]) -> xr.DataArray:
    """The plainest prediction: each test trial as the mean of its condition's trials in training.

    Training here is the train and the validation part. Knows nothing but condition and trial time.

    Parameters
    ----------
    session : xarray.Dataset
        See :func:`trial_tensor`.
    folds : list of Splits
        By the protocol ``trials``, with test parts that do not overlap.

    Returns
    -------
    xarray.DataArray, dims (time, unit)
        NaN in trials that no fold tests.
    """
    trials = trial_tensor(session)
    condition = trials["condition"].values
    made = np.full(trials.shape, np.nan)
    for fold in folds:
        test = _trials_of(fold, "test", trials.sizes["sample"])
        known = np.concatenate(
            [_trials_of(fold, part, trials.sizes["sample"]) for part in ("train", "validation")]
        )
        for value in np.unique(condition[test]):
            same = known[condition[known] == value]
            made[test[condition[test] == value]] = trials.values[same].mean(axis=0, dtype=float)
    coords = {"time": session["time"], "unit": session["unit"]}
    return xr.DataArray(made.reshape(session["activity"].shape), coords, ("time", "unit"), "prediction")


def shuffle_frames(session: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """A control: the same session with each trial's frames replaced by those of a trial drawn at random.

    Every trial's frames are used once. Frames then tell when a grating comes on, but nothing about which.
    """
    length = trial_tensor(session).sizes["sample"]
    frames = session["frames"].values
    trials = frames.reshape(-1, length, *frames.shape[1:])
    order = np.random.default_rng(seed).permutation(len(trials))
    return session.assign(frames=session["frames"].copy(data=trials[order].reshape(frames.shape)))


def tuning_agreement(
    session: xr.Dataset, prediction: xr.DataArray, folds: list[Splits], *, after_s: float = 0.0
) -> xr.DataArray:
    """How well the tuning that a model predicts agrees with that of trials it has never seen.

    In each fold the mean response later than `after_s` to each condition is taken from the test trials, once
    as measured and once as predicted; r between the two is averaged over folds. Without tuning it is 0 on
    average, whatever else the model predicts. It can be set beside :func:`split_half_reliability`.

    Returns
    -------
    xarray.DataArray, dim unit
    """
    measured, made = trial_tensor(session), trial_tensor(session, prediction)
    condition = measured["condition"].values
    late = measured["trial_time"].values > after_s
    found = []
    for fold in folds:
        test = _trials_of(fold, "test", measured.sizes["sample"])
        values = np.unique(condition[test])
        if len(values) < 3:
            raise InputError(
                "tuning_agreement", "folds", "at least 3 conditions in a test part", f"{len(values)}"
            )
        rows = []
        for trials in (measured, made):
            response = trials.values[test][:, late].mean(axis=1, dtype=float)
            rows.append(np.stack([response[condition[test] == value].mean(axis=0) for value in values]))
        found.append(pearson(*rows))
    return xr.DataArray(np.mean(found, axis=0), {"unit": measured["unit"]}, ("unit",), "tuning_agreement")


def score_trials(
    session: xr.Dataset, predictions: dict[str, xr.DataArray], *, reference: str | None = None, seed: int = 0
) -> xr.Dataset:
    """Raw r with single held-out trials, of several models on the same bins, with intervals.

    Parameters
    ----------
    session : xarray.Dataset
        See :func:`trial_tensor`.
    predictions : dict of xarray.DataArray (time, unit)
        By the name of the model, as from :func:`held_out`. A bin counts if all of them predict it.
    reference : str, optional
        The model from which the others' mean r is subtracted; the first one if not given.
    seed : int
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset, dims (model, unit)
        ``r``, ``r_interval`` (model, unit, bound), ``mean_r`` (model), ``mean_r_interval``, ``difference``
        (model: mean r of the reference less this one's) and ``difference_interval``. Intervals are 95 %
        percentiles of a bootstrap over trials within their condition, the same trials for all models and
        units; those of means and differences draw the units anew, too. ``mean_r_draws`` (draw, model) are
        the means of the bootstrap. Attributes ``n_trials``, ``n_bins``.
    """
    names = list(predictions)
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise InputError("score_trials", "reference", f"one of {names}", repr(reference))
    measured = trial_tensor(session)
    truth = measured.values.astype(float)
    made, there = _common_predictions(session, predictions)
    sums = np.stack([_trial_sums(model, truth, there) for model in made])  # (model, trial, 6, unit)
    tested = np.asarray(there.any(axis=1))
    groups = [group[tested[group]] for group in _conditions(measured) if tested[group].any()]
    rng = np.random.default_rng(seed)
    n_units = truth.shape[2]
    draws = np.empty((N_BOOTSTRAP, len(names), n_units))
    means = np.empty((N_BOOTSTRAP, len(names)))
    for number in range(N_BOOTSTRAP):
        weight = np.zeros(truth.shape[0])
        for group in groups:
            np.add.at(weight, rng.choice(group, group.size), 1.0)
        draws[number] = _sums_r(np.tensordot(weight, sums, (0, 1)))
        means[number] = draws[number][:, rng.integers(n_units, size=n_units)].mean(axis=1)
    r = _sums_r(sums.sum(axis=1))
    place = names.index(reference)
    mean = r.mean(axis=1)
    return xr.Dataset(
        {
            "r": (("model", "unit"), r),
            "r_interval": (("model", "unit", "bound"), _interval(draws)),
            "mean_r": ("model", mean),
            "mean_r_interval": (("model", "bound"), _interval(means)),
            "difference": ("model", mean[place] - mean),
            "difference_interval": (("model", "bound"), _interval(means[:, [place]] - means)),
            "mean_r_draws": (("draw", "model"), means),
        },
        {"model": names, "unit": session["unit"], "bound": ["low", "high"]},
        {"n_trials": int(tested.sum()), "n_bins": int(there.sum()), "reference": reference},
    )


def contrast_difference(first: xr.Dataset, second: xr.Dataset, model: str) -> xr.Dataset:
    """By how much a difference between two models is larger in one animal than in another.

    Parameters
    ----------
    first, second : xarray.Dataset
        Results of :func:`score_trials` with the same reference, of two sessions without common units.
    model : str
        The difference is the mean r of the reference less that of this model.

    Returns
    -------
    xarray.Dataset
        ``contrast``, the difference in the first less that in the second, and ``contrast_interval`` (bound).
    """
    if first.attrs["reference"] != second.attrs["reference"]:
        found = f"{first.attrs['reference']!r} and {second.attrs['reference']!r}"
        raise InputError("contrast_difference", "scores", "one reference", found)
    draws = []
    for score in (first, second):
        means = score["mean_r_draws"]
        draws.append((means.sel(model=score.attrs["reference"]) - means.sel(model=model)).values)
    # Two sessions drawn with one seed took the same trial numbers in each draw; one step apart they did not.
    contrast = first["difference"].sel(model=model) - second["difference"].sel(model=model)
    interval = _interval(draws[0] - np.roll(draws[1], 1))
    return xr.Dataset(
        {"contrast": float(contrast), "contrast_interval": ("bound", interval)}, {"bound": ["low", "high"]}
    )


def share_of_ceiling(
    session: xr.Dataset, predictions: dict[str, xr.DataArray], *, seed: int = 0
) -> xr.Dataset:
    """Mean raw r of each model as a share of the mean ceiling, with an interval that knows both uncertain.

    The bootstrap draws repeats, the n-th trials of all conditions together, and units. A repeat drawn twice
    would count its noise as signal, so signal power comes from pairs of different repeats alone; without
    draws that is the estimate of :func:`noise_ceiling`.

    Parameters
    ----------
    session : xarray.Dataset
        See :func:`noise_ceiling`.
    predictions : dict of xarray.DataArray (time, unit)
        By the name of the model, for the same samples in every trial.
    seed : int
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset, dim model
        ``share`` and ``share_interval`` (model, bound), 95 % percentiles.
    """
    made, there = _common_predictions(session, predictions)
    if (there != there[0]).any():
        raise InputError(
            "share_of_ceiling", "predictions", "the same samples in every trial", "different ones"
        )
    measured = trial_tensor(session)
    truth = measured.values.astype(float)
    from_s = float(measured["trial_time"].values[there[0]].min())
    ceiling = noise_ceiling(session, from_s=from_s)["ceiling"].values
    order = np.stack(_conditions(measured))  # (condition, repeat)
    sums = np.stack([_trial_sums(model, truth, there)[order].sum(axis=0) for model in made])
    repeats = np.moveaxis(truth[order][:, :, there[0]], 1, 0)
    repeats = repeats.reshape(order.shape[1], -1, truth.shape[2])
    repeats = repeats - repeats.mean(axis=1, keepdims=True)
    pairs = np.einsum("npu,mpu->nmu", repeats, repeats)
    n_repeats, n_units = len(pairs), truth.shape[2]
    rng = np.random.default_rng(seed)
    draws = np.empty((N_BOOTSTRAP, len(made)))
    for number in range(N_BOOTSTRAP):
        weight = np.zeros(n_repeats)
        while np.count_nonzero(weight) < 2:  # one repeat alone says nothing of a signal
            weight = np.bincount(rng.integers(n_repeats, size=n_repeats), minlength=n_repeats).astype(float)
        together = np.outer(weight, weight)
        np.fill_diagonal(together, 0.0)
        signal = np.tensordot(together, pairs, 2) / together.sum()
        total = np.einsum("n,nnu->u", weight, pairs) / n_repeats
        units = rng.integers(n_units, size=n_units)
        r = _sums_r(np.tensordot(weight, sums, (0, 1)))
        draws[number] = r[:, units].mean(axis=1) / _signed_root(signal / total)[units].mean()
    share = _sums_r(sums.sum(axis=1)).mean(axis=1) / ceiling.mean()
    return xr.Dataset(
        {"share": ("model", share), "share_interval": (("model", "bound"), _interval(draws))},
        {"model": list(predictions), "bound": ["low", "high"]},
    )


def _common_predictions(
    session: xr.Dataset, predictions: dict[str, xr.DataArray]
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (model, trial, sample, unit) and which samples (trial, sample) all of them predict."""
    made = np.stack([trial_tensor(session, one).values for one in predictions.values()]).astype(float)
    there = np.isfinite(made).all(axis=(0, 3))
    if not there.any():
        raise InputError("repeats", "predictions", "a bin that all models predict", "none")
    return made, there


def _conditions(trials: xr.DataArray) -> list[np.ndarray]:
    """Numbers of the trials of each condition, in order."""
    condition = trials["condition"].values
    return [np.flatnonzero(condition == value) for value in np.unique(condition)]


def _trials_of(fold: Splits, part: str, length: int) -> np.ndarray:
    """Numbers of the trials of a part, each of `length` bins."""
    if any(a % length or b - a != length for a, b in fold.ranges(part)):
        raise InputError("splits", part, "whole trials (protocol trials)", f"protocol {fold.protocol}")
    return np.array([a // length for a, _ in fold.ranges(part)], dtype=int)


def _powers(repeats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signal and total power of each unit, from (repeat, point, unit)."""
    n = len(repeats)
    total = repeats.var(axis=1, ddof=1).mean(axis=0)
    return (n * repeats.mean(axis=0).var(axis=0, ddof=1) - total) / (n - 1), total


def _signed_root(share: np.ndarray) -> np.ndarray:
    return np.sign(share) * np.sqrt(np.abs(share))


def _trial_sums(made: np.ndarray, truth: np.ndarray, there: np.ndarray) -> np.ndarray:
    """What r needs, from each trial: (trial, 6, unit), of arrays (trial, sample, unit)."""
    # Less each unit's mean, so that the squares keep their digits.
    a = np.where(there[..., None], made - made[there].mean(axis=0), 0.0)
    b = np.where(there[..., None], truth - truth[there].mean(axis=0), 0.0)
    count = np.broadcast_to(there.sum(axis=1)[:, None], a.sum(axis=1).shape).astype(float)
    parts = [count, a.sum(1), b.sum(1), (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)]
    return np.stack(parts, axis=1)


def _sums_r(sums: np.ndarray) -> np.ndarray:
    """Pearson's r from sums (..., 6, unit); a prediction or a unit that does not vary has r 0."""
    return np.nan_to_num(r_from_sums(sums))


def _interval(draws: np.ndarray) -> np.ndarray:
    """Percentile interval over the first axis, as a last axis of two; NaN where a draw is."""
    tail = 100 * (1 - LEVEL) / 2
    return np.moveaxis(np.percentile(draws, [tail, 100 - tail], axis=0), 0, -1)

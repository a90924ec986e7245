"""The search for jumps of the camera's clock: fit, place each jump, drop the unsure, look for small ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from v1lib.align.clock_checks import LEAST_QUALITY, LEAST_STEPS
from v1lib.align.clock_lags import GRID_HZ
from v1lib.align.clock_likelihood import (
    FAST_AT,
    FREEDOM,
    LEAST_STRETCH_STEPS,
    Model,
    covariance_of,
    jacobian_of,
    maximise_slow,
    on_ephys,
    residual_of,
    size_errors,
    sizes_of,
    slow_of,
    start_model,
    turned_by,
    weight_of,
)
from v1lib.align.clock_streams import Head, Steps, correlation, covered, spread, steps_of
from v1lib.errors import InputError

#: Blocks of the sandwich, and of the search for small jumps, s.
BLOCK_S, _FINE_BLOCK_S = 10.0, 2.0
#: A jump is reported from this size on, s, and from this many standard errors on.
LEAST_JUMP_S, _JUMP_STANDARD_ERRORS = 0.008, 6.0
#: Chi-square that a small jump must gain over a straight line, and over a smooth bend of the clock.
_JUMP_GAIN, _JUMP_OVER_BEND = 40.0, 15.0
#: Log likelihood within which the place of a jump is taken to lie; more than chance needs, because errors
#: of neighbouring steps are alike. A gap of the stamps that can hold the jump may lie this much off.
_PLACE_SUPPORT, _GAP_SUPPORT = 10.0, 20.0
_PLACE_SEARCH_S = 60.0
_MOST_JUMPS = 8


def fit_with_jumps(
    eye_time: np.ndarray, eye_theta: np.ndarray, head: Head, centers: np.ndarray, path: np.ndarray
) -> tuple[Steps, Model]:
    """Fit from the lag of each coarse window; find, place and weigh jumps.

    Returns the steps with a gyroscope and outside the places of jumps, and the model.
    """
    every = steps_of(eye_time, eye_theta)
    wide = np.flatnonzero(np.diff(eye_time) > 1.4 * np.median(np.diff(eye_time)))
    gaps = np.column_stack([eye_time[wide], eye_time[wide + 1]])
    model = _coarse_model(every, centers, path)
    searching, added = True, False
    while True:
        model = _refit(every, head, model)
        places = tuple(_place(every, gaps, head, model, k) for k in range(len(model.places)))
        model = _refit(every, head, model._replace(places=places))
        weak = _weakest(every, head, model)
        if weak is not None:
            model = _without(model, weak, lost=weak + 1)
            searching = not added  # a small jump that did not hold would only be found again
            continue
        steps = _select(every, head, model)
        if len(model.places) > _MOST_JUMPS:
            expected = f"a camera clock that jumps at most {_MOST_JUMPS} times"
            raise InputError("estimate_clock", "eye_time", expected, f"{len(model.places)} jumps")
        small = _small_jump(steps, head, model) if searching else None
        if small is None:
            return steps, model
        model, added = _with(model, *small), True


def _coarse_model(every: Steps, centers: np.ndarray, path: np.ndarray) -> Model:
    """A start from the lags of the coarse windows: one line, with a jump wherever the path does."""
    cuts = np.flatnonzero(np.abs(np.diff(path)) > 1.5 / GRID_HZ)
    places = tuple((float(centers[cut]), float(centers[cut + 1])) for cut in cuts)
    number = np.searchsorted(cuts, np.arange(centers.size))
    design = np.column_stack([number[:, None] == np.arange(cuts.size + 1), centers - centers.mean()])
    *shifts, slope = np.linalg.lstsq(design, path, rcond=None)[0]
    slope = slope if centers.size > cuts.size + 2 else 0.0
    model = start_model(every, np.array(shifts), slope, places)
    return model._replace(shift=model.shift + model.slope * (model.middle - centers.mean()))


def _middles(model: Model) -> list[float]:
    """Where one stretch gives way to the next, s, camera clock."""
    return [0.5 * (after + before) for after, before in model.places]


def _select(every: Steps, head: Head, model: Model) -> Steps:
    """Steps over which the gyroscope ran and that touch no jump, each in its stretch."""
    every = every._replace(stretch=np.searchsorted(_middles(model), every.first))
    kept = covered(every, on_ephys(every.first, every, model) - every.first, head)
    for after, before in model.places:
        kept &= (every.last <= after) | (every.first >= before)
    if kept.sum() < LEAST_STEPS:
        expected = f"{LEAST_STEPS} steps between tracked frames while the gyroscope ran"
        raise InputError("estimate_clock", "eye_theta", expected, str(int(kept.sum())))
    return every.at(kept)


def _refit(every: Steps, head: Head, model: Model) -> Model:
    """The likeliest parameters; a stretch too short to be fitted loses its jump."""
    steps = _select(every, head, model)
    counts = np.bincount(steps.stretch, minlength=model.shift.size)
    while model.places and counts.min() < LEAST_STRETCH_STEPS:
        short = int(counts.argmin())
        model = _without(model, min(short, len(model.places) - 1), lost=short)
        steps = _select(every, head, model)
        counts = np.bincount(steps.stretch, minlength=model.shift.size)
    model, slow = maximise_slow(steps, head, model)
    if slow.sum() < LEAST_STRETCH_STEPS:
        expected = f"{LEAST_STRETCH_STEPS} steps clear of the eye's own fast movements"
        raise InputError("estimate_clock", "eye_theta", expected, str(int(slow.sum())))
    return model


def _without(model: Model, k: int, *, lost: int) -> Model:
    """The model without jump `k`; the shift of stretch `lost` goes with it."""
    places = model.places[:k] + model.places[k + 1 :]
    return model._replace(places=places, shift=np.delete(model.shift, lost))


def _with(model: Model, at: float, change: float) -> Model:
    """The model with one more jump about camera time `at` (s), of so much change of the shift (s)."""
    k = int(np.searchsorted(_middles(model), at))
    shift = np.insert(model.shift, k, model.shift[k])
    shift[k + 1] += change
    place = (at - _FINE_BLOCK_S, at + _FINE_BLOCK_S)
    return model._replace(places=(*model.places[:k], place, *model.places[k:]), shift=shift)


def _weakest(every: Steps, head: Head, model: Model) -> int | None:
    """The least sure of the jumps that are too small or too unsure to report; None if there is none."""
    if not model.places:
        return None
    steps = _select(every, head, model)
    slow = steps.at(slow_of(steps, head, model))
    sizes = sizes_of(model)
    errors = size_errors(covariance_of(slow, head, model, BLOCK_S), model.shift.size)
    turned = turned_by(slow, head, model)
    agrees = [
        correlation(-slow.size[slow.stretch == k], turned[slow.stretch == k]) for k in range(model.shift.size)
    ]
    # A stretch in which eye and head do not agree has no lag, and no jump to it.
    sure = np.abs(sizes) / np.maximum(errors, 1e-9)
    sure[[not min(pair) > LEAST_QUALITY for pair in pairwise(agrees)]] = 0.0
    weak = (sure < _JUMP_STANDARD_ERRORS) | (np.abs(sizes) < LEAST_JUMP_S)
    return int(np.where(weak, sure, np.inf).argmin()) if weak.any() else None


def _place(every: Steps, gaps: np.ndarray, head: Head, model: Model, k: int) -> tuple[float, float]:
    """Between which camera times jump `k` lies: where the likelihood of the old lag gives way to the new.

    One of the `gaps` of the stamps, (gap, 2), that can hold the jump is preferred to what lies beside it.
    """
    begin, end = model.places[k][0] - _PLACE_SEARCH_S, model.places[k][1] + _PLACE_SEARCH_S
    begin = max(begin, model.places[k - 1][1]) if k else begin
    end = min(end, model.places[k + 1][0]) if k + 1 < len(model.places) else end
    steps = every.at((every.first >= begin) & (every.last <= end))
    along = _likelihood_along(steps, head, model, k)
    size = sizes_of(model)[k]
    lost = np.diff(gaps, axis=1)[:, 0] - np.median(steps.last - steps.first)
    held = (lost > (0.8 * size if size > 0 else -0.5 * size)) & (gaps[:, 0] >= begin) & (gaps[:, 1] <= end)
    held &= along[np.searchsorted(steps.first, gaps[:, 1])] > -_GAP_SUPPORT
    if held.any():
        after, before = gaps[held][lost[held].argmax()]
        return float(after), float(before)
    likely = np.flatnonzero(along > -_PLACE_SUPPORT)
    after = steps.first[max(likely[0] - 1, 0)]
    before = steps.last[min(likely[-1], steps.last.size - 1)]
    # A forward jump takes as much of the camera's count as it is large.
    short = max(size + 1e-3 - (before - after), 0.0)
    return float(after - 0.5 * short), float(before + 0.5 * short)


def _likelihood_along(steps: Steps, head: Head, model: Model, k: int) -> np.ndarray:
    """Log likelihood, less the highest, that jump `k` lies after so many of the steps, (n + 1,)."""
    residuals, ran = [], np.ones(steps.first.size, bool)
    for stretch in (k, k + 1):
        there = steps._replace(stretch=np.full(steps.first.size, stretch))
        residuals.append(residual_of(there, turned_by(there, head, model), model) / model.scale)
        ran &= covered(there, on_ephys(there.first, there, model) - there.first, head)
    old, new = residuals
    # What is fast by both clocks is the eye's own and speaks for neither.
    telling = ran & (np.minimum(np.abs(old), np.abs(new)) < FAST_AT)
    terms = 0.5 * (FREEDOM + 1) * (np.log1p(new**2 / FREEDOM) - np.log1p(old**2 / FREEDOM))
    # With the jump after i steps, i of them are on the old count.
    along = np.concatenate([[0.0], np.cumsum(np.where(telling, terms, 0.0))])
    return along - along.max()


def _small_jump(steps: Steps, head: Head, model: Model) -> tuple[float, float] | None:
    """Place (s, camera clock) and change of shift (s) of a jump that the lags left over show; None if none.

    On the lags left over in each two seconds, a step must gain clearly over one line, and over a bend of
    third order.
    """
    steps = steps.at(slow_of(steps, head, model))
    begin, end_s, lag, root = _lags_left(steps, head, model)
    within = steps.stretch[begin]
    time = 2 * (steps.first[begin] - model.middle) / (steps.last[-1] - steps.first[0])
    line = np.column_stack([within[:, None] == np.arange(model.shift.size), time])
    bend = np.column_stack([line, time**2, time**3])
    basis, bent = (np.linalg.qr(columns * root[:, None])[0] for columns in (line, bend))
    left = lag - basis @ (basis.T @ lag)
    variance = spread(left) ** 2
    bend_gain = (left @ left - np.sum((lag - bent @ (bent.T @ lag)) ** 2)) / variance
    # Column k is a step after block k within its stretch, freed of what the line takes up.
    number = np.arange(lag.size)
    later = (number[:, None] > number) & (within[:, None] == within)
    step = later * root[:, None]
    step -= basis @ (basis.T @ step)
    power = (step**2).sum(axis=0)
    enough = power > 1e-3 * root @ root / lag.size
    change = np.divide(left @ step, power, out=np.zeros(lag.size), where=enough)
    gain = change**2 * power / variance
    k = int(gain.argmax())
    if gain[k] < _JUMP_GAIN or gain[k] - bend_gain < _JUMP_OVER_BEND or abs(change[k]) < 0.8 * LEAST_JUMP_S:
        return None
    return float(end_s[k]), float(change[k])


def _lags_left(
    steps: Steps, head: Head, model: Model
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The lag left over in each two seconds: the score of the likelihood over its information.

    Of each block that tells something: its first step, its end (s, camera clock), the lag in its standard
    errors, and the root of the information (1 / s).
    """
    turned = turned_by(steps, head, model)
    residual = residual_of(steps, turned, model)
    weight = weight_of(residual, model)
    jacobian = jacobian_of(steps, head, model, turned, free_slope=False)
    by_shift = jacobian[np.arange(steps.stretch.size), steps.stretch]
    block = ((steps.first - steps.first[0]) / _FINE_BLOCK_S).astype(int)
    information = np.bincount(block, weight * by_shift**2)
    score = -np.bincount(block, weight * residual * by_shift)
    filled = np.flatnonzero(information > 1e-3 * np.median(information[information > 0]))
    root = np.sqrt(information[filled])
    end_s = steps.first[0] + (filled + 1) * _FINE_BLOCK_S
    return np.searchsorted(block, filled), end_s, score[filled] / root, root

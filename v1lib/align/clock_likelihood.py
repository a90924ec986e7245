"""The likelihood of steps of the eye given the head and a clock: its maximum, and the errors of that.

The model is written out in :func:`v1lib.align.clocks.estimate_clock`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from v1lib.align.clock_streams import Head, Steps, angle, correlation, spread

#: Fewer steps than this are not fitted by themselves.
LEAST_STRETCH_STEPS = 200
#: Degrees of freedom of Student's t.
FREEDOM = 4.0
#: Steps this many spreads off are fast movements of the eye's own.
FAST_AT = 5.0
#: What is left out before and after them, s.
_FAST_BEFORE_S, _FAST_AFTER_S = 0.1, 0.025


class Model(NamedTuple):
    """Parameters: t_ephys = t_cam + shift[stretch] + slope · (t_cam − middle); see estimate_clock.

    `places` are the camera times between which each jump lies; they part the stretches and count as known.
    """

    middle: float
    shift: np.ndarray
    slope: float
    gain: float
    bias: float
    back: float
    scale: float
    places: tuple[tuple[float, float], ...]


def start_model(
    steps: Steps, shift: np.ndarray, slope: float, places: tuple[tuple[float, float], ...] = ()
) -> Model:
    """Where the search for the maximum starts: by these shifts (s) about the middle of the steps."""
    middle = 0.5 * (steps.first[0] + steps.last[-1])
    return Model(middle, shift, slope, 0.5, bias=0.0, back=0.0, scale=spread(steps.size), places=places)


def on_ephys(time: np.ndarray, steps: Steps, model: Model) -> np.ndarray:
    """Ephys-clock times of camera times, one of each step."""
    return time + model.shift[steps.stretch] + model.slope * (time - model.middle)


def turned_by(steps: Steps, head: Head, model: Model) -> np.ndarray:
    """By how much the head turned during each step of the eye, deg, (n,)."""
    stop, start = (angle(on_ephys(t, steps, model), head) for t in (steps.last, steps.first))
    return stop - start


def residual_of(steps: Steps, turned: np.ndarray, model: Model) -> np.ndarray:
    """What the model leaves over of each step, deg, (n,)."""
    return steps.size + model.gain * turned - model.bias + model.back * steps.away


def weight_of(residual: np.ndarray, model: Model) -> np.ndarray:
    """Weights of Student's t, (n,)."""
    return (FREEDOM + 1) / (FREEDOM + (residual / model.scale) ** 2)


def jacobian_of(
    steps: Steps, head: Head, model: Model, turned: np.ndarray, *, free_slope: bool
) -> np.ndarray:
    """Derivatives of the residual by shifts (s), slope (if free), gain, bias, back, (n, parameters)."""
    n_shifts = model.shift.size
    stop, start = (
        np.interp(on_ephys(t, steps, model), head.time, head.rate) for t in (steps.last, steps.first)
    )
    columns = np.zeros((steps.first.size, n_shifts + free_slope + 3))
    columns[np.arange(steps.first.size), steps.stretch] = model.gain * (stop - start)
    if free_slope:
        moved = stop * (steps.last - model.middle) - start * (steps.first - model.middle)
        columns[:, n_shifts] = model.gain * moved
    columns[:, -3], columns[:, -2], columns[:, -1] = turned, -1.0, steps.away
    return columns


def maximise_slow(
    steps: Steps, head: Head, model: Model, *, free_slope: bool = True
) -> tuple[Model, np.ndarray]:
    """The likeliest parameters without the eye's own fast movements, and which steps are clear of them.

    Breaks off where fewer than `LEAST_STRETCH_STEPS` are clear: to be looked at before the model is used.
    """
    # What is fast is known only from the fit, and the fit is good only without it.
    slow = np.ones(steps.first.size, bool)
    for _ in range(3):
        model = _maximise(steps.at(slow), head, model, free_slope=free_slope)
        slow = slow_of(steps, head, model)
        if slow.sum() < LEAST_STRETCH_STEPS:
            break
    return model, slow


def _maximise(steps: Steps, head: Head, model: Model, *, free_slope: bool) -> Model:
    """The parameters of highest likelihood, from a start within the width of a turn of the head."""
    half = 0.5 * (steps.last[-1] - steps.first[0])
    for _ in range(50):
        turned = turned_by(steps, head, model)
        residual = residual_of(steps, turned, model)
        weight = weight_of(residual, model)
        scale = float(np.sqrt(np.mean(weight * residual**2))) + 1e-9
        jacobian = jacobian_of(steps, head, model, turned, free_slope=free_slope)
        unit = np.sqrt((jacobian**2).sum(axis=0)) + 1e-12
        weighted = weight[:, None] * jacobian / unit
        move = np.linalg.lstsq(weighted.T @ (jacobian / unit), -weighted.T @ residual, rcond=1e-12)[0] / unit
        slope = move[model.shift.size] if free_slope else 0.0
        # A move by more than a turn of the head lasts is no improvement, whatever the linear model says.
        shift = np.clip(move[: model.shift.size], -0.03, 0.03)
        changed = np.abs(shift).max() + half * abs(slope), abs(scale / model.scale - 1)
        model = model._replace(
            shift=model.shift + shift,
            slope=model.slope + slope,
            gain=model.gain + move[-3],
            bias=model.bias + move[-2],
            back=model.back + move[-1],
            scale=scale,
        )
        if changed[0] < 2e-6 and changed[1] < 1e-3:
            break
    return model


def _fast(steps: Steps, turned: np.ndarray, model: Model) -> np.ndarray:
    """Whether each step is one of the eye's own fast movements, (n,)."""
    residual = residual_of(steps, turned, model)
    return np.abs(residual) > FAST_AT * spread(residual)


def slow_of(steps: Steps, head: Head, model: Model) -> np.ndarray:
    """Whether each step is clear of the eye's own fast movements, (n,)."""
    fast = _fast(steps, turned_by(steps, head, model), model)
    begin, end = steps.first[fast] - _FAST_BEFORE_S, steps.last[fast] + _FAST_AFTER_S
    return np.searchsorted(begin, steps.last) == np.searchsorted(end, steps.first, side="right")


def quality_of(steps: Steps, head: Head, model: Model) -> float:
    """Correlation of the eye's steps with minus the head's, without the eye's own fast movements."""
    turned = turned_by(steps, head, model)
    calm = ~_fast(steps, turned, model)
    return correlation(-steps.size[calm], turned[calm])


def covariance_of(
    steps: Steps, head: Head, model: Model, block_s: float, *, free_slope: bool = True
) -> np.ndarray:
    """Covariance of shifts (s), slope and the rest: the sandwich, scores summed over blocks."""
    turned = turned_by(steps, head, model)
    residual = residual_of(steps, turned, model)
    jacobian = jacobian_of(steps, head, model, turned, free_slope=free_slope)
    ratio = (residual / model.scale) ** 2 / FREEDOM
    weight = (FREEDOM + 1) / FREEDOM / (1 + ratio)
    curvature = weight * (1 - ratio) / (1 + ratio)
    unit = np.sqrt((jacobian**2).sum(axis=0)) + 1e-12
    jacobian = jacobian / unit
    block = ((steps.first - steps.first[0]) / block_s).astype(int)
    summed = np.zeros((block[-1] + 1, jacobian.shape[1]))
    np.add.at(summed, block, (weight * residual)[:, None] * jacobian)
    bread = np.linalg.pinv(jacobian.T @ (curvature[:, None] * jacobian))
    blocks = np.unique(block).size
    inflated = blocks / max(blocks - jacobian.shape[1], 1)
    return inflated * (bread @ (summed.T @ summed) @ bread) / np.outer(unit, unit)


def sizes_of(model: Model) -> np.ndarray:
    """Sizes of the jumps between stretches, s, of the camera's stamps."""
    return -np.diff(model.shift) / (1 + model.slope)


def size_errors(covariance: np.ndarray, n_shifts: int) -> np.ndarray:
    """Standard errors of the sizes of jumps, s."""
    difference = np.diff(np.eye(n_shifts), axis=0)
    return np.sqrt(np.einsum("ij,jk,ik->i", difference, covariance[:n_shifts, :n_shifts], difference))

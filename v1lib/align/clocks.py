"""Two computers, two clocks: offset, drift and steps between camera and ephys, from eye and head.

The camera sees the eye; the ephys system records the gyroscope. When the head turns left the eye turns
right, so the change of the eye's angle between two camera frames must equal, with a negative factor, the
gyroscope integrated between the same two instants, once both are on one clock.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
import xarray as xr

from v1lib.align.clock_checks import (
    checked_streams,
    refuse_disagreement,
    refuse_flipped,
    refuse_poor,
    refuse_spans,
)
from v1lib.align.clock_fit import ClockFit, ClockJump
from v1lib.align.clock_jumps import BLOCK_S, fit_with_jumps
from v1lib.align.clock_lags import COARSE_WINDOW_S, GRID_HZ, SEARCH_S, agreement_of, lag_path
from v1lib.align.clock_likelihood import (
    LEAST_STRETCH_STEPS,
    Model,
    covariance_of,
    maximise_slow,
    quality_of,
    size_errors,
    sizes_of,
    slow_of,
    start_model,
)
from v1lib.align.clock_streams import Head, Steps, covered, mirrored, steps_of
from v1lib.errors import InputError

#: Windows of the lags and residuals, s, and blocks of a minute's sandwich.
_WINDOW_S, _MINUTE_BLOCK_S = 60.0, 5.0
#: Lags looked through by :func:`windowed_lags`, and the largest that :func:`clock_residuals` gives, s.
_PLOTTED_S, _LARGEST_RESIDUAL_S = 4.0, 0.1


def estimate_clock(
    eye_time: np.ndarray,
    eye_theta: np.ndarray,
    gyro_time: np.ndarray,
    gyro_z: np.ndarray,
    *,
    eye_lag_s: float = 0.0,
) -> ClockFit:
    """Estimate the ephys clock's offset and drift against the camera clock, and the camera clock's jumps.

    Parameters
    ----------
    eye_time : (n,) array
        Eye camera frames, s, camera clock, rising.
    eye_theta : (n,) array
        Horizontal angle of the eye in the head, deg, left positive, NaN where not tracked.
    gyro_time : (m,) array
        Gyroscope samples, s, ephys clock, rising.
    gyro_z : (m,) array
        Yaw velocity of the head, deg/s, left positive, NaN where not measured.
    eye_lag_s : float
        How long the eye's movement lags the head's, s: the eye at camera time t mirrors the head at t − lag.

    Returns
    -------
    ClockFit

    Raises
    ------
    InputError
        Where the streams cannot be used, or do not agree well enough to give a clock: overall, in a minute
        of the recording, at any lag within ±10 s, or only with the opposite sign.

    Notes
    -----
    The model of the eye's step between two neighbouring frames is

        Δtheta = −gain · ∫ gyro dt + bias − back · (theta − median) · Δt + e,   e ~ scale · Student's t(4),

    with the integral taken between the instants of the two frames on the ephys clock; the gyroscope is
    linear between samples and its integral exact. The likelihood is maximised over offset, drift, sizes of
    jumps, gain, bias, back and scale together and continuously (expectation maximisation, by Gauss-Newton
    steps with the weights of Student's t). The eye's own fast movements (steps more than five spreads off)
    are no part of the model and are left out, with 25 ms after them, since a frame that holds part of one
    would pass for a lag, and 100 ms before them: a fast movement begins when a turn has taken the eye far,
    so that turns before it are cut off in full swing, and whatever of a turn the gyroscope or the gain
    gets wrong would not average out.

    Standard errors are those of a sandwich, with the scores summed over blocks of ten seconds, because eye
    movements are correlated over seconds. The place of a jump counts as known.

    The search starts from the lag of each ten seconds, by cross-correlation over ±10 s, along the path of
    highest likelihood on which each jump has a price. Jumps too small for that are looked for in the lags
    that remain. A jump is reported if it is larger than 8 ms and than six standard errors, and explains
    clearly more than a smooth bend of the clock does. In ten minutes of a simulated mouse jumps of 15 ms and
    more are found, in those of a measured one 20 ms and more, where the head moves
    (``benchmarks/clocks.py``). One within half a minute of an end, or while the head rests, may be missed,
    and what lies between it and the end is then off by it.

    A true lag between head and eye (2 to 9 ms) cannot be told from an offset: the streams give the offset
    minus that lag. `eye_lag_s` is added back and recorded; its own error is not in the standard errors. In
    the measured table of :mod:`v1lib.readers.head_eye`, whose two streams share their stamps, the estimate
    is 3 to 5 ms: there the eye, as stamped, comes before the gyroscope.
    """
    if not isinstance(eye_lag_s, Real) or not abs(eye_lag_s) <= 0.1:
        raise InputError("estimate_clock", "eye_lag_s", "a lag within ±0.1 s", f"{eye_lag_s} s")
    eye_time, eye_theta, head = checked_streams(eye_time, eye_theta, gyro_time, gyro_z)
    refuse_spans(eye_time, eye_theta, head)
    agreement = agreement_of(eye_time, eye_theta, head, COARSE_WINDOW_S, SEARCH_S)
    path, likelihood = lag_path(agreement.r)
    flipped_path, flipped_likelihood = lag_path(-agreement.r)
    if flipped_likelihood > likelihood:
        flipped = mirrored(head)
        fitted = fit_with_jumps(eye_time, eye_theta, flipped, agreement.centers, flipped_path)
        refuse_flipped(quality_of(fitted[0], flipped, fitted[1]))
    refuse_disagreement(agreement, path)
    steps, model = fit_with_jumps(eye_time, eye_theta, head, agreement.centers, path)
    quality = quality_of(steps, head, model)
    refuse_poor(quality, eye_time, eye_theta, head)
    slow = steps.at(slow_of(steps, head, model))
    return _clock_of(
        model, covariance_of(slow, head, model, BLOCK_S), quality, slow.first.size, float(eye_lag_s)
    )


def _clock_of(
    model: Model, covariance: np.ndarray, quality: float, n_steps: int, eye_lag_s: float
) -> ClockFit:
    """The model, t_ephys = t_cam + shift + slope · (t_cam − middle), written the other way round."""
    rate, middle, n_shifts = 1 + model.slope, model.middle, model.shift.size
    offset = (model.shift[0] - model.slope * middle) / rate
    by_offset = np.zeros(covariance.shape[0])
    by_offset[[0, n_shifts]] = 1 / rate, -(middle + offset) / rate
    sizes, errors = sizes_of(model), size_errors(covariance, n_shifts)
    return ClockFit(
        offset_s=float(offset) + eye_lag_s,
        drift_ppm=float(1e6 * (1 - 1 / rate)),
        offset_se_s=float(np.sqrt(by_offset @ covariance @ by_offset)),
        drift_se_ppm=float(1e6 * np.sqrt(covariance[n_shifts, n_shifts])),
        quality=quality,
        n_steps=n_steps,
        jumps=tuple(
            ClockJump(after, before, float(size), float(error))
            for (after, before), size, error in zip(model.places, sizes, errors, strict=True)
        ),
        eye_lag_s=eye_lag_s,
    )


def clock_residuals(
    eye_time: np.ndarray, eye_theta: np.ndarray, gyro_time: np.ndarray, gyro_z: np.ndarray, clock: ClockFit
) -> xr.Dataset:
    """What a clock leaves over in each minute: the figures to judge it by.

    Parameters
    ----------
    eye_time, eye_theta, gyro_time, gyro_z : arrays
        As for :func:`estimate_clock`.
    clock : ClockFit

    Returns
    -------
    xarray.Dataset
        Over ``window`` (middle of a minute, s, camera clock): ``lag`` and ``lag_se`` (s; how far the ephys
        clock is ahead of where `clock` puts it, fitted in that minute by itself with the likelihood of
        :func:`estimate_clock`), ``r`` (correlation of the eye's steps with minus the head's, by `clock`),
        ``used`` (share of the minute's steps between frames that went into them). NaN where fewer than 200
        steps are usable; a lag further off than 0.1 s is not found and NaN.

    Raises
    ------
    InputError
        As :func:`estimate_clock` does for streams that cannot be used, and for a clock that is no ClockFit.
    """
    if not isinstance(clock, ClockFit):
        raise InputError("clock_residuals", "clock", "a ClockFit", type(clock).__name__)
    eye_time, eye_theta, head = checked_streams(eye_time, eye_theta, gyro_time, gyro_z)
    # Put on the clock that is to be judged, the streams have no offset and no drift left.
    eye_time = np.asarray(clock.to_ephys(eye_time - clock.eye_lag_s))
    steps = steps_of(eye_time, eye_theta)
    usable = covered(steps, np.zeros(steps.first.size), head)
    camera = clock.to_camera(0.5 * (steps.first + steps.last)) + clock.eye_lag_s
    frames = clock.to_camera(eye_time[:-1]) + clock.eye_lag_s
    begins = np.arange(camera[0], max(camera[-1] - 0.5 * _WINDOW_S, camera[0] + 1e-9), _WINDOW_S)
    ends = np.append(begins[1:], np.inf)
    rows = []
    for begin, end in zip(begins, ends, strict=True):
        inside = usable & (camera >= begin) & (camera < end)
        total = int(((frames >= begin) & (frames < end)).sum())
        rows.append(_residual_of_minute(steps.at(inside), head, total))
    units = {"lag": "s", "lag_se": "s", "r": "1", "used": "1"}
    middles = begins + 0.5 * (np.minimum(ends, camera[-1]) - begins)
    return xr.Dataset(
        {
            name: ("window", values, {"units": unit})
            for (name, unit), values in zip(units.items(), np.array(rows).T, strict=True)
        },
        {"window": ("window", middles, {"units": "s"})},
    )


def _residual_of_minute(steps: Steps, head: Head, total: int) -> tuple[float, float, float, float]:
    """Lag, its standard error, correlation, and share of `total` steps that were used."""
    if steps.first.size < LEAST_STRETCH_STEPS:
        return np.nan, np.nan, np.nan, steps.first.size / max(total, 1)
    start = start_model(steps, np.zeros(1), 0.0)
    model, slow = maximise_slow(steps, head, start, free_slope=False)
    used = slow.sum() / total
    if slow.sum() < LEAST_STRETCH_STEPS:
        return np.nan, np.nan, np.nan, used
    r = quality_of(steps, head, model._replace(shift=start.shift))
    if abs(model.shift[0]) > _LARGEST_RESIDUAL_S:
        return np.nan, np.nan, r, used
    covariance = covariance_of(steps.at(slow), head, model, _MINUTE_BLOCK_S, free_slope=False)
    return model.shift[0], np.sqrt(covariance[0, 0]), r, used


def windowed_lags(
    eye_time: np.ndarray, eye_theta: np.ndarray, gyro_time: np.ndarray, gyro_z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lag of best agreement in each minute, by cross-correlation over ±4 s in steps of 10 ms.

    Parameters
    ----------
    eye_time, eye_theta, gyro_time, gyro_z : arrays
        As for :func:`estimate_clock`.

    Returns
    -------
    centers : (window,) array
        Middle of each window, s, camera clock.
    lags : (window,) array
        How far the ephys clock is ahead there, s.
    peaks : (window,) array
        Height of the peak in standard deviations of the cross-correlation over all lags.
    """
    eye_time, eye_theta, head = checked_streams(eye_time, eye_theta, gyro_time, gyro_z)
    found = agreement_of(eye_time, eye_theta, head, _WINDOW_S, _PLOTTED_S)
    lags = np.argmax(found.r, axis=1) / GRID_HZ - _PLOTTED_S
    return found.centers, lags, found.r.max(axis=1) / found.r.std(axis=1)

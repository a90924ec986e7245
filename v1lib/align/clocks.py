"""Two computers, two clocks: offset, drift and steps between camera and ephys, from eye and head.

The camera sees the eye; the ephys system records the gyroscope. When the head turns left the eye turns
right, so the change of the eye's angle between two camera frames must equal, with a negative factor, the
gyroscope integrated between the same two instants, once both are on one clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.signal import correlate

from v1lib.errors import InputError


@dataclass(frozen=True)
class ClockJump:
    """A step of the camera's clock against the ephys'.

    Attributes
    ----------
    after_s, before_s : float
        Camera times, as stamped, between which the step lies: the last stamp that is surely on the old
        count and the first that is surely on the new one.
    size_s, size_se_s : float
        By how much all later camera stamps are larger, and its standard error.
    """

    after_s: float
    before_s: float
    size_s: float
    size_se_s: float


@dataclass(frozen=True)
class ClockFit:
    """The clock of the ephys against that of the cameras: ``t_cam = t_ephys − (offset + drift · t_ephys)``.

    After a jump its size is added to ``t_cam``. Between a jump's ``after_s`` and ``before_s`` the two clocks
    are joined by a straight line, so that both directions rise without a break and undo each other; an
    instant in there is known no better than the size of the jump, and :func:`v1lib.align.align` leaves such
    bins out.

    Attributes
    ----------
    offset_s, drift_ppm : float
        At t_ephys = 0 (before the first jump), and parts per million.
    offset_se_s, drift_se_ppm : float
        Standard errors.
    quality : float
        Correlation of the eye's velocity with minus the integrated gyroscope, 0 to 1, after the fit.
    n_steps : int
        Number of steps between consecutive eye frames that went into the fit.
    jumps : tuple of ClockJump
        Steps of the camera's clock, in order of time.
    eye_lag_s : float
        How long the eye's movement was taken to lag the head's, s.
    """

    offset_s: float
    drift_ppm: float
    offset_se_s: float
    drift_se_ppm: float
    quality: float
    n_steps: int
    jumps: tuple[ClockJump, ...] = ()
    eye_lag_s: float = 0.0

    def to_camera(self, ephys_time: np.ndarray) -> np.ndarray:
        """Camera-clock times of ephys-clock times, both in s from the start of the ephys."""
        camera_time = ephys_time - (self.offset_s + 1e-6 * self.drift_ppm * ephys_time)
        if self.jumps:
            knots, total = self._knots()
            camera_time = camera_time + np.interp(camera_time, knots - total, total)
        return camera_time

    def to_ephys(self, camera_time: np.ndarray) -> np.ndarray:
        """Ephys-clock times of camera-clock times, both in s from the start of the ephys."""
        if self.jumps:
            camera_time = camera_time - np.interp(camera_time, *self._knots())
        return (camera_time + self.offset_s) / (1 - 1e-6 * self.drift_ppm)

    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Camera times at which jumps begin and end, and the sum of the jumps until there, s."""
        times = np.array([t for jump in self.jumps for t in (jump.after_s, jump.before_s)])
        total = np.cumsum([jump.size_s for jump in self.jumps])
        return times, np.stack([np.concatenate([[0.0], total[:-1]]), total], axis=1).ravel()


#: Lags looked through by the coarse search, s.
_SEARCH_S = 10.0
#: Windows of the coarse search and of the plots, s.
_COARSE_WINDOW_S, _WINDOW_S = 10.0, 60.0
_WINDOWS_A_MINUTE = 6
_GRID_HZ = 100.0
#: Eye and head that agree less than this give no clock.
_LEAST_QUALITY = 0.2
#: Coarse windows above this correlation agree; a minute of moving head has at least this share of theirs.
_AGREES, _LEAST_SHARE = 0.35, 0.25
_LEAST_STEPS = 600
_LEAST_STRETCH_STEPS = 200
#: Error that the coarse clock may have, s.
_GAP_MARGIN_S = 0.05
#: Samples further apart than this are not joined by a line, s.
_JOINED_S = 0.1
#: Degrees of freedom of Student's t.
_FREEDOM = 4.0
#: Steps this many spreads off are fast movements of the eye's own.
_FAST_AT = 5.0
#: What is left out before and after them, s.
_FAST_BEFORE_S, _FAST_AFTER_S = 0.1, 0.025
#: Blocks of the sandwich, of a minute's sandwich, and of the search for small jumps, s.
_BLOCK_S, _MINUTE_BLOCK_S, _FINE_BLOCK_S = 10.0, 5.0, 2.0
#: Independent samples a second in the coarse search: a turn of the head takes about 0.1 s.
_INDEPENDENT_HZ = 10.0
#: Log likelihood that a jump must gain in the coarse search.
_JUMP_PRICE = 18.0
#: A jump is reported from this size on, s, and from this many standard errors on.
LEAST_JUMP_S = 0.008
_JUMP_STANDARD_ERRORS = 6.0
#: Chi-square that a small jump must gain over a straight line, and over a smooth bend of the clock.
_JUMP_GAIN, _JUMP_OVER_BEND = 40.0, 15.0
#: Log likelihood within which the place of a jump is taken to lie; more than chance needs, because errors
#: of neighbouring steps are alike. A gap of the stamps that can hold the jump may lie this much off.
_PLACE_SUPPORT, _GAP_SUPPORT = 10.0, 20.0
_PLACE_SEARCH_S = 60.0
_MOST_JUMPS = 8
#: A stream that does not change for so long has stopped, s.
_FROZEN_S = 10.0
#: A gyroscope is saturated if more than this share of its samples lies at one end of the range.
_SATURATED_SHARE = 0.005


class _Head(NamedTuple):
    """The gyroscope: time (s, ephys clock), rate (deg/s), angle turned since the start (deg), each (m,)."""

    time: np.ndarray
    rate: np.ndarray
    turned: np.ndarray


class _Steps(NamedTuple):
    """Steps of the eye between tracked neighbouring frames, each (n,): stamps of both frames (s), size
    (deg), and how far from its median the eye was times how long (deg s)."""

    first: np.ndarray
    last: np.ndarray
    size: np.ndarray
    away: np.ndarray

    def at(self, which: np.ndarray) -> _Steps:
        return _Steps(*(values[which] for values in self))


class _Agreement(NamedTuple):
    """Windows: middles (s, camera clock), correlation and spread of the head's velocity (deg/s) at each lag
    of the grid, (window, lag), and the share of the frames that are tracked."""

    centers: np.ndarray
    r: np.ndarray
    moved: np.ndarray
    tracked: np.ndarray


class _Model(NamedTuple):
    """Parameters: t_ephys = t_cam + shift[stretch] + slope · (t_cam − middle); see estimate_clock."""

    middle: float
    shift: np.ndarray
    slope: float
    gain: float
    bias: float
    back: float
    scale: float


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
    eye_time, eye_theta, head = _checked(eye_time, eye_theta, gyro_time, gyro_z)
    _refuse_spans(eye_time, eye_theta, head)
    agreement = _agreement(eye_time, eye_theta, head, _COARSE_WINDOW_S, _SEARCH_S)
    path, likelihood = _lag_path(agreement.r)
    flipped, flipped_likelihood = _lag_path(-agreement.r)
    if flipped_likelihood > likelihood:
        _refuse_flipped(eye_time, eye_theta, head, agreement.centers, flipped)
    _refuse_disagreement(agreement, path)
    steps, stretch, jumps, model = _fit_with_jumps(eye_time, eye_theta, head, agreement.centers, path)
    slow = _slow(steps, stretch, head, model)
    quality = _quality(steps, stretch, head, model)
    if not quality > _LEAST_QUALITY:
        _refuse_distant(eye_time, eye_theta, head)
        expected = f"steps of the eye that mirror those of the head (r above {_LEAST_QUALITY})"
        raise InputError("estimate_clock", "eye_theta against gyro_z", expected, f"r = {quality:.2f}")
    covariance = _covariance(steps.at(slow), stretch[slow], head, model, _BLOCK_S)
    # The model has t_ephys = t_cam + shift + slope · (t_cam − middle); written the other way round:
    rate, middle = 1 + model.slope, model.middle
    offset = (model.shift[0] - model.slope * middle) / rate
    by_offset = np.zeros(covariance.shape[0])
    by_offset[[0, model.shift.size]] = 1 / rate, -(middle + offset) / rate
    sizes, sizes_se = _sizes(model, covariance)
    return ClockFit(
        offset_s=float(offset) + float(eye_lag_s),
        drift_ppm=float(1e6 * (1 - 1 / rate)),
        offset_se_s=float(np.sqrt(by_offset @ covariance @ by_offset)),
        drift_se_ppm=float(1e6 * np.sqrt(covariance[model.shift.size, model.shift.size])),
        quality=quality,
        n_steps=int(slow.sum()),
        jumps=tuple(
            ClockJump(float(after), float(before), float(size), float(se))
            for (after, before), size, se in zip(jumps, sizes, sizes_se, strict=True)
        ),
        eye_lag_s=float(eye_lag_s),
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
        As :func:`estimate_clock` does for streams that cannot be used.
    """
    eye_time, eye_theta, head = _checked(eye_time, eye_theta, gyro_time, gyro_z)
    # Put on the clock that is to be judged, the streams have no offset and no drift left.
    eye_time = np.asarray(clock.to_ephys(eye_time - clock.eye_lag_s))
    steps = _steps_of(eye_time, eye_theta)
    stamped = 0.5 * (steps.first + steps.last)
    usable = _covered(steps, np.zeros(steps.first.size), head)
    camera = clock.to_camera(stamped) + clock.eye_lag_s
    windows = np.arange(camera[0], max(camera[-1] - 0.5 * _WINDOW_S, camera[0] + 1e-9), _WINDOW_S)
    start = np.append(windows[1:], np.inf)
    frames = clock.to_camera(eye_time[:-1]) + clock.eye_lag_s
    rows = []
    for begin, end in zip(windows, start, strict=True):
        inside = usable & (camera >= begin) & (camera < end)
        total = int(((frames >= begin) & (frames < end)).sum())
        rows.append(_window_row(steps.at(inside), head, total))
    names = ("lag", "lag_se", "r", "used")
    columns = {name: ("window", values) for name, values in zip(names, np.array(rows).T, strict=True)}
    residuals = xr.Dataset(columns, {"window": windows + 0.5 * (np.minimum(start, camera[-1]) - windows)})
    for name, unit in (("window", "s"), ("lag", "s"), ("lag_se", "s"), ("r", "1"), ("used", "1")):
        residuals[name].attrs["units"] = unit
    return residuals


def _window_row(steps: _Steps, head: _Head, total: int) -> tuple[float, float, float, float]:
    """Lag, its standard error, correlation, and share of `total` steps that were used."""
    stretch = np.zeros(steps.first.size, int)
    if steps.first.size < _LEAST_STRETCH_STEPS:
        return np.nan, np.nan, np.nan, steps.first.size / max(total, 1)
    slow = np.ones(steps.first.size, bool)
    model = start = _start(steps, np.zeros(1), 0.0)
    for _ in range(3):
        model = _maximise(steps.at(slow), stretch[slow], head, model, free_slope=False)
        slow = _slow(steps, stretch, head, model)
        if slow.sum() < _LEAST_STRETCH_STEPS:
            return np.nan, np.nan, np.nan, slow.sum() / total
    r = _quality(steps, stretch, head, model._replace(shift=start.shift))
    if abs(model.shift[0]) > _JOINED_S:
        return np.nan, np.nan, r, slow.sum() / total
    covariance = _covariance(steps.at(slow), stretch[slow], head, model, _MINUTE_BLOCK_S, free_slope=False)
    return model.shift[0], np.sqrt(covariance[0, 0]), r, slow.sum() / total


def _checked(
    eye_time: np.ndarray, eye_theta: np.ndarray, gyro_time: np.ndarray, gyro_z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, _Head]:
    """The eye's frames and the measured samples of the gyroscope; refused where no clock can come of them."""
    where = "estimate_clock"
    for of, time, name, values in (
        ("eye_time", eye_time, "eye_theta", eye_theta),
        ("gyro_time", gyro_time, "gyro_z", gyro_z),
    ):
        if np.ndim(time) != 1 or np.shape(time) != np.shape(values):
            expected = f"one value for each of {of}, {np.shape(time)}"
            raise InputError(where, name, expected, str(np.shape(values)))
        if not np.isfinite(time).all():
            bad = int((~np.isfinite(time)).sum())
            raise InputError(where, of, "finite stamps", f"{bad} of {np.size(time)} not finite")
        if not (np.diff(time) > 0).all():
            first = int(np.argmin(np.diff(time) > 0))
            found = f"{time[first + 1]:.6f} s after {time[first]:.6f} s at sample {first + 1}"
            raise InputError(where, of, "stamps that rise from each sample to the next", found)
        if np.isinf(values).any():
            raise InputError(where, name, "finite values, or NaN where not measured", "infinite ones")
        measured = int(np.isfinite(values).sum())
        if measured < _LEAST_STEPS:
            raise InputError(where, name, f"{_LEAST_STEPS} measured samples or more", str(measured))
        _refuse_frozen(name, np.asarray(time), np.asarray(values))
    eye_time, eye_theta, gyro_time, gyro_z = (
        np.asarray(a, float) for a in (eye_time, eye_theta, gyro_time, gyro_z)
    )
    ran = np.isfinite(gyro_z)
    time, rate = gyro_time[ran], gyro_z[ran]
    share = max((rate == rate.min()).mean(), (rate == rate.max()).mean())
    if share > _SATURATED_SHARE:
        found = f"{100 * share:.1f} % of the samples at an end, {rate.min():.6g} or {rate.max():.6g} deg/s"
        raise InputError(where, "gyro_z", "a gyroscope that stays inside its range", found)
    middle = 0.5 * (rate[1:] + rate[:-1])
    return eye_time, eye_theta, _Head(time, rate, np.concatenate([[0.0], np.cumsum(middle * np.diff(time))]))


def _refuse_frozen(name: str, time: np.ndarray, values: np.ndarray) -> None:
    """Refuse a stream that stands at one value for long: its sensor or tracker had stopped."""
    edges = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0]))  # NaN differs from NaN
    last = np.append(edges[1:] - 1, values.size - 1)
    stood = time[last] - time[edges]
    longest = int(stood.argmax())
    if stood[longest] > _FROZEN_S:
        begin, end = time[edges[longest]], time[last[longest]]
        found = f"{values[edges[longest]]:.6g} throughout from {begin:.1f} to {end:.1f} s"
        raise InputError("estimate_clock", name, "values that vary, or NaN where not measured", found)


def _refuse_spans(eye_time: np.ndarray, eye_theta: np.ndarray, head: _Head) -> None:
    """Refuse streams of very different length, or that lie too far apart for the search."""
    tracked = np.isfinite(eye_theta)
    eye, gyro = eye_time[tracked][[0, -1]], head.time[[0, -1]]
    spans = {"eye": float(np.ptp(eye)), "gyroscope": float(np.ptp(gyro))}
    if min(spans.values()) < 0.5 * max(spans.values()):
        found = " and ".join(f"{seconds:.1f} s of the {name}" for name, seconds in spans.items())
        expected = "streams of which neither is more than twice as long as the other"
        raise InputError("estimate_clock", "eye_time against gyro_time", expected, found)
    if min(eye[1], gyro[1]) - max(eye[0], gyro[0]) + _SEARCH_S < 0.5 * min(spans.values()):
        lag = _distant_lag(eye_time, eye_theta, head)
        about = gyro[0] - eye[0] if lag is None else lag
        found = (
            f"the eye from {eye[0]:.1f} to {eye[1]:.1f} s and the gyroscope from {gyro[0]:.1f} to "
            f"{gyro[1]:.1f} s, so that the ephys clock is ahead by about {about:.2f} s"
        )
        expected = f"streams that run at the same time, within {_SEARCH_S:.0f} s"
        raise InputError("estimate_clock", "eye_time against gyro_time", expected, found)


def _refuse_distant(eye_time: np.ndarray, eye_theta: np.ndarray, head: _Head) -> None:
    """Refuse clocks that differ by more than the search covers, and say by how much."""
    lag = _distant_lag(eye_time, eye_theta, head)
    if lag is not None and abs(lag) > 0.9 * _SEARCH_S:
        expected = f"clocks that differ by at most {_SEARCH_S:.0f} s"
        found = f"eye and head that agree when the ephys clock is ahead by about {lag:.2f} s"
        raise InputError("estimate_clock", "eye_time against gyro_time", expected, found)


def _refuse_flipped(
    eye_time: np.ndarray, eye_theta: np.ndarray, head: _Head, centers: np.ndarray, path: np.ndarray
) -> None:
    """Refuse an eye that moves with the head: the sign of one of the two streams is wrong."""
    mirrored = _Head(head.time, -head.rate, -head.turned)
    steps, stretch, _, model = _fit_with_jumps(eye_time, eye_theta, mirrored, centers, path)
    quality = _quality(steps, stretch, mirrored, model)
    if quality > _LEAST_QUALITY:
        raise InputError(
            "estimate_clock",
            "eye_theta against gyro_z",
            "an eye that moves against the head, with theta and yaw velocity both positive to the left",
            f"that they move together (r = {-quality:.2f}): the sign of one of the two is to be turned",
        )


def _refuse_disagreement(agreement: _Agreement, path: np.ndarray) -> None:
    """Refuse a recording of which a minute or more does not agree at the lag of the rest."""
    at = np.rint((path + _SEARCH_S) * _GRID_HZ).astype(int)
    number = np.arange(path.size)
    r, moved = agreement.r[number, at], agreement.moved[number, at]
    agrees = r > _AGREES
    # Where nothing agrees, no part is at fault; where the head rests, there is nothing to agree on.
    if agrees.sum() < max(3, 0.1 * path.size):
        return
    least = _LEAST_SHARE * np.median(r[agrees])
    telling = (moved > 0.5 * np.median(moved[agrees])) & (agreement.tracked > 0.5)
    bad: list[tuple[int, int, float, float]] = []
    for first in range(0, path.size, _WINDOWS_A_MINUTE):
        inside = (number >= first) & (number < first + _WINDOWS_A_MINUTE) & telling
        if inside.sum() >= _WINDOWS_A_MINUTE // 2 and r[inside].mean() < least:
            last = min(first + _WINDOWS_A_MINUTE, path.size) - 1
            begin, end = agreement.centers[[first, last]] + 0.5 * _COARSE_WINDOW_S * np.array([-1, 1])
            if bad and bad[-1][1] == first:
                begin, bad = bad[-1][2], bad[:-1]
            bad.append((first, last + 1, begin, end))
    if bad:
        stretches = " and ".join(f"from {begin:.0f} to {end:.0f} s" for _, _, begin, end in bad)
        expected = "an eye that mirrors the head throughout (cut other parts, or make their theta NaN)"
        found = (
            f"none {stretches} of the camera's clock, at the lag of the rest or one within {_SEARCH_S:.0f} s"
        )
        raise InputError("estimate_clock", "eye_theta against gyro_z", expected, found)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r; NaN for fewer than two values or a constant."""
    if a.size < 2 or not a.std() * b.std() > 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _spread(values: np.ndarray) -> float:
    """Standard deviation as a normal distribution with the same middle half would have it."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + 1e-9


def _at(grid: np.ndarray, time: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` between samples by a straight line; zero where the nearest samples are far apart."""
    after = np.clip(np.searchsorted(time, grid), 1, time.size - 1)
    joined = (time[after] - time[after - 1] < _JOINED_S) & (grid >= time[0]) & (grid <= time[-1])
    return np.where(joined, np.interp(grid, time, values), 0.0)


def _clipped(velocity: np.ndarray) -> np.ndarray:
    """Velocities without more than two spreads: saccades and the fastest turns must not carry all."""
    return np.clip(velocity, -2 * _spread(velocity), 2 * _spread(velocity))


def _eye_velocity(eye_time: np.ndarray, eye_theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles (s) and velocities (deg/s) of the steps between tracked neighbours."""
    step, duration = np.diff(eye_theta), np.diff(eye_time)
    tracked = np.isfinite(step)
    return (eye_time[:-1] + 0.5 * duration)[tracked], (step / duration)[tracked]


def _agreement(
    eye_time: np.ndarray, eye_theta: np.ndarray, head: _Head, window_s: float, search_s: float
) -> _Agreement:
    """Correlation of minus the eye's velocity with the head's in each window at each lag of a 10-ms grid."""
    at, velocity = _eye_velocity(eye_time, eye_theta)
    n = min(round(window_s * _GRID_HZ), int((at[-1] - at[0]) * _GRID_HZ))
    reach = round(search_s * _GRID_HZ)
    centers, rows, moved, tracked = [], [], [], []
    for start in at[0] + window_s * np.arange(max(int((at[-1] - at[0]) / window_s), 1)):
        grid = start + np.arange(-reach, n + reach) / _GRID_HZ
        eye = -_clipped(_at(grid[reach : reach + n], at, velocity))
        turning = _clipped(_at(grid, head.time, head.rate))
        eye -= eye.mean()
        along = correlate(turning, eye, mode="valid")
        sums, squares = (np.concatenate([[0.0], np.cumsum(a)]) for a in (turning, turning**2))
        variance = np.maximum((squares[n:] - squares[:-n]) / n - ((sums[n:] - sums[:-n]) / n) ** 2, 0.0)
        norm = n * np.sqrt(variance) * eye.std()
        rows.append(np.divide(along, norm, out=np.zeros_like(along), where=norm > 1e-6 * (1 + norm.max())))
        moved.append(np.sqrt(variance))
        centers.append(start + 0.5 * n / _GRID_HZ)
        inside = (at >= start) & (at < start + window_s)
        tracked.append(inside.sum() * np.median(np.diff(eye_time)) / window_s)
    return _Agreement(np.array(centers), np.array(rows), np.array(moved), np.array(tracked))


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
    eye_time, eye_theta, head = _checked(eye_time, eye_theta, gyro_time, gyro_z)
    reach = 4.0
    found = _agreement(eye_time, eye_theta, head, _WINDOW_S, reach)
    lags = np.argmax(found.r, axis=1) / _GRID_HZ - reach
    return found.centers, lags, found.r.max(axis=1) / found.r.std(axis=1)


def _lag_path(agreement: np.ndarray) -> tuple[np.ndarray, float]:
    """The lag of each window (s) on the likeliest path, and the path's log likelihood.

    From window to window a path may move by one place of the grid (a drift of 1,000 ppm), or jump anywhere
    at a price.
    """
    n = _INDEPENDENT_HZ * _COARSE_WINDOW_S
    gain = -0.5 * n * np.log1p(-(np.minimum(np.maximum(agreement, 0), 0.999) ** 2))
    n_lags = gain.shape[1]
    best, came = gain[0], []
    for row in gain[1:]:
        padded = np.concatenate([[-np.inf], best, [-np.inf]])
        # A move by one place costs one, so that a path stays where it is without a reason to move.
        near = np.stack([best, padded[:-2] - 1.0, padded[2:] - 1.0])
        choice = near.argmax(axis=0)
        source = np.arange(n_lags) + np.array([0, -1, 1])[choice]
        stay = near[choice, np.arange(n_lags)]
        top = int(best.argmax())
        jumped = best[top] - _JUMP_PRICE > stay
        came.append(np.where(jumped, top, source))
        best = np.maximum(stay, best[top] - _JUMP_PRICE) + row
    at = [int(best.argmax())]
    for source in reversed(came):
        at.append(int(source[at[-1]]))
    return np.array(at[::-1]) / _GRID_HZ - 0.5 * (n_lags - 1) / _GRID_HZ, float(best.max())


def _distant_lag(eye_time: np.ndarray, eye_theta: np.ndarray, head: _Head) -> float | None:
    """How far the ephys clock is ahead, s, over all lags at which the streams overlap; None if unclear."""
    at, velocity = _eye_velocity(eye_time, eye_theta)
    hz = 0.5 * _GRID_HZ
    eye = -_clipped(_at(np.arange(at[0], at[-1], 1 / hz), at, velocity))
    turning = _clipped(_at(np.arange(head.time[0], head.time[-1], 1 / hz), head.time, head.rate))
    along = np.abs(correlate(turning - turning.mean(), eye - eye.mean(), mode="full"))
    peak = int(along.argmax())
    near = np.abs(np.arange(along.size) - peak) < 2 * hz
    if along[peak] < 2 * along[~near].max():
        return None
    return float(head.time[0] - at[0] + (peak - (eye.size - 1)) / hz)


def _fit_with_jumps(
    eye_time: np.ndarray, eye_theta: np.ndarray, head: _Head, centers: np.ndarray, path: np.ndarray
) -> tuple[_Steps, np.ndarray, list[tuple[float, float]], _Model]:
    """Fit from the lag of each coarse window; find, place and weigh jumps.

    Returns
    -------
    steps : _Steps
        Those with a gyroscope and outside the places of jumps.
    stretch : (n,) array
        Between which jumps each step lies.
    jumps : list of (after, before)
        Camera times.
    model : _Model
    """
    every = _steps_of(eye_time, eye_theta)
    wide = np.flatnonzero(np.diff(eye_time) > 1.4 * np.median(np.diff(eye_time)))
    gaps = np.column_stack([eye_time[wide], eye_time[wide + 1]])
    cuts = np.flatnonzero(np.abs(np.diff(path)) > 1.5 / _GRID_HZ)
    jumps = [(float(centers[cut]), float(centers[cut + 1])) for cut in cuts]
    number = np.searchsorted(cuts, np.arange(centers.size))
    design = np.column_stack([number[:, None] == np.arange(cuts.size + 1), centers - centers.mean()])
    *shifts, slope = np.linalg.lstsq(design, path, rcond=None)[0]
    model = _start(every, np.array(shifts), slope if centers.size > cuts.size + 2 else 0.0)
    model = model._replace(shift=model.shift + model.slope * (model.middle - centers.mean()))
    searching, added = True, False
    while True:
        jumps, model = _refit(every, head, jumps, model)
        jumps = [_place(every, gaps, head, jumps, model, k) for k in range(len(jumps))]
        jumps, model = _refit(every, head, jumps, model)
        weak = _weakest(every, head, jumps, model)
        if weak is not None:
            jumps, model = _without(jumps, model, weak)
            searching = not added  # a small jump that did not hold would only be found again
            continue
        steps, stretch = _select(every, head, jumps, model)
        if len(jumps) > _MOST_JUMPS:
            expected = f"a camera clock that jumps at most {_MOST_JUMPS} times"
            raise InputError("estimate_clock", "eye_time", expected, f"{len(jumps)} jumps")
        small = _small_jump(steps, stretch, head, model) if searching else None
        if small is None:
            break
        place, size = small
        k = int(np.searchsorted([0.5 * (a + b) for a, b in jumps], place))
        jumps.insert(k, (place - _FINE_BLOCK_S, place + _FINE_BLOCK_S))
        shift = np.insert(model.shift, k, model.shift[k])
        shift[k + 1] += size
        model, added = model._replace(shift=shift), True
    return *_select(every, head, jumps, model), jumps, model


def _select(
    every: _Steps, head: _Head, jumps: list[tuple[float, float]], model: _Model
) -> tuple[_Steps, np.ndarray]:
    """Steps over which the gyroscope ran and that touch no jump, and the stretch of each."""
    stretch = np.searchsorted([0.5 * (after + before) for after, before in jumps], every.first)
    kept = _covered(every, _on_ephys(every.first, stretch, model) - every.first, head)
    for after, before in jumps:
        kept &= (every.last <= after) | (every.first >= before)
    if kept.sum() < _LEAST_STEPS:
        expected = f"{_LEAST_STEPS} steps between tracked frames while the gyroscope ran"
        raise InputError("estimate_clock", "eye_theta", expected, str(int(kept.sum())))
    return every.at(kept), stretch[kept]


def _refit(
    every: _Steps, head: _Head, jumps: list[tuple[float, float]], model: _Model
) -> tuple[list[tuple[float, float]], _Model]:
    """The likeliest parameters; a stretch too short to be fitted loses its jump."""
    steps, stretch = _select(every, head, jumps, model)
    counts = np.bincount(stretch, minlength=model.shift.size)
    while jumps and counts.min() < _LEAST_STRETCH_STEPS:
        k = int(counts.argmin())
        jumps, model = _without(jumps, model, min(k, len(jumps) - 1), lost=k)
        steps, stretch = _select(every, head, jumps, model)
        counts = np.bincount(stretch, minlength=model.shift.size)
    # What is fast is known only from the fit, and the fit is good only without it.
    slow = np.ones(steps.first.size, bool)
    for _ in range(3):
        model = _maximise(steps.at(slow), stretch[slow], head, model)
        slow = _slow(steps, stretch, head, model)
        if slow.sum() < _LEAST_STRETCH_STEPS:
            expected = f"{_LEAST_STRETCH_STEPS} steps clear of the eye's own fast movements"
            raise InputError("estimate_clock", "eye_theta", expected, str(int(slow.sum())))
    return jumps, model


def _without(
    jumps: list[tuple[float, float]], model: _Model, k: int, lost: int | None = None
) -> tuple[list[tuple[float, float]], _Model]:
    """Jumps and model without jump `k`; the shift of stretch `lost` goes with it, else the later one's."""
    gone = k + 1 if lost is None else lost
    return jumps[:k] + jumps[k + 1 :], model._replace(shift=np.delete(model.shift, gone))


def _weakest(every: _Steps, head: _Head, jumps: list[tuple[float, float]], model: _Model) -> int | None:
    """The least sure of the jumps that are too small or too unsure to report; None if there is none."""
    if not jumps:
        return None
    steps, stretch = _select(every, head, jumps, model)
    slow = _slow(steps, stretch, head, model)
    sizes, errors = _sizes(model, _covariance(steps.at(slow), stretch[slow], head, model, _BLOCK_S))
    turned = _turned(steps, stretch, head, model)
    agrees = [
        _correlation(-steps.size[slow & (stretch == k)], turned[slow & (stretch == k)])
        for k in range(len(jumps) + 1)
    ]
    # A stretch in which eye and head do not agree has no lag, and no jump to it.
    sure = np.abs(sizes) / np.maximum(errors, 1e-9)
    sure[[not min(pair) > _LEAST_QUALITY for pair in pairwise(agrees)]] = 0.0
    weak = (sure < _JUMP_STANDARD_ERRORS) | (np.abs(sizes) < LEAST_JUMP_S)
    return int(np.where(weak, sure, np.inf).argmin()) if weak.any() else None


def _place(
    every: _Steps,
    gaps: np.ndarray,
    head: _Head,
    jumps: list[tuple[float, float]],
    model: _Model,
    k: int,
) -> tuple[float, float]:
    """Between which camera times jump `k` lies: where the likelihood of the old lag gives way to the new.

    One of the `gaps` of the stamps, (gap, 2), that can hold the jump is preferred to what lies beside it.
    """
    begin, end = jumps[k][0] - _PLACE_SEARCH_S, jumps[k][1] + _PLACE_SEARCH_S
    begin = max(begin, jumps[k - 1][1]) if k else begin
    end = min(end, jumps[k + 1][0]) if k + 1 < len(jumps) else end
    steps = every.at((every.first >= begin) & (every.last <= end))
    residuals, covered = [], np.ones(steps.first.size, bool)
    for stretch in (k, k + 1):
        number = np.full(steps.first.size, stretch)
        residuals.append(_residual(steps, _turned(steps, number, head, model), model) / model.scale)
        covered &= _covered(steps, _on_ephys(steps.first, number, model) - steps.first, head)
    old, new = residuals
    # What is fast by both clocks is the eye's own and speaks for neither.
    telling = covered & (np.minimum(np.abs(old), np.abs(new)) < _FAST_AT)
    terms = 0.5 * (_FREEDOM + 1) * (np.log1p(new**2 / _FREEDOM) - np.log1p(old**2 / _FREEDOM))
    # With the jump after i steps, i of them are on the old count.
    along = np.concatenate([[0.0], np.cumsum(np.where(telling, terms, 0.0))])
    along -= along.max()
    size = -(model.shift[k + 1] - model.shift[k]) / (1 + model.slope)
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


def _small_jump(steps: _Steps, stretch: np.ndarray, head: _Head, model: _Model) -> tuple[float, float] | None:
    """Place (s, camera clock) and change of shift (s) of a jump that the lags left over show; None if none.

    The lag left over in each two seconds is the score of the likelihood over its information. On these, a
    step must gain clearly over one line, and over a bend of third order.
    """
    slow = _slow(steps, stretch, head, model)
    steps, stretch = steps.at(slow), stretch[slow]
    turned = _turned(steps, stretch, head, model)
    residual = _residual(steps, turned, model)
    weight = (_FREEDOM + 1) / (_FREEDOM + (residual / model.scale) ** 2)
    jacobian = _jacobian(steps, stretch, head, model, turned, False)[np.arange(stretch.size), stretch]
    block = ((steps.first - steps.first[0]) / _FINE_BLOCK_S).astype(int)
    information = np.bincount(block, weight * jacobian**2)
    score = -np.bincount(block, weight * residual * jacobian)
    filled = np.flatnonzero(information > 1e-3 * np.median(information[information > 0]))
    root = np.sqrt(information[filled])
    lag = score[filled] / root
    begin = np.searchsorted(block, filled)
    within = stretch[begin]
    time = 2 * (steps.first[begin] - model.middle) / (steps.last[-1] - steps.first[0])
    line = np.column_stack([within[:, None] == np.arange(model.shift.size), time])
    bend = np.column_stack([line, time**2, time**3])
    basis, bent = (np.linalg.qr(columns * root[:, None])[0] for columns in (line, bend))
    left = lag - basis @ (basis.T @ lag)
    variance = _spread(left) ** 2
    bend_gain = (left @ left - np.sum((lag - bent @ (bent.T @ lag)) ** 2)) / variance
    # Column k is a step after block k within its stretch, freed of what the line takes up.
    later = (np.arange(filled.size)[:, None] > np.arange(filled.size)) & (within[:, None] == within)
    step = later * root[:, None]
    step -= basis @ (basis.T @ step)
    power = (step**2).sum(axis=0)
    enough = power > 1e-3 * root @ root / filled.size
    change = np.divide(left @ step, power, out=np.zeros(filled.size), where=enough)
    gain = change**2 * power / variance
    k = int(gain.argmax())
    if gain[k] < _JUMP_GAIN or gain[k] - bend_gain < _JUMP_OVER_BEND or abs(change[k]) < 0.8 * LEAST_JUMP_S:
        return None
    return float(steps.first[0] + (filled[k] + 1) * _FINE_BLOCK_S), float(change[k])


def _steps_of(eye_time: np.ndarray, eye_theta: np.ndarray) -> _Steps:
    """Steps between tracked neighbours; a step across lost frames is none."""
    duration = np.diff(eye_time)
    used = np.isfinite(eye_theta[1:]) & np.isfinite(eye_theta[:-1]) & (duration < 1.5 * np.median(duration))
    away = 0.5 * (eye_theta[1:] + eye_theta[:-1]) - np.nanmedian(eye_theta)
    return _Steps(eye_time[:-1][used], eye_time[1:][used], np.diff(eye_theta)[used], (away * duration)[used])


def _covered(steps: _Steps, lag: np.ndarray, head: _Head) -> np.ndarray:
    """Whether the gyroscope ran all through each step and a margin, by the lag of each step (s), (n,)."""
    begin, end = steps.first + lag - _GAP_MARGIN_S, steps.last + lag + _GAP_MARGIN_S
    inside = (begin > head.time[0]) & (end < head.time[-1])
    gaps = np.flatnonzero(np.diff(head.time) > 1.75 * np.median(np.diff(head.time)))
    # A gap touches a step if it begins before the step ends and does not end before the step begins.
    begun, ended = (np.searchsorted(head.time[gaps + k], t) for k, t in ((0, end), (1, begin)))
    return inside & (begun == ended)


def _angle(time: np.ndarray, head: _Head) -> np.ndarray:
    """Angle turned until `time` (ephys clock), deg: the integral of the rate, linear between samples."""
    before = np.clip(np.searchsorted(head.time, time, side="right") - 1, 0, head.time.size - 2)
    into = time - head.time[before]
    rise = (head.rate[before + 1] - head.rate[before]) / (head.time[before + 1] - head.time[before])
    return head.turned[before] + into * (head.rate[before] + 0.5 * into * rise)


def _on_ephys(time: np.ndarray, stretch: np.ndarray, model: _Model) -> np.ndarray:
    return time + model.shift[stretch] + model.slope * (time - model.middle)


def _turned(steps: _Steps, stretch: np.ndarray, head: _Head, model: _Model) -> np.ndarray:
    """By how much the head turned during each step of the eye, deg, (n,)."""
    stop, start = (_angle(_on_ephys(t, stretch, model), head) for t in (steps.last, steps.first))
    return stop - start


def _residual(steps: _Steps, turned: np.ndarray, model: _Model) -> np.ndarray:
    return steps.size + model.gain * turned - model.bias + model.back * steps.away


def _jacobian(
    steps: _Steps, stretch: np.ndarray, head: _Head, model: _Model, turned: np.ndarray, free_slope: bool
) -> np.ndarray:
    """Derivatives of the residual by shifts (s), slope (if free), gain, bias, back, (n, parameters)."""
    n_shifts = model.shift.size
    stop, start = (
        np.interp(_on_ephys(t, stretch, model), head.time, head.rate) for t in (steps.last, steps.first)
    )
    columns = np.zeros((steps.first.size, n_shifts + free_slope + 3))
    columns[np.arange(steps.first.size), stretch] = model.gain * (stop - start)
    if free_slope:
        moved = stop * (steps.last - model.middle) - start * (steps.first - model.middle)
        columns[:, n_shifts] = model.gain * moved
    columns[:, -3], columns[:, -2], columns[:, -1] = turned, -1.0, steps.away
    return columns


def _start(steps: _Steps, shift: np.ndarray, slope: float) -> _Model:
    middle = 0.5 * (steps.first[0] + steps.last[-1])
    return _Model(middle, shift, slope, gain=0.5, bias=0.0, back=0.0, scale=_spread(steps.size))


def _maximise(
    steps: _Steps, stretch: np.ndarray, head: _Head, model: _Model, *, free_slope: bool = True
) -> _Model:
    """The parameters of highest likelihood, from a start within the width of a turn of the head."""
    n_shifts = model.shift.size
    half = 0.5 * (steps.last[-1] - steps.first[0])
    for _ in range(50):
        turned = _turned(steps, stretch, head, model)
        residual = _residual(steps, turned, model)
        weight = (_FREEDOM + 1) / (_FREEDOM + (residual / model.scale) ** 2)
        scale = float(np.sqrt(np.mean(weight * residual**2))) + 1e-9
        jacobian = _jacobian(steps, stretch, head, model, turned, free_slope)
        unit = np.sqrt((jacobian**2).sum(axis=0)) + 1e-12
        weighted = weight[:, None] * jacobian / unit
        move = np.linalg.lstsq(weighted.T @ (jacobian / unit), -weighted.T @ residual, rcond=1e-12)[0] / unit
        slope = move[n_shifts] if free_slope else 0.0
        # A move by more than a turn of the head lasts is no improvement, whatever the linear model says.
        shift = np.clip(move[:n_shifts], -0.03, 0.03)
        changed = np.abs(shift).max() + half * abs(slope), abs(scale / model.scale - 1)
        gain, bias, back = model.gain + move[-3], model.bias + move[-2], model.back + move[-1]
        model = _Model(model.middle, model.shift + shift, model.slope + slope, gain, bias, back, scale)
        if changed[0] < 2e-6 and changed[1] < 1e-3:
            break
    return model


def _fast(steps: _Steps, turned: np.ndarray, model: _Model) -> np.ndarray:
    """Whether each step is one of the eye's own fast movements, (n,)."""
    residual = _residual(steps, turned, model)
    return np.abs(residual) > _FAST_AT * _spread(residual)


def _quality(steps: _Steps, stretch: np.ndarray, head: _Head, model: _Model) -> float:
    """Correlation of the eye's steps with minus the head's, without the eye's own fast movements."""
    turned = _turned(steps, stretch, head, model)
    calm = ~_fast(steps, turned, model)
    return _correlation(-steps.size[calm], turned[calm])


def _slow(steps: _Steps, stretch: np.ndarray, head: _Head, model: _Model) -> np.ndarray:
    """Whether each step is clear of the eye's own fast movements, (n,)."""
    fast = _fast(steps, _turned(steps, stretch, head, model), model)
    begin, end = steps.first[fast] - _FAST_BEFORE_S, steps.last[fast] + _FAST_AFTER_S
    return np.searchsorted(begin, steps.last) == np.searchsorted(end, steps.first, side="right")


def _covariance(
    steps: _Steps,
    stretch: np.ndarray,
    head: _Head,
    model: _Model,
    block_s: float,
    *,
    free_slope: bool = True,
) -> np.ndarray:
    """Covariance of shifts (s), slope and the rest: the sandwich, scores summed over blocks."""
    turned = _turned(steps, stretch, head, model)
    jacobian = _jacobian(steps, stretch, head, model, turned, free_slope)
    ratio = (_residual(steps, turned, model) / model.scale) ** 2 / _FREEDOM
    residual = _residual(steps, turned, model)
    weight = (_FREEDOM + 1) / _FREEDOM / (1 + ratio)
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


def _sizes(model: _Model, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of the jumps between stretches (s, of the camera's stamps) and their standard errors."""
    n = model.shift.size
    difference = np.diff(np.eye(n), axis=0)
    variance = np.einsum("ij,jk,ik->i", difference, covariance[:n, :n], difference)
    return -np.diff(model.shift) / (1 + model.slope), np.sqrt(variance)

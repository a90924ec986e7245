"""Two computers, two clocks: offset and drift between camera and ephys, from eye and head.

The camera sees the eye; the ephys system records the gyroscope. When the head turns left the eye turns
right, so the change of the eye's angle between two camera frames must equal, with a negative factor, the
gyroscope integrated between the same two instants, once both are on one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.signal import correlate

from v1lib.errors import InputError


@dataclass(frozen=True)
class ClockFit:
    """The clock of the ephys against that of the cameras: ``t_cam = t_ephys − (offset + drift · t_ephys)``.

    Attributes
    ----------
    offset_s, drift_ppm : float
        At t_ephys = 0, and parts per million.
    offset_se_s, drift_se_ppm : float
        Standard errors.
    quality : float
        Correlation of the eye's velocity with minus the integrated gyroscope, 0 to 1, after the fit.
    n_steps : int
        Number of steps between consecutive eye frames that went into the fit.
    """

    offset_s: float
    drift_ppm: float
    offset_se_s: float
    drift_se_ppm: float
    quality: float
    n_steps: int

    def to_camera(self, ephys_time: np.ndarray) -> np.ndarray:
        """Camera-clock times of ephys-clock times, both in s from the start of the ephys."""
        return ephys_time - (self.offset_s + 1e-6 * self.drift_ppm * ephys_time)

    def to_ephys(self, camera_time: np.ndarray) -> np.ndarray:
        """Ephys-clock times of camera-clock times, both in s from the start of the ephys."""
        return (camera_time + self.offset_s) / (1 - 1e-6 * self.drift_ppm)


_SEARCH_S = 4.0
_WINDOW_S = 60.0
_GRID_HZ = 100.0
#: Eye and head that agree less than this give no clock.
_LEAST_QUALITY = 0.2
#: Error that the coarse clock may have, s.
_GAP_MARGIN_S = 0.05
#: Residuals beyond this many spreads begin to count less.
_ROBUST_AT = 1.5


def estimate_clock(
    eye_time: np.ndarray, eye_theta: np.ndarray, gyro_time: np.ndarray, gyro_z: np.ndarray
) -> ClockFit:
    """Estimate the ephys clock's offset and drift against the camera clock.

    A coarse search (cross-correlation over ±4 s in windows of a minute) finds a start; then offset and
    drift are fitted together and continuously, by robust least squares of the eye's step between frames
    on the gyroscope integrated over the same step.

    Parameters
    ----------
    eye_time : (n,) array
        Eye camera frames, s, camera clock, rising.
    eye_theta : (n,) array
        Horizontal angle of the eye in the head, deg, left positive, NaN where not tracked.
    gyro_time : (m,) array
        Gyroscope samples, s, ephys clock, rising.
    gyro_z : (m,) array
        Yaw velocity of the head, deg/s, left positive.

    Returns
    -------
    ClockFit

    Raises
    ------
    InputError
        Where eye and gyroscope do not agree well enough to give a clock.

    Notes
    -----
    A true lag between head and eye (a few milliseconds in mice) cannot be told from an offset.
    """
    for name, values in (("eye_theta", eye_theta), ("gyro_z", gyro_z)):
        if np.isfinite(values).sum() < 600:
            found = f"{int(np.isfinite(values).sum())}"
            raise InputError("estimate_clock", name, "600 measured samples or more", found)
    measured = np.isfinite(gyro_z)
    gyro_time, gyro_z = gyro_time[measured], gyro_z[measured] - np.median(gyro_z[measured])
    middle = 0.5 * (eye_time[0] + eye_time[-1])
    at_middle, drift = _coarse_clock(*windowed_lags(eye_time, eye_theta, gyro_time, gyro_z), middle)
    turned = np.concatenate([[0.0], np.cumsum(0.5 * (gyro_z[1:] + gyro_z[:-1]) * np.diff(gyro_time))])

    used = np.isfinite(eye_theta[1:]) & np.isfinite(eye_theta[:-1])
    # A step across lost frames is no step between neighbours: it is left out.
    used &= np.diff(eye_time) < 1.5 * np.median(np.diff(eye_time))
    # So is one over which the gyroscope was not measured, by the coarse clock and a margin for its error.
    used &= _covered(eye_time + at_middle + drift * (eye_time - middle), gyro_time)
    first, last, step = eye_time[:-1][used], eye_time[1:][used], np.diff(eye_theta)[used]
    if step.size < 600:
        expected = "600 steps between tracked frames while the gyroscope ran"
        raise InputError("estimate_clock", "eye_theta", expected, str(step.size))

    def head_step(at_middle: float, drift: float) -> np.ndarray:
        start, stop = (t + at_middle + drift * (t - middle) for t in (first, last))
        return np.interp(stop, gyro_time, turned) - np.interp(start, gyro_time, turned)

    # The eye glides back to its centre within seconds; left out, that return would pass for a lag.
    back = (0.5 * (eye_theta[1:] + eye_theta[:-1])[used] - np.nanmedian(eye_theta)) * (last - first)

    # Parameters are scaled so that each is of the order of one: ms, 100 ppm, gain, bias, return (1/s).
    def residual(p: np.ndarray) -> np.ndarray:
        head = head_step(at_middle + 1e-3 * p[0], drift + 1e-4 * p[1])
        return (step + p[2] * head - p[3] + p[4] * back) / scale

    def jacobian(p: np.ndarray) -> np.ndarray:
        shift, slope = at_middle + 1e-3 * p[0], drift + 1e-4 * p[1]
        speeds = [np.interp(t + shift + slope * (t - middle), gyro_time, gyro_z) for t in (first, last)]
        by_shift = p[2] * (speeds[1] - speeds[0])
        by_slope = p[2] * (speeds[1] * (last - middle) - speeds[0] * (first - middle))
        columns = [1e-3 * by_shift, 1e-4 * by_slope, head_step(shift, slope), -np.ones_like(step), back]
        return np.stack(columns, axis=1) / scale

    # The eye's own fast movements follow no head movement of that instant. The first fit finds the spread of
    # all other steps; measured against it, fast ones count for next to nothing in the second.
    guess, scale = np.array([0.0, 0.0, 0.5, 0.0, 0.0]), _spread(step)
    for _ in range(2):
        fit = least_squares(residual, guess, jacobian, loss="cauchy", f_scale=_ROBUST_AT)
        guess, scale = fit.x, scale * _spread(fit.fun)
    shift, slope = at_middle + 1e-3 * fit.x[0], drift + 1e-4 * fit.x[1]
    slow = np.abs(fit.fun) < 5 * _spread(fit.fun)
    quality = float(-np.corrcoef(step[slow], head_step(shift, slope)[slow])[0, 1])
    if not quality > _LEAST_QUALITY:
        raise InputError(
            "estimate_clock",
            "eye_theta against gyro_z",
            f"steps of the eye that mirror those of the head (r above {_LEAST_QUALITY})",
            f"r = {quality:.2f}",
        )
    shift_se, slope_se = _standard_errors(residual(fit.x), jacobian(fit.x), first)
    # In the fit, t_ephys = t_cam + shift + slope · (t_cam − middle); written the other way round:
    rate = 1 + slope
    drift_fraction = 1 - 1 / rate
    offset = (shift - slope * middle) / rate
    return ClockFit(
        offset_s=float(offset),
        drift_ppm=float(1e6 * drift_fraction),
        offset_se_s=float(np.hypot(shift_se, slope_se * middle)),
        drift_se_ppm=1e6 * slope_se,
        quality=quality,
        n_steps=int(step.size),
    )


def _spread(values: np.ndarray) -> float:
    """Standard deviation as a normal distribution with the same middle half would have it."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + 1e-9


def _covered(time: np.ndarray, gyro_time: np.ndarray) -> np.ndarray:
    """Whether the gyroscope was measured all the way from each time to the next, (n - 1,)."""
    gaps = np.flatnonzero(np.diff(gyro_time) > 1.75 * np.median(np.diff(gyro_time)))
    inside = (time > gyro_time[0] + _GAP_MARGIN_S) & (time < gyro_time[-1] - _GAP_MARGIN_S)
    for begin, end in zip(gyro_time[gaps], gyro_time[gaps + 1], strict=True):
        inside &= (time < begin - _GAP_MARGIN_S) | (time > end + _GAP_MARGIN_S)
    return inside[1:] & inside[:-1]


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
    step, duration = np.diff(eye_theta), np.diff(eye_time)
    tracked = np.isfinite(step)
    velocity, at = (step / duration)[tracked], (eye_time[:-1] + 0.5 * duration)[tracked]
    # Saccades are far faster than anything the head does; left out, they cannot carry the correlation.
    velocity = np.where(np.abs(velocity) < 6 * _spread(velocity), velocity, 0.0)
    found = []
    for start in np.arange(at[0], max(at[-1] - 0.5 * _WINDOW_S, at[0] + 1e-9), _WINDOW_S):
        stop = min(start + _WINDOW_S, at[-1])
        grid = np.arange(start, stop, 1 / _GRID_HZ)
        wide = np.arange(start - _SEARCH_S, stop + _SEARCH_S, 1 / _GRID_HZ)
        eye = -np.interp(grid, at, velocity)
        head = np.interp(wide, gyro_time, gyro_z, left=0.0, right=0.0)
        agreement = correlate(head, eye - eye.mean(), mode="valid")
        lag = np.arange(agreement.size) / _GRID_HZ - _SEARCH_S
        found.append((0.5 * (start + stop), lag[np.argmax(agreement)], agreement.max() / agreement.std()))
    centers, lags, peaks = np.array(found).T
    return centers, lags, peaks


def _coarse_clock(
    centers: np.ndarray, lags: np.ndarray, peaks: np.ndarray, middle: float
) -> tuple[float, float]:
    """Shift at `middle` (s) and drift (fraction): a line through the windows that agree with most others."""
    # The median withstands windows in which the mouse sat still; a drift of 500 ppm moves a window of an
    # hour's recording by less than the tolerance.
    near = np.abs(lags - np.median(lags)) < 0.1 + 5e-4 * np.ptp(centers)
    if near.sum() < 3:
        return float(np.median(lags)), 0.0
    slope, shift = np.polyfit(centers[near] - middle, lags[near], 1, w=peaks[near])
    return float(shift), float(slope)


def _standard_errors(residual: np.ndarray, jacobian: np.ndarray, first: np.ndarray) -> tuple[float, float]:
    """Standard errors of shift (s) and slope: the sandwich of a robust fit, over blocks of ten seconds.

    Eye movements are correlated over seconds, so steps do not count as independent; blocks do.
    """
    part = (residual / _ROBUST_AT) ** 2
    score = (residual / (1 + part))[:, None] * jacobian
    block = ((first - first[0]) / 10.0).astype(int)
    summed = np.zeros((block[-1] + 1, score.shape[1]))
    np.add.at(summed, block, score)
    bread = np.linalg.pinv(jacobian.T @ (((1 - part) / (1 + part) ** 2)[:, None] * jacobian))
    variance = bread @ (summed.T @ summed) @ bread
    return 1e-3 * float(np.sqrt(variance[0, 0])), 1e-4 * float(np.sqrt(variance[1, 1]))

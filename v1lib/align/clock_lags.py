"""The coarse search: at which lag of a grid eye and head agree, window by window, and over all lags."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import correlate

from v1lib.align.clock_streams import Head, spread

#: Lags looked through by the coarse search, and its windows, s.
SEARCH_S, COARSE_WINDOW_S = 10.0, 10.0
GRID_HZ = 100.0
#: Samples further apart than this are not joined by a line, s.
_JOINED_S = 0.1
#: Independent samples a second in the coarse search: a turn of the head takes about 0.1 s.
_INDEPENDENT_HZ = 10.0
#: Log likelihood that a jump must gain in the coarse search.
_JUMP_PRICE = 18.0


class Agreement(NamedTuple):
    """Windows: middles (s, camera clock), correlation and spread of the head's velocity (deg/s) at each lag
    of the grid, (window, lag), and the share of the frames that are tracked."""

    centers: np.ndarray
    r: np.ndarray
    moved: np.ndarray
    tracked: np.ndarray


def agreement_of(
    eye_time: np.ndarray, eye_theta: np.ndarray, head: Head, window_s: float, search_s: float
) -> Agreement:
    """Correlation of minus the eye's velocity with the head's in each window at each lag of a 10-ms grid."""
    at, velocity = _eye_velocity(eye_time, eye_theta)
    n = min(round(window_s * GRID_HZ), int((at[-1] - at[0]) * GRID_HZ))
    reach = round(search_s * GRID_HZ)
    centers, rows, moved, tracked = [], [], [], []
    for start in at[0] + window_s * np.arange(max(int((at[-1] - at[0]) / window_s), 1)):
        grid = start + np.arange(-reach, n + reach) / GRID_HZ
        eye = -_clipped_on(grid[reach : reach + n], at, velocity)
        turning = _clipped_on(grid, head.time, head.rate)
        eye -= eye.mean()
        along = correlate(turning, eye, mode="valid")
        sums, squares = (np.concatenate([[0.0], np.cumsum(a)]) for a in (turning, turning**2))
        variance = np.maximum((squares[n:] - squares[:-n]) / n - ((sums[n:] - sums[:-n]) / n) ** 2, 0.0)
        norm = n * np.sqrt(variance) * eye.std()
        rows.append(np.divide(along, norm, out=np.zeros_like(along), where=norm > 1e-6 * (1 + norm.max())))
        moved.append(np.sqrt(variance))
        centers.append(start + 0.5 * n / GRID_HZ)
        inside = (at >= start) & (at < start + window_s)
        tracked.append(inside.sum() * np.median(np.diff(eye_time)) / window_s)
    return Agreement(np.array(centers), np.array(rows), np.array(moved), np.array(tracked))


def lag_path(r: np.ndarray) -> tuple[np.ndarray, float]:
    """The lag of each coarse window (s) on the likeliest path, and the path's log likelihood.

    From window to window a path may move by one place of the grid (a drift of 1,000 ppm), or jump anywhere
    at a price.
    """
    n = _INDEPENDENT_HZ * COARSE_WINDOW_S
    gain = -0.5 * n * np.log1p(-(np.minimum(np.maximum(r, 0), 0.999) ** 2))
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
    return np.array(at[::-1]) / GRID_HZ - 0.5 * (n_lags - 1) / GRID_HZ, float(best.max())


def distant_lag(eye_time: np.ndarray, eye_theta: np.ndarray, head: Head) -> float | None:
    """How far the ephys clock is ahead, s, over all lags at which the streams overlap; None if unclear."""
    at, velocity = _eye_velocity(eye_time, eye_theta)
    hz = 0.5 * GRID_HZ
    eye = -_clipped_on(np.arange(at[0], at[-1], 1 / hz), at, velocity)
    turning = _clipped_on(np.arange(head.time[0], head.time[-1], 1 / hz), head.time, head.rate)
    along = np.abs(correlate(turning - turning.mean(), eye - eye.mean(), mode="full"))
    peak = int(along.argmax())
    near = np.abs(np.arange(along.size) - peak) < 2 * hz
    if along[peak] < 2 * along[~near].max():
        return None
    return float(head.time[0] - at[0] + (peak - (eye.size - 1)) / hz)


def _eye_velocity(eye_time: np.ndarray, eye_theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles (s) and velocities (deg/s) of the steps between tracked neighbours."""
    step, duration = np.diff(eye_theta), np.diff(eye_time)
    tracked = np.isfinite(step)
    return (eye_time[:-1] + 0.5 * duration)[tracked], (step / duration)[tracked]


def _clipped_on(grid: np.ndarray, time: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Velocities between samples by a straight line, zero where the nearest samples are far apart, and
    clipped at two spreads: saccades and the fastest turns must not carry all."""
    after = np.clip(np.searchsorted(time, grid), 1, time.size - 1)
    joined = (time[after] - time[after - 1] < _JOINED_S) & (grid >= time[0]) & (grid <= time[-1])
    values = np.where(joined, np.interp(grid, time, velocity), 0.0)
    return np.clip(values, -2 * spread(values), 2 * spread(values))

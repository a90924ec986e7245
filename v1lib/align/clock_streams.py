"""The two streams that clocks are compared by: steps of the eye between frames, and the angle of the head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Error that the coarse clock may have, s.
_GAP_MARGIN_S = 0.05


class Head(NamedTuple):
    """The gyroscope: time (s, ephys clock), rate (deg/s), angle turned since the start (deg), each (m,)."""

    time: np.ndarray
    rate: np.ndarray
    turned: np.ndarray


class Steps(NamedTuple):
    """Steps of the eye between tracked neighbouring frames, each (n,): stamps of both frames (s), size
    (deg), how far from its median the eye was times how long (deg s), and between which jumps it lies."""

    first: np.ndarray
    last: np.ndarray
    size: np.ndarray
    away: np.ndarray
    stretch: np.ndarray

    def at(self, which: np.ndarray) -> Steps:
        return Steps(*(values[which] for values in self))


def head_of(time: np.ndarray, rate: np.ndarray) -> Head:
    """The head of a gyroscope's samples, linear between them."""
    middle = 0.5 * (rate[1:] + rate[:-1])
    return Head(time, rate, np.concatenate([[0.0], np.cumsum(middle * np.diff(time))]))


def mirrored(head: Head) -> Head:
    """The head if the gyroscope had the opposite sign."""
    return Head(head.time, -head.rate, -head.turned)


def steps_of(eye_time: np.ndarray, eye_theta: np.ndarray) -> Steps:
    """Steps between tracked neighbours, all in one stretch; a step across lost frames is none."""
    duration = np.diff(eye_time)
    used = np.isfinite(eye_theta[1:]) & np.isfinite(eye_theta[:-1]) & (duration < 1.5 * np.median(duration))
    away = (0.5 * (eye_theta[1:] + eye_theta[:-1]) - np.nanmedian(eye_theta)) * duration
    size, stretch = np.diff(eye_theta), np.zeros(duration.size, int)
    return Steps(eye_time[:-1], eye_time[1:], size, away, stretch).at(used)


def covered(steps: Steps, lag: np.ndarray, head: Head) -> np.ndarray:
    """Whether the gyroscope ran all through each step and a margin, by the lag of each step (s), (n,)."""
    begin, end = steps.first + lag - _GAP_MARGIN_S, steps.last + lag + _GAP_MARGIN_S
    inside = (begin > head.time[0]) & (end < head.time[-1])
    gaps = np.flatnonzero(np.diff(head.time) > 1.75 * np.median(np.diff(head.time)))
    # A gap touches a step if it begins before the step ends and does not end before the step begins.
    begun, ended = (np.searchsorted(head.time[gaps + k], t) for k, t in ((0, end), (1, begin)))
    return inside & (begun == ended)


def angle(time: np.ndarray, head: Head) -> np.ndarray:
    """Angle turned until `time` (ephys clock), deg: the integral of the rate, linear between samples."""
    before = np.clip(np.searchsorted(head.time, time, side="right") - 1, 0, head.time.size - 2)
    into = time - head.time[before]
    rise = (head.rate[before + 1] - head.rate[before]) / (head.time[before + 1] - head.time[before])
    return head.turned[before] + into * (head.rate[before] + 0.5 * into * rise)


def spread(values: np.ndarray) -> float:
    """Standard deviation as a normal distribution with the same middle half would have it."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + 1e-9


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r; NaN for fewer than two values or a constant."""
    if a.size < 2 or not a.std() * b.std() > 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])

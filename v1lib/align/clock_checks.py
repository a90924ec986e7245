"""Streams that give no clock, each refused in one sentence: what was expected of them and what they are."""

from __future__ import annotations

import numpy as np

from v1lib.align.clock_lags import COARSE_WINDOW_S, GRID_HZ, SEARCH_S, Agreement, distant_lag
from v1lib.align.clock_streams import Head, head_of
from v1lib.errors import InputError

#: Fewer measured samples, or steps of the eye, than this give no clock.
LEAST_STEPS = 600
#: Eye and head that agree less than this give no clock.
LEAST_QUALITY = 0.2
#: Coarse windows above this correlation agree; a minute of moving head has at least this share of theirs.
_AGREES, _LEAST_SHARE = 0.35, 0.25
_WINDOWS_A_MINUTE = 6
#: A stream of which so many measured samples do not change for so long has stopped, s.
_FROZEN_S, _FROZEN_SAMPLES = 10.0, 10
#: The eye's angle is in degrees and unwrapped, at most this.
_LARGEST_ANGLE_DEG = 360.0
#: A gyroscope is saturated if more than this share of its samples lies at one end of the range.
_SATURATED_SHARE = 0.005

_WHERE = "estimate_clock"
_EYE_AGAINST_HEAD = "eye_theta against gyro_z"
_STAMPS_OF_BOTH = "eye_time against gyro_time"


def checked_streams(
    eye_time: np.ndarray, eye_theta: np.ndarray, gyro_time: np.ndarray, gyro_z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Head]:
    """The eye's frames and the measured samples of the gyroscope; refused where no clock can come of them."""
    _refuse_stream("eye_time", eye_time, "eye_theta", eye_theta)
    _refuse_stream("gyro_time", gyro_time, "gyro_z", gyro_z)
    eye_time, eye_theta, gyro_time, gyro_z = (
        np.asarray(a, float) for a in (eye_time, eye_theta, gyro_time, gyro_z)
    )
    together = int((np.isfinite(eye_theta[1:]) & np.isfinite(eye_theta[:-1])).sum())
    if together < LEAST_STEPS:
        expected = f"{LEAST_STEPS} pairs of neighbouring frames that are both tracked, or more"
        raise InputError(_WHERE, "eye_theta", expected, str(together))
    largest = np.nanmax(np.abs(eye_theta))
    if largest > _LARGEST_ANGLE_DEG:
        expected = f"angles within ±{_LARGEST_ANGLE_DEG:.0f} deg"
        raise InputError(_WHERE, "eye_theta", expected, f"{largest:.6g} deg")
    ran = np.isfinite(gyro_z)
    _refuse_saturated(gyro_z[ran])
    return eye_time, eye_theta, head_of(gyro_time[ran], gyro_z[ran])


def _refuse_stream(of: str, time: np.ndarray, name: str, values: np.ndarray) -> None:
    """Refuse stamps that are none, and values that are too few or stand still."""
    for each, given in ((of, time), (name, values)):
        try:
            kind = np.asarray(given).dtype
        except ValueError as error:  # lists of unequal length
            raise InputError(_WHERE, each, "an array of numbers", "what makes no array") from error
        if kind.kind not in "iuf":
            raise InputError(_WHERE, each, "real numbers", f"values of type {kind}")
    if np.ndim(time) != 1 or np.shape(time) != np.shape(values):
        expected = f"one value for each of {of}, {np.shape(time)}"
        raise InputError(_WHERE, name, expected, str(np.shape(values)))
    if not np.isfinite(time).all():
        bad = int((~np.isfinite(time)).sum())
        raise InputError(_WHERE, of, "finite stamps", f"{bad} of {np.size(time)} not finite")
    if not (np.diff(time) > 0).all():
        first = int(np.argmin(np.diff(time) > 0))
        found = f"{time[first + 1]:.6f} s after {time[first]:.6f} s at sample {first + 1}"
        raise InputError(_WHERE, of, "stamps that rise from each sample to the next", found)
    if np.isinf(values).any():
        raise InputError(_WHERE, name, "finite values, or NaN where not measured", "infinite ones")
    measured = int(np.isfinite(values).sum())
    if measured < LEAST_STEPS:
        raise InputError(_WHERE, name, f"{LEAST_STEPS} measured samples or more", str(measured))
    ran = np.isfinite(values)
    _refuse_frozen(name, np.asarray(time)[ran], np.asarray(values)[ran])


def _refuse_frozen(name: str, time: np.ndarray, values: np.ndarray) -> None:
    """Refuse measured values that stand still for long: the sensor or tracker had stopped."""
    edges = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0]))
    last = np.append(edges[1:] - 1, values.size - 1)
    # Two values that are alike by chance may lie on both sides of a long gap.
    stood = np.where(last - edges + 1 >= _FROZEN_SAMPLES, time[last] - time[edges], 0.0)
    longest = int(stood.argmax())
    if stood[longest] > _FROZEN_S:
        begin, end = time[edges[longest]], time[last[longest]]
        found = f"{values[edges[longest]]:.6g} throughout from {begin:.1f} to {end:.1f} s"
        raise InputError(_WHERE, name, "values that vary, or NaN where not measured", found)


def _refuse_saturated(rate: np.ndarray) -> None:
    """Refuse a gyroscope that spends much time at an end of its range."""
    share = max((rate == rate.min()).mean(), (rate == rate.max()).mean())
    if share > _SATURATED_SHARE:
        found = f"{100 * share:.1f} % of the samples at an end, {rate.min():.6g} or {rate.max():.6g} deg/s"
        raise InputError(_WHERE, "gyro_z", "a gyroscope that stays inside its range", found)


def refuse_spans(eye_time: np.ndarray, eye_theta: np.ndarray, head: Head) -> None:
    """Refuse streams of very different length, or that lie too far apart for the search."""
    tracked = np.isfinite(eye_theta)
    eye, gyro = eye_time[tracked][[0, -1]], head.time[[0, -1]]
    spans = {"eye": float(np.ptp(eye)), "gyroscope": float(np.ptp(gyro))}
    if min(spans.values()) < 0.5 * max(spans.values()):
        found = " and ".join(f"{seconds:.1f} s of the {name}" for name, seconds in spans.items())
        expected = "streams of which neither is more than twice as long as the other"
        raise InputError(_WHERE, _STAMPS_OF_BOTH, expected, found)
    if min(eye[1], gyro[1]) - max(eye[0], gyro[0]) + SEARCH_S < 0.5 * min(spans.values()):
        lag = distant_lag(eye_time, eye_theta, head)
        about = gyro[0] - eye[0] if lag is None else lag
        found = (
            f"the eye from {eye[0]:.1f} to {eye[1]:.1f} s and the gyroscope from {gyro[0]:.1f} to "
            f"{gyro[1]:.1f} s, so that the ephys clock is ahead by about {about:.2f} s"
        )
        expected = f"streams that run at the same time, within {SEARCH_S:.0f} s"
        raise InputError(_WHERE, _STAMPS_OF_BOTH, expected, found)


def refuse_flipped(quality: float) -> None:
    """Refuse an eye that moves with the head, by the quality of a fit with the opposite sign."""
    if quality > LEAST_QUALITY:
        raise InputError(
            _WHERE,
            _EYE_AGAINST_HEAD,
            "an eye that moves against the head, with theta and yaw velocity both positive to the left",
            f"that they move together (r = {-quality:.2f}): the sign of one of the two is to be turned",
        )


def refuse_disagreement(agreement: Agreement, path: np.ndarray) -> None:
    """Refuse a recording of which a minute or more does not agree at the lag of the rest."""
    bad = _bad_stretches(agreement, path)
    if bad:
        stretches = " and ".join(f"from {begin:.0f} to {end:.0f} s" for begin, end in bad)
        expected = "an eye that mirrors the head throughout (cut other parts, or make their theta NaN)"
        found = (
            f"none {stretches} of the camera's clock, at the lag of the rest or one within {SEARCH_S:.0f} s"
        )
        raise InputError(_WHERE, _EYE_AGAINST_HEAD, expected, found)


def _bad_stretches(agreement: Agreement, path: np.ndarray) -> list[tuple[float, float]]:
    """From and to which camera times (s) eye and head disagree, in whole minutes, neighbours joined."""
    at = np.rint((path + SEARCH_S) * GRID_HZ).astype(int)
    number = np.arange(path.size)
    r, moved = agreement.r[number, at], agreement.moved[number, at]
    agrees = r > _AGREES
    # Where nothing agrees, no part is at fault; where the head rests, there is nothing to agree on.
    if agrees.sum() < max(3, 0.1 * path.size):
        return []
    least = _LEAST_SHARE * np.median(r[agrees])
    telling = (moved > 0.5 * np.median(moved[agrees])) & (agreement.tracked > 0.5)
    bad: list[tuple[float, float]] = []
    followed = -1  # the window that would go on from the last bad minute
    for first in range(0, path.size, _WINDOWS_A_MINUTE):
        inside = (number >= first) & (number < first + _WINDOWS_A_MINUTE) & telling
        if inside.sum() >= _WINDOWS_A_MINUTE // 2 and r[inside].mean() < least:
            last = min(first + _WINDOWS_A_MINUTE, path.size) - 1
            begin, end = agreement.centers[[first, last]] + 0.5 * COARSE_WINDOW_S * np.array([-1, 1])
            if followed == first:
                begin = bad.pop()[0]
            bad.append((begin, end))
            followed = last + 1
    return bad


def refuse_poor(quality: float, eye_time: np.ndarray, eye_theta: np.ndarray, head: Head) -> None:
    """Refuse an eye that does not mirror the head; where it does so at a distant lag, say at which."""
    if quality > LEAST_QUALITY:
        return
    lag = distant_lag(eye_time, eye_theta, head)
    if lag is not None and abs(lag) > 0.9 * SEARCH_S:
        expected = f"clocks that differ by at most {SEARCH_S:.0f} s"
        found = f"eye and head that agree when the ephys clock is ahead by about {lag:.2f} s"
        raise InputError(_WHERE, _STAMPS_OF_BOTH, expected, found)
    expected = f"steps of the eye that mirror those of the head (r above {LEAST_QUALITY})"
    raise InputError(_WHERE, _EYE_AGAINST_HEAD, expected, f"r = {quality:.2f}")

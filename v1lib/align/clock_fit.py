"""What is known of two clocks: offset, drift, jumps and their errors; times carried across by them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import numpy as np

from v1lib.errors import InputError

#: Clocks that drift apart faster are not counted in the same unit, parts per million.
_MOST_DRIFT_PPM = 1e4


def _check_number(of: object, name: str, *, or_nan: bool = False) -> None:
    """Refuse an attribute that is no real number, or not finite where NaN cannot stand for unknown."""
    value = getattr(of, name)
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (np.isfinite(value) or (or_nan and np.isnan(value))):
        expected = "a number, or NaN where not known" if or_nan else "a finite number"
        raise InputError(type(of).__name__, name, expected, repr(value))


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

    def __post_init__(self) -> None:
        for name in ("after_s", "before_s", "size_s"):
            _check_number(self, name)
        _check_number(self, "size_se_s", or_nan=True)
        if not self.after_s < self.before_s:
            found = f"{self.after_s} to {self.before_s} s"
            raise InputError("ClockJump", "after_s", "a time before before_s", found)


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

    def __post_init__(self) -> None:
        for name in ("offset_s", "drift_ppm", "n_steps", "eye_lag_s"):
            _check_number(self, name)
        for name in ("offset_se_s", "drift_se_ppm", "quality"):
            _check_number(self, name, or_nan=True)
        if abs(self.drift_ppm) > _MOST_DRIFT_PPM:
            expected = f"at most {_MOST_DRIFT_PPM:.0f} ppm either way"
            raise InputError("ClockFit", "drift_ppm", expected, f"{self.drift_ppm} ppm")
        if not isinstance(self.jumps, tuple) or not all(isinstance(j, ClockJump) for j in self.jumps):
            raise InputError("ClockFit", "jumps", "a tuple of ClockJump", repr(self.jumps))
        for first, second in pairwise(self.jumps):
            if second.after_s < first.before_s:
                found = f"one from {second.after_s} s behind one to {first.before_s} s"
                raise InputError("ClockFit", "jumps", "jumps in order that do not overlap", found)

    def to_camera(self, ephys_time: np.ndarray) -> np.ndarray:
        """Camera-clock times of ephys-clock times, both in s from the start of the ephys."""
        ephys_time = np.asarray(ephys_time, float)
        camera_time = ephys_time - (self.offset_s + 1e-6 * self.drift_ppm * ephys_time)
        if self.jumps:
            knots, total = self._knots()
            camera_time = camera_time + np.interp(camera_time, knots - total, total)
        return camera_time

    def to_ephys(self, camera_time: np.ndarray) -> np.ndarray:
        """Ephys-clock times of camera-clock times, both in s from the start of the ephys."""
        camera_time = np.asarray(camera_time, float)
        if self.jumps:
            camera_time = camera_time - np.interp(camera_time, *self._knots())
        return (camera_time + self.offset_s) / (1 - 1e-6 * self.drift_ppm)

    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Camera times at which jumps begin and end, and the sum of the jumps until there, s."""
        times = np.array([t for jump in self.jumps for t in (jump.after_s, jump.before_s)])
        total = np.cumsum([jump.size_s for jump in self.jumps])
        return times, np.stack([np.concatenate([[0.0], total[:-1]]), total], axis=1).ravel()

"""What is known of two clocks: offset, drift, jumps and their errors; times carried across by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

"""How the simulated mouse moves: body, head, eyes and pupil, on one fine grid of time.

Angles follow the conventions of the session: yaw and theta positive to the animal's left, pitch and phi
positive upward, roll positive with the right ear down, torsion positive in the sense of roll.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from v1lib.simulate.arena import BOX_CM

SAMPLE_RATE_HZ = 300.0
EYE_HEIGHT_CM = 3.0
_WALL_MARGIN_CM = 5.0


def _wander(rng: np.random.Generator, n: int, time_constant_s: float, sd: float) -> np.ndarray:
    """Ornstein-Uhlenbeck process with the stationary standard deviation `sd`, (n,)."""
    keep = np.exp(-1 / (time_constant_s * SAMPLE_RATE_HZ))
    noise = rng.standard_normal(n) * sd * np.sqrt(1 - keep**2)
    start = sd * rng.standard_normal()
    return lfilter([1.0], [1.0, -keep], noise, zi=[keep * start])[0]


def _smooth(signal: np.ndarray, time_constant_s: float) -> np.ndarray:
    """Causal exponential smoothing that starts in its steady state."""
    keep = np.exp(-1 / (time_constant_s * SAMPLE_RATE_HZ))
    return lfilter([1 - keep], [1.0, -keep], signal, zi=[keep * signal[0]])[0]


def _running_speed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Speed in cm/s: bouts of running between pauses."""
    speed, at = np.zeros(n), 0
    running = bool(rng.random() < 0.5)
    while at < n:
        length = int(rng.gamma(2.0, 2.0 if running else 1.2) * SAMPLE_RATE_HZ) + 1
        if running:
            speed[at : at + length] = np.minimum(rng.lognormal(np.log(9.0), 0.4), 22.0)
        at += length
        running = not running
    stride = 1 + 0.15 * np.sin(2 * np.pi * 4.0 * np.arange(n) / SAMPLE_RATE_HZ)
    return np.maximum(_smooth(_smooth(speed, 0.15), 0.15) * stride, 0.0)


def _head_turns(rng: np.random.Generator, n: int) -> np.ndarray:
    """Head-on-body yaw in degrees: rapid turns between targets, so its velocity has heavy tails."""
    yaw, at, held = np.zeros(n), 0.0, 0.0
    seconds = n / SAMPLE_RATE_HZ
    while (at := at + rng.exponential(0.7) + 0.12) < seconds:
        target = np.clip(rng.laplace(0.0, 25.0), -70, 70)
        duration = 0.12 + 0.0025 * abs(target - held) + 0.05 * rng.random()
        first, last = int(at * SAMPLE_RATE_HZ), int((at + duration) * SAMPLE_RATE_HZ) + 1
        part = np.clip(np.arange(first, min(last, n)) / SAMPLE_RATE_HZ - at, 0, duration) / duration
        yaw[first:last] = held + (target - held) * part**3 * (10 - 15 * part + 6 * part**2)
        yaw[last:] = target
        held, at = target, at + duration
    return yaw + _smooth(_wander(rng, n, 0.2, 2.0), 0.03)


def _walk(rng: np.random.Generator, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position (n, 2) in cm and body heading (n,) in degrees; walls are turned away from."""
    every = 10  # the body steers at 30 Hz and is interpolated between
    step = every / SAMPLE_RATE_HZ
    pace = speed[::every]
    turning = np.deg2rad(_wander(rng, speed.size, 0.8, 45.0)[::every])
    centre = np.array(BOX_CM[:2]) / 2
    room = centre - _WALL_MARGIN_CM
    position, heading = centre + 0.5 * room * rng.uniform(-1, 1, 2), rng.uniform(-np.pi, np.pi)
    positions, headings = np.empty((pace.size, 2)), np.empty(pace.size)
    for i in range(pace.size):
        outward = np.abs((position - centre) / room).max()
        to_centre = np.arctan2(*(centre - position)[::-1])
        away = (
            np.sin(to_centre - heading) if np.cos(to_centre - heading) > 0 else np.sign(to_centre - heading)
        )
        heading += step * (turning[i] + 4.0 * outward**4 * away)
        move = pace[i] * step * np.array([np.cos(heading), np.sin(heading)])
        position = np.clip(position + move, centre - room, centre + room)
        positions[i], headings[i] = position, heading
    coarse, fine = np.arange(pace.size) * every, np.arange(speed.size)
    walked = np.stack([np.interp(fine, coarse, positions[:, k]) for k in (0, 1)], axis=1)
    facing = np.rad2deg(np.interp(fine, coarse, headings))
    return walked, _smooth(_smooth(facing, 0.08), 0.08)  # no body turns in an instant


def _eye_theta(rng: np.random.Generator, yaw: np.ndarray) -> np.ndarray:
    """Horizontal eye-in-head angle in degrees: counter-rotation of the head, reset by saccades."""
    turn = np.diff(yaw, prepend=yaw[0])
    leak = 1 / (3.0 * SAMPLE_RATE_HZ)
    saccade_samples = int(0.04 * SAMPLE_RATE_HZ)
    limits = rng.uniform(11, 21, turn.size // 10 + 1)
    landings = rng.uniform(0, 8, limits.size)
    theta, now, limit, left, hop, n_saccades = np.empty(turn.size), 0.0, limits[0], 0, 0.0, 0
    for i, moved in enumerate(turn.tolist()):
        if left:
            now += hop
            left -= 1
        else:
            now -= 0.95 * moved + now * leak
            if abs(now) > limit:
                goal = -np.sign(now) * landings[n_saccades % limits.size]
                left, hop = saccade_samples, (goal - now) / saccade_samples
                n_saccades += 1
                limit = limits[n_saccades % limits.size]
        theta[i] = now
    return theta + _wander(rng, turn.size, 0.5, 0.4)


def simulate_motion(rng: np.random.Generator, seconds: float) -> xr.Dataset:
    """The mouse's movement at 300 Hz.

    Parameters
    ----------
    rng : numpy.random.Generator
    seconds : float
        Length, s.

    Returns
    -------
    xarray.Dataset
        Over ``time`` (s): ``x``, ``y`` (cm), ``speed`` (cm/s), ``yaw``, ``pitch``, ``roll`` of the head
        (Euler angles, deg), ``theta``, ``phi``, ``torsion`` of the eye in the head (deg), ``pupil``
        (radius, px of the eye camera).
    """
    n = round(seconds * SAMPLE_RATE_HZ)
    speed = _running_speed(rng, n)
    position, heading = _walk(rng, speed)
    yaw = heading + _head_turns(rng, n)
    running = _smooth(speed, 0.3) / 10
    step_phase = 2 * np.pi * np.cumsum(4.0 + 0.1 * speed) / SAMPLE_RATE_HZ
    bob = 1.5 * np.minimum(running, 1.5) * np.sin(step_phase)
    pitch = -12 + 4 * np.minimum(running, 1.5) + _smooth(_wander(rng, n, 0.7, 11.0), 0.05) + bob
    roll = _smooth(_wander(rng, n, 0.6, 9.0), 0.05)
    theta = _eye_theta(rng, yaw)
    phi = 16 * np.tanh(-0.6 * (pitch + 8) / 16) + _smooth(_wander(rng, n, 0.5, 1.5), 0.02)
    torsion = -0.5 * roll
    arousal = 0.8 * _smooth(running, 1.5) + _wander(rng, n, 20.0, 0.35)
    pupil = 28 + 6 * np.tanh(arousal - 0.5) + _smooth(_wander(rng, n, 0.5, 0.4), 0.1)
    names = {
        "x": position[:, 0],
        "y": position[:, 1],
        "speed": speed,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "theta": theta,
        "phi": phi,
        "torsion": torsion,
        "pupil": pupil,
    }
    time = np.arange(n) / SAMPLE_RATE_HZ
    return xr.Dataset({name: ("time", values) for name, values in names.items()}, {"time": time})


def rotation_matrix(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotations that take the turned axes to the resting ones, (n, 3, 3), from Euler angles in degrees.

    Roll is applied first, then pitch, then yaw; the same function serves the head in the world and the eye
    in the head (theta, phi, torsion).
    """
    y, p, r = np.deg2rad(yaw), np.deg2rad(pitch), np.deg2rad(roll)
    cy, sy, cp, sp, cr, sr = np.cos(y), np.sin(y), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    rows = [
        [cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr],
        [sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr],
        [sp, cp * sr, cp * cr],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def body_rates(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray, rate_hz: float) -> np.ndarray:
    """Angular velocity about the head's own axes (forward, left, up), deg/s, (n, 3)."""
    dy, dp, dr = (np.gradient(angle) * rate_hz for angle in (yaw, pitch, roll))
    p, r = np.deg2rad(pitch), np.deg2rad(roll)
    # World up in head axes is (sin p, cos p sin r, cos p cos r); pitch turns about the left axis of the
    # head before roll, with the opposite sign, because a positive turn about "left" lowers the nose.
    forward = dr + dy * np.sin(p)
    left = dy * np.cos(p) * np.sin(r) - dp * np.cos(r)
    up = dy * np.cos(p) * np.cos(r) + dp * np.sin(r)
    return np.stack([forward, left, up], axis=1)

"""How the simulated mouse moves: body, head, eyes and pupil, on one fine grid of time.

Angles follow the conventions of the session: yaw and theta positive to the animal's left, pitch and phi
positive upward, roll positive with the right ear down, torsion positive in the sense of roll.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from v1lib.simulate.arena import BOX_CM, PILLARS_CM

SAMPLE_RATE_HZ = 300.0
EYE_HEIGHT_CM = 3.0
_WALL_MARGIN_CM = 5.0
_PILLAR_MARGIN_CM = 3.0


def wander(
    rng: np.random.Generator, n: int, time_constant_s: float, sd: float, *, rate_hz: float = SAMPLE_RATE_HZ
) -> np.ndarray:
    """Ornstein-Uhlenbeck process with the stationary standard deviation `sd`, (n,)."""
    keep = np.exp(-1 / (time_constant_s * rate_hz))
    noise = rng.standard_normal(n) * sd * np.sqrt(1 - keep**2)
    start = sd * rng.standard_normal()
    return lfilter([1.0], [1.0, -keep], noise, zi=[keep * start])[0]


def smooth(signal: np.ndarray, time_constant_s: float) -> np.ndarray:
    """Causal exponential smoothing that starts in its steady state."""
    keep = np.exp(-1 / (time_constant_s * SAMPLE_RATE_HZ))
    return lfilter([1 - keep], [1.0, -keep], signal, zi=[keep * signal[0]])[0]


def _liveliness(rng: np.random.Generator, n: int) -> np.ndarray:
    """How fast the animal's own time runs, between nearly 0 while it rests and 1 while it explores, (n,)."""
    lively, at, resting = np.ones(n), 0, bool(rng.random() < 0.3)
    while at < n:
        length = int(rng.gamma(2.0, 2.5 if resting else 6.0) * SAMPLE_RATE_HZ) + 1
        if resting:
            lively[at : at + length] = 0.04
        at += length
        resting = not resting
    return smooth(smooth(lively, 0.15), 0.15)


def running_speed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Speed in cm/s: bouts of running between pauses."""
    speed, at = np.zeros(n), 0
    running = bool(rng.random() < 0.5)
    while at < n:
        length = int(rng.gamma(2.0, 2.0 if running else 1.2) * SAMPLE_RATE_HZ) + 1
        if running:
            speed[at : at + length] = np.minimum(rng.lognormal(np.log(9.0), 0.4), 22.0)
        at += length
        running = not running
    return smooth(smooth(speed, 0.15), 0.15)


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
    return yaw + smooth(wander(rng, n, 0.2, 2.0), 0.03)


def walk(
    rng: np.random.Generator, speed: np.ndarray, turning: np.ndarray | None, heading: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the animal goes: it turns away from walls and slides along what it meets.

    Parameters
    ----------
    rng : numpy.random.Generator
    speed : (n,) array
        What the animal would run at with nothing in its way, cm/s.
    turning : (n,) array, optional
        Rate at which the body turns of its own accord, deg/s.
    heading : (n,) array, optional
        Direction of the body, deg, where it is given; then nothing turns the animal away from a wall.

    Returns
    -------
    position : (n, 2) array, cm
    heading : (n,) array, deg
    speed : (n,) array
        Of the position, cm/s.
    """
    every = 10  # the body steers at 30 Hz and is interpolated between
    step = every / SAMPLE_RATE_HZ
    pace = speed[::every]
    centre = np.array(BOX_CM[:2]) / 2
    room = centre - _WALL_MARGIN_CM
    place, facing = centre + 0.5 * room * rng.uniform(-1, 1, 2), rng.uniform(-np.pi, np.pi)
    given = None if heading is None else np.deg2rad(heading[::every])
    turn = np.zeros(pace.size) if turning is None else np.deg2rad(turning[::every])
    places, headings = np.empty((pace.size, 2)), np.empty(pace.size)
    for i in range(pace.size):
        if given is not None:
            facing = given[i]
        else:
            outward = np.abs((place - centre) / room).max()
            to_centre = np.arctan2(*(centre - place)[::-1])
            ahead = np.cos(to_centre - facing) > 0
            away = np.sin(to_centre - facing) if ahead else np.sign(to_centre - facing)
            # It looks about while it stands and turns to walk on: walls turn it as it moves.
            facing += step * (turn[i] + 4.0 * outward**4 * away * min(pace[i] / 5.0, 1.0))
        move = pace[i] * step * np.array([np.cos(facing), np.sin(facing)])
        place = _outside_pillars(np.clip(place + move, centre - room, centre + room))
        places[i], headings[i] = place, facing
    coarse, fine = np.arange(pace.size) * every, np.arange(speed.size)
    # Two smoothings: no body starts, stops or turns in an instant.
    smoothed = [
        smooth(smooth(np.interp(fine, coarse, values), 0.06), 0.06)
        for values in (places[:, 0], places[:, 1], np.rad2deg(headings))
    ]
    position = np.stack(smoothed[:2], axis=1)
    velocity = np.gradient(position, axis=0) * SAMPLE_RATE_HZ
    return position, smoothed[2], np.hypot(velocity[:, 0], velocity[:, 1])


def _outside_pillars(place: np.ndarray) -> np.ndarray:
    """`place`, or the nearest one at which the head clears every pillar, (2,) in cm."""
    for x0, y0, x1, y1, _ in PILLARS_CM:
        low = np.array([x0, y0]) - _PILLAR_MARGIN_CM
        high = np.array([x1, y1]) + _PILLAR_MARGIN_CM
        if (place > low).all() and (place < high).all():
            place = place.copy()
            depth = np.concatenate([place - low, high - place])
            side = int(np.argmin(depth))
            place[side % 2] = (low if side < 2 else high)[side % 2]
    return place


def pupil_radius(rng: np.random.Generator, speed: np.ndarray) -> np.ndarray:
    """Radius of the pupil in px of the eye camera, (n,): it widens seconds after running starts."""
    n = speed.size
    arousal = 0.8 * smooth(smooth(speed, 0.3) / 10, 1.5) + wander(rng, n, 20.0, 0.35)
    return 28 + 6 * np.tanh(arousal - 0.5) + smooth(wander(rng, n, 0.5, 0.4), 0.1)


def eye_movement(
    rng: np.random.Generator,
    yaw: np.ndarray,
    pitch: np.ndarray,
    roll: np.ndarray,
    *,
    lag_s: float,
    scale: float,
) -> dict[str, np.ndarray]:
    """``theta``, ``phi``, ``torsion`` of the eye in the head, deg, (n,), which answer the head `lag_s` later.

    The eye is held against the horizon: it looks down as the nose goes up and rolls back as the head rolls,
    both by less than the head moves; and it counter-rotates as the head turns (:func:`_theta`). How far it
    goes in either direction grows with `scale`.
    """
    n = yaw.size
    now = np.arange(n)
    felt_yaw, felt_pitch, felt_roll = (
        np.interp(now - lag_s * SAMPLE_RATE_HZ, now, angle) for angle in (yaw, pitch, roll)
    )
    tilt = felt_pitch - np.median(felt_pitch)
    drift = smooth(wander(rng, n, 1.0, 2.5), 0.03)
    return {
        "theta": _theta(rng, felt_yaw, smooth(-0.2 * tilt, 0.5), scale),
        "phi": scale * 16 * np.tanh((-0.55 * tilt + 0.15 * felt_roll + drift) / 16),
        "torsion": torsion_of(rng, felt_roll),
    }


def torsion_of(rng: np.random.Generator, roll: np.ndarray) -> np.ndarray:
    """Torsion of the eye in deg, (n,): it rolls back by half of the head's roll."""
    return -0.5 * roll + smooth(wander(rng, roll.size, 1.0, 0.8), 0.03)


def _theta(rng: np.random.Generator, yaw: np.ndarray, rest: np.ndarray, scale: float) -> np.ndarray:
    """Horizontal eye-in-head angle in degrees: counter-rotation of the head, reset by saccades.

    The eye takes back some four fifths of each turn of the head, now more and now less, and glides towards
    `rest` (n,) within seconds.
    Where that carries it too far off, a saccade takes it to the other side, in the direction in which the
    head turns: gaze stands between saccades and moves on with them.
    """
    gain = np.clip(wander(rng, yaw.size, 3.0, 0.12) + 0.8, 0, 1)
    countered = gain * np.diff(yaw, prepend=yaw[0])
    leak = 1 / (3.0 * SAMPLE_RATE_HZ)
    saccade_samples = int(0.04 * SAMPLE_RATE_HZ)
    limits = scale * rng.uniform(10, 20, yaw.size // 10 + 1)
    landings = scale * rng.uniform(0, 8, limits.size)
    theta, now, limit, left, hop, n_saccades = np.empty(yaw.size), 0.0, limits[0], 0, 0.0, 0
    for i, (moved, middle) in enumerate(zip(countered.tolist(), rest.tolist(), strict=True)):
        if left:
            now += hop
            left -= 1
        else:
            now -= moved + (now - middle) * leak
            if abs(now - middle) > limit:
                goal = middle - np.sign(now - middle) * landings[n_saccades % limits.size]
                left, hop = saccade_samples, (goal - now) / saccade_samples
                n_saccades += 1
                limit = limits[n_saccades % limits.size]
        theta[i] = now
    return theta + wander(rng, yaw.size, 0.5, 0.4)


def simulate_motion(
    rng: np.random.Generator, seconds: float, *, eye_lag_s: float = 0.0, eye_scale: float = 1.0
) -> xr.Dataset:
    """The mouse's movement at 300 Hz.

    Explored and rested time alternate. While the animal rests its own time nearly stands still: posture,
    turns and bouts of running all go on in that time, so that they rest together.

    Parameters
    ----------
    rng : numpy.random.Generator
    seconds : float
        Length, s.
    eye_lag_s : float
        How long the eye lags the head, s.
    eye_scale : float
        How far the eye goes, as a multiple of what it does by default.

    Returns
    -------
    xarray.Dataset
        Over ``time`` (s): ``x``, ``y``, ``z`` (cm) of the head, ``speed`` (cm/s), ``yaw``, ``pitch``,
        ``roll`` of the head (Euler angles, deg), ``theta``, ``phi``, ``torsion`` of the eye in the head
        (deg), ``pupil`` (radius, px of the eye camera); ``head_measured``, ``eye_measured`` (bool): whether
        the instruments see it, here throughout.
    """
    n = round(seconds * SAMPLE_RATE_HZ)
    lively = _liveliness(rng, n)
    own_time = np.cumsum(lively) - lively[0]  # in samples

    def lived(process: np.ndarray) -> np.ndarray:
        return np.interp(own_time, np.arange(n), process)

    position, heading, speed = walk(
        rng, lived(running_speed(rng, n)) * lively, lived(wander(rng, n, 0.8, 45.0)) * lively, None
    )
    yaw = heading + lived(_head_turns(rng, n))
    running = smooth(speed, 0.3) / 10
    stride = np.sin(2 * np.pi * np.cumsum(4.0 + 0.1 * speed) / SAMPLE_RATE_HZ)
    stepping = np.minimum(running, 1.5) * stride
    posture = wander(rng, n, 6.0, 6.0) + wander(rng, n, 0.7, 8.0)
    pitch = -12 + 4 * np.minimum(running, 1.5) + smooth(lived(posture), 0.05) + 1.5 * stepping
    roll = smooth(lived(wander(rng, n, 5.0, 5.0) + wander(rng, n, 0.6, 7.0)), 0.05)
    names = {
        "x": position[:, 0],
        "y": position[:, 1],
        "z": EYE_HEIGHT_CM + 0.1 * stepping,
        "speed": speed,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        **eye_movement(rng, yaw, pitch, roll, lag_s=eye_lag_s, scale=eye_scale),
        "pupil": pupil_radius(rng, speed),
        "head_measured": np.ones(n, bool),
        "eye_measured": np.ones(n, bool),
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

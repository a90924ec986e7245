"""Head tilt from an inertial sensor: which way is up, from acceleration and rotation together.

The head's frame is x forward, y left, z up, right-handed. A sensor at rest measures +1 g along world up, so
pitch (up positive) = atan2(ax, hypot(ay, az)) and roll (right ear down positive) = atan2(ay, hypot(ax, az)).
Rotation is counter-clockwise positive about each axis: +gyro z turns the head to its left.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import xarray as xr
from scipy.ndimage import maximum_filter1d

from v1lib.errors import InputError

#: Scale of the sensor of the lab folders, after its recording pipeline (Parker et al. 2022).
ACC_ZERO_V, ACC_G_PER_V, GYRO_DEG_S_PER_V = 2.9, 1.6, 400.0

#: A step this many times the usual one is a gap: a single lost sample doubles the step.
_GAP_STEPS = 1.75


def imu_from_voltage(voltage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn the sensor's voltages into acceleration and rotation.

    Parameters
    ----------
    voltage : ndarray, shape (sample, 6)
        Volts, acceleration x y z first and rotation x y z second; NaN where missing.

    Returns
    -------
    acceleration : ndarray, shape (sample, 3)
        g: (V - 2.9) · 1.6.
    rotation : ndarray, shape (sample, 3)
        Degrees per second: (V - mean) · 400, zero being the mean of the recording, in which the head turns
        as much one way as the other.
    """
    voltage = np.asarray(voltage, float)
    if voltage.ndim != 2 or voltage.shape[1] != 6:
        raise InputError(
            "IMU", "voltage", "six columns, acceleration then rotation", f"shape {voltage.shape}"
        )
    if np.isnan(voltage[:, 3:]).all(axis=0).any():
        raise InputError("IMU", "voltage", "rotation on every axis", "an axis that is missing throughout")
    acceleration = (voltage[:, :3] - ACC_ZERO_V) * ACC_G_PER_V
    return acceleration, (voltage[:, 3:] - np.nanmean(voltage[:, 3:], axis=0)) * GYRO_DEG_S_PER_V


def static_tilt(acceleration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch and roll of a sensor at rest.

    Parameters
    ----------
    acceleration : ndarray, shape (..., 3)
        Head frame (forward, left, up), in any unit: only its direction matters.

    Returns
    -------
    pitch, roll : ndarray, shape (...)
        Degrees, up positive and right ear down positive; NaN where acceleration is NaN or zero.
    """
    acceleration = np.asarray(acceleration, float)
    x, y, z = np.moveaxis(acceleration, -1, 0)
    some = np.where((acceleration != 0).any(axis=-1), 1.0, np.nan)
    pitch = np.rad2deg(np.arctan2(x, np.hypot(y, z))) * some
    roll = np.rad2deg(np.arctan2(y, np.hypot(x, z))) * some
    return pitch, roll


def at_rest(rotation: np.ndarray, *, below_deg_s: float = 20.0, samples: int = 31) -> np.ndarray:
    """Samples around which the sensor does not turn.

    Parameters
    ----------
    rotation : ndarray, shape (sample, 3)
        Degrees per second.
    below_deg_s : float
        The speed of rotation stays below this in all of the samples around.
    samples : int
        Length of that window, odd.

    Returns
    -------
    ndarray of bool, shape (sample,)
        False where the window holds a missing sample or reaches over an end.
    """
    if samples < 1 or samples % 2 == 0:
        raise InputError("at_rest", "samples", "an odd number", str(samples))
    speed = np.linalg.norm(np.asarray(rotation, float), axis=1)
    moving = ~(speed < below_deg_s)  # so that NaN counts as moving
    return ~maximum_filter1d(moving, samples, mode="constant", cval=True)


def head_tilt(
    time: np.ndarray, acceleration: np.ndarray, rotation: np.ndarray, *, time_constant_s: float = 1.0
) -> xr.Dataset:
    """Pitch and roll of a moving head, from a gravity vector carried along by the gyroscope.

    An accelerometer shows gravity plus the head's own acceleration; a gyroscope shows rotation alone, but its
    integral drifts. This complementary filter takes the slow part from the one and the fast part from the
    other. Integrated rotation turns every measured acceleration into a frame that stands still in the world;
    there the accelerations are summed with a weight that falls to both sides as exp(-lag / time constant);
    and the sum is turned back into the head's frame. Weights to both sides leave no delay, and a constant
    error of the gyroscope cancels to first order.

    Parameters
    ----------
    time : ndarray, shape (sample,)
        Seconds, rising. A step of more than 1.75 times the median is a gap.
    acceleration : ndarray, shape (sample, 3)
        g, head frame (forward, left, up).
    rotation : ndarray, shape (sample, 3)
        Degrees per second about the same axes.
    time_constant_s : float
        Seconds. Longer rejects more of the head's own acceleration, shorter more of the gyroscope's error.

    Returns
    -------
    xarray.Dataset
        ``pitch`` and ``roll`` (degrees) on ``time``; NaN where acceleration or rotation is NaN. Averages do
        not reach over gaps or missing samples.

    Raises
    ------
    InputError
        For arrays of unequal length, time stamps that do not rise, no complete sample, or a time constant
        that is not positive.
    """
    time = np.asarray(time, float)
    acceleration, rotation = np.asarray(acceleration, float), np.asarray(rotation, float)
    _check(time, acceleration, rotation, time_constant_s)
    usual = float(np.median(np.diff(time))) if time.size > 1 else 0.0
    complete = np.isfinite(acceleration).all(axis=1) & np.isfinite(rotation).all(axis=1)
    together = complete[1:] & complete[:-1] & (np.diff(time) <= _GAP_STEPS * usual)
    gravity = np.full(acceleration.shape, np.nan)
    borders = [0, *(np.flatnonzero(~together) + 1).tolist(), time.size]
    for start, stop in pairwise(borders):
        if complete[start]:
            part = slice(start, stop)
            gravity[part] = _carried(time[part], acceleration[part], rotation[part], time_constant_s)
    pitch, roll = static_tilt(gravity)
    angle = {"units": "deg"}
    return xr.Dataset(
        {
            "pitch": ("time", pitch, {**angle, "long_name": "head pitch, up positive"}),
            "roll": ("time", roll, {**angle, "long_name": "head roll, right ear down positive"}),
        },
        coords={"time": time},
        attrs={"time_constant_s": time_constant_s},
    )


def _check(time: np.ndarray, acceleration: np.ndarray, rotation: np.ndarray, constant: float) -> None:
    if not (np.isfinite(constant) and constant > 0):
        raise InputError("head_tilt", "time_constant_s", "a positive number of seconds", str(constant))
    for name, values in (("acceleration", acceleration), ("rotation", rotation)):
        if values.shape != (time.size, 3):
            raise InputError("IMU", name, f"shape {(time.size, 3)}, as many as time", str(values.shape))
        if np.isinf(values).any():
            raise InputError("IMU", name, "finite values or NaN", "infinity")
    if not np.isfinite(time).all():
        raise InputError("IMU", "time", "finite values", "NaN or infinity")
    if (np.diff(time) <= 0).any():
        place = int(np.flatnonzero(np.diff(time) <= 0)[0])
        raise InputError("IMU", "time", "rising values", f"{time[place + 1]} s after {time[place]} s")
    if not (np.isfinite(acceleration).all(axis=1) & np.isfinite(rotation).all(axis=1)).any():
        raise InputError("IMU", "samples", "acceleration and rotation together at least once", "none")


def _carried(time: np.ndarray, acceleration: np.ndarray, rotation: np.ndarray, constant: float) -> np.ndarray:
    """Gravity in the head's frame over one gapless part, shape (sample, 3), of any length."""
    step = np.diff(time)
    # The mean of two neighbouring rates is the rotation between them to second order in the step.
    turn = np.deg2rad((rotation[1:] + rotation[:-1]) / 2) * step[:, None]
    attitude = _accumulate(_quaternions(turn))
    steady = _turn(attitude, acceleration)
    keep = np.exp(-step / constant)
    forward = _running_sum(steady, keep)
    backward = _running_sum(steady[::-1], keep[::-1])[::-1]
    return _turn(attitude * [1, -1, -1, -1], forward + backward - steady)


def _quaternions(turn: np.ndarray) -> np.ndarray:
    """Rotation vectors (n, 3), radians, as unit quaternions (n, 4), scalar first."""
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    return np.hstack([np.cos(angle / 2), turn / 2 * np.sinc(angle / (2 * np.pi))])


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of quaternions (..., 4)."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def _turn(attitude: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, 3) turned by unit quaternions (n, 4)."""
    scalar, axis = attitude[:, :1], attitude[:, 1:]
    twice = 2 * np.cross(axis, vectors)
    return vectors + scalar * twice + np.cross(axis, twice)


def _accumulate(steps: np.ndarray) -> np.ndarray:
    """Products of the first 0, 1, 2 … quaternions, (n + 1, 4).

    The products run through blocks of about √n side by side, and then the blocks are joined: 2 √n steps of
    numpy in place of n steps of Python.
    """
    n = len(steps) + 1
    width = int(np.ceil(np.sqrt(n)))
    flat = np.zeros((width * width, 4))
    flat[:, 0] = 1.0
    flat[1:n] = steps
    blocks = flat.reshape(width, width, 4)
    for place in range(1, width):
        blocks[:, place] = _times(blocks[:, place - 1], blocks[:, place])
    for block in range(1, width):
        blocks[block] = _times(blocks[block - 1, -1], blocks[block])
    attitude = blocks.reshape(-1, 4)[:n]
    return attitude / np.linalg.norm(attitude, axis=1, keepdims=True)


def _running_sum(values: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The recursion s[0] = values[0], s[i] = keep[i - 1] · s[i - 1] + values[i], in blocks as above."""
    n = len(values)
    width = int(np.ceil(np.sqrt(n)))
    flat, flat_keep = np.zeros((width * width, 3)), np.zeros(width * width)
    flat[:n], flat_keep[1:n] = values, keep
    sums, decay = flat.reshape(width, width, 3), flat_keep.reshape(width, width)
    for place in range(1, width):
        sums[:, place] += decay[:, place, None] * sums[:, place - 1]
        decay[:, place] *= decay[:, place - 1]
    for block in range(1, width):
        sums[block] += decay[block, :, None] * sums[block - 1, -1]
    return sums.reshape(-1, 3)[:n]

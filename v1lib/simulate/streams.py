"""The simulated mouse's raw streams, written as a lab folder: one file a stream, each on its own clock.

Cameras and ephys count time on different clocks. Both call their own count "seconds since midnight"; with
times counted from the start of the ephys (``t0``), an instant that the camera computer stamps ``t_cam`` is
stamped ``t_ephys`` by the ephys system, where ``t_cam = t_ephys − (offset + drift · t_ephys)``.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from v1lib.session import write_netcdf
from v1lib.simulate.arena import Camera, render
from v1lib.simulate.kinematics import (
    SAMPLE_RATE_HZ,
    body_rates,
    rotation_matrix,
    simulate_motion,
    wander,
)

#: Start of the ephys, s since midnight, on its own clock and the camera computer's alike.
EPHYS_START_S = 10.5 * 3600
#: The cameras start this long after the ephys, s.
CAMERA_LEAD_S = 5.0
WORLD_PERIOD_S = 1 / 30
EYE_RATE_HZ = 60.0
TOP_RATE_HZ = 60.0
EXPOSURE_S = 1 / 120
_MOST_MOMENTS = 6
_GAIN_SD, _GAIN_TIME_S = 0.04, 20.0
#: A head has mass: its place is smooth over this time, s.
_ACCELERATION_SD_S = 0.02
_G_CM_S2 = 981.0
#: What the sensors' 0 to 5 V stand for.
_ACC_RANGE_G, _GYRO_RANGE_DEG_S = ((0 - 2.9) * 1.6, (5 - 2.9) * 1.6), 1000.0

EYE_CAMERA_CENTER_PX = (310.0, 245.0)
_EYE_SCALE_PX = 130.0  # distance from the eye's centre of rotation to the pupil, in pixels of the camera
_EYE_REST_DEG = (27.0, 9.0)  # the eye camera looks from the side and above: theta and (downward) phi at rest
_PX_PER_CM = 20.0


def to_ephys_clock(camera_time: np.ndarray, offset_s: float, drift_ppm: float) -> np.ndarray:
    """The ephys system's stamp of instants that the camera computer stamps `camera_time` (s from t0)."""
    return (camera_time + offset_s) / (1 - 1e-6 * drift_ppm)


def at_times(motion: xr.Dataset, names: tuple[str, ...], time: np.ndarray) -> list[np.ndarray]:
    """Movement variables at `time` (s from the start of the motion)."""
    return [np.interp(time, motion["time"].values, motion[name].values) for name in names]


def measured_at(motion: xr.Dataset, name: str, time: np.ndarray) -> np.ndarray:
    """Whether the movement is measured on both sides of `time`, (n,) bool."""
    return at_times(motion, (name,), time)[0] > 1 - 1e-9


def camera_pose(motion: xr.Dataset, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position (n, 3) in cm and rotation (n, 3, 3) of the head camera at `time` (s)."""
    x, y, z, yaw, pitch, roll = at_times(motion, ("x", "y", "z", "yaw", "pitch", "roll"), time)
    return np.stack([x, y, z], axis=1), rotation_matrix(yaw, pitch, roll)


def write_world(path: Path, rng: np.random.Generator, motion: xr.Dataset, camera: Camera) -> np.ndarray:
    """The head camera: 30 interlaced frames a second, even rows first, odd rows half a period later.

    A field is exposed for a 120th of a second around its time; in that time a fast head smears it. The
    camera's gain drifts, and each pixel has noise of its own.

    Returns
    -------
    (frame, 2) array
        When each frame's two fields were exposed, s from the start of the motion.
    """
    seconds = float(motion["time"][-1])
    start = rng.uniform(0.05, 0.15)
    n_frames = int((seconds - start - WORLD_PERIOD_S) / WORLD_PERIOD_S)
    time = start + np.arange(n_frames) * WORLD_PERIOD_S + rng.normal(0, 1e-4, n_frames)
    fields = time[:, None] + np.array([0.0, WORLD_PERIOD_S / 2])
    gain = np.exp(wander(rng, n_frames, _GAIN_TIME_S, _GAIN_SD, rate_hz=1 / WORLD_PERIOD_S))
    video = np.empty((n_frames, *camera.shape), np.uint8)
    for number in (0, 1):
        rows = slice(number, None, 2)
        for i in range(0, n_frames, 2048):
            picture = _expose(motion, camera, fields[i : i + 2048, number], rows)
            picture *= gain[i : i + 2048, None, None].astype(np.float32)
            picture += 0.01 * rng.standard_normal(picture.shape, dtype=np.float32)
            video[i : i + 2048, rows] = np.rint(255 * picture.clip(0, 1))
    world = xr.Dataset(
        {"WORLD_video": (("frame", "y", "x"), video), "WORLD_times": ("frame", np.zeros(n_frames))},
        {"timestamps": ("frame", EPHYS_START_S + CAMERA_LEAD_S + time)},
        {"interlaced": "even rows first"},
    )
    write_netcdf(world, path)
    return fields


def _expose(motion: xr.Dataset, camera: Camera, time: np.ndarray, rows: slice) -> np.ndarray:
    """Pictures exposed around `time`, (n, rows, columns): means of as many moments as the blur asks for."""
    begin, end = (rotation_matrix(*_head(motion, time + half)) for half in (-EXPOSURE_S / 2, EXPOSURE_S / 2))
    # The angle between the two attitudes, from the trace of the rotation that leads from one to the other.
    turned = np.arccos(np.clip((np.einsum("nij,nij->n", begin, end) - 1) / 2, -1, 1))
    # Moments that lie less than 0.7 px apart make a blur without ghosts.
    moments = np.clip(np.ceil(turned * camera.focal_px / 0.7), 1, _MOST_MOMENTS).astype(int)
    picture = np.empty((time.size, len(range(*rows.indices(camera.shape[0]))), camera.shape[1]), np.float32)
    for n in np.unique(moments):
        chosen = moments == n
        shares = [
            render(camera, *camera_pose(motion, time[chosen] + EXPOSURE_S * ((k + 0.5) / n - 0.5)), rows)
            for k in range(n)
        ]
        picture[chosen] = sum(shares[1:], shares[0]) / np.float32(n)
    return picture


def _head(motion: xr.Dataset, time: np.ndarray) -> list[np.ndarray]:
    return at_times(motion, ("yaw", "pitch", "roll"), time)


def write_eye(path: Path, rng: np.random.Generator, motion: xr.Dataset) -> None:
    """The eye camera: pupil ellipses and eight edge points at 60 Hz.

    In a blink, and where the movement is not measured, a frame has no pupil; a lost frame is not there.
    """
    seconds = float(motion["time"][-1])
    time = np.arange(rng.uniform(0.05, 0.15), seconds - 0.05, 1 / EYE_RATE_HZ)
    time = time[~_bursts(rng, time.size, 0.5 / 60 / EYE_RATE_HZ, 1, 6)]
    theta, phi, pupil = at_times(motion, ("theta", "phi", "pupil"), time)
    side = np.deg2rad(theta + _EYE_REST_DEG[0])
    down = np.deg2rad(-phi + _EYE_REST_DEG[1])  # the file counts phi downward
    dx = _EYE_SCALE_PX * np.sin(side)
    dy = _EYE_SCALE_PX * np.cos(side) * np.sin(down)
    ratio = np.cos(side) * np.cos(down)
    tilt = np.arctan2(dy, dx)  # the ellipse is short along the line from the camera's centre
    turn = 2 * np.pi * np.arange(8) / 8
    short, long = (pupil * ratio)[:, None] * np.cos(turn), pupil[:, None] * np.sin(turn)
    cos, sin = np.cos(tilt)[:, None], np.sin(tilt)[:, None]
    jitter = rng.normal(0, 0.4, (2, time.size))  # px, of the whole pupil
    x0 = EYE_CAMERA_CENTER_PX[0] + dx + jitter[0]
    y0 = EYE_CAMERA_CENTER_PX[1] + dy + jitter[1]
    edge_x = x0[:, None] + short * cos - long * sin + rng.normal(0, 0.4, short.shape)
    edge_y = y0[:, None] + short * sin + long * cos + rng.normal(0, 0.4, short.shape)
    blink = _bursts(rng, time.size, 0.2 / EYE_RATE_HZ, 4, 18) | ~measured_at(motion, "eye_measured", time)
    radius = pupil + rng.normal(0, 0.2, time.size)
    ellipse = np.stack([side, down, radius, radius * ratio, x0, y0, tilt], axis=1)
    ellipse[blink] = np.nan
    likelihood = np.where(blink[:, None], rng.uniform(0, 0.5, short.shape), rng.uniform(0.97, 1, short.shape))
    labels = ["theta", "phi", "longaxis", "shortaxis", "X0", "Y0", "ellipse_phi"]
    points = [f"point{k}_{part}" for k in range(8) for part in ("x", "y", "likelihood")]
    edges = np.stack([edge_x, edge_y, likelihood], axis=2).reshape(time.size, -1)
    center = {f"cam_center_{axis}": value for axis, value in zip("xy", EYE_CAMERA_CENTER_PX, strict=True)}
    eye = xr.Dataset(
        {
            "REYE_ellipse_params": (("frame", "ellipse_params"), ellipse, center),
            "REYE_pts": (("frame", "point_loc"), edges),
        },
        {
            "timestamps": ("frame", EPHYS_START_S + CAMERA_LEAD_S + time),
            "ellipse_params": labels,
            "point_loc": points,
        },
    )
    write_netcdf(eye, path)


def _bursts(rng: np.random.Generator, n: int, chance: float, shortest: int, longest: int) -> np.ndarray:
    """Runs of frames, (n,) bool, that begin at each frame with `chance` and last `shortest` to `longest`."""
    burst = np.zeros(n, bool)
    for first in np.flatnonzero(rng.random(n) < chance):
        burst[first : first + rng.integers(shortest, longest)] = True
    return burst


def write_top(path: Path, rng: np.random.Generator, motion: xr.Dataset) -> None:
    """The camera above the arena: neck position and speed at 60 Hz, with a few tracking errors."""
    seconds = float(motion["time"][-1])
    time = np.arange(rng.uniform(0.05, 0.15), seconds - 0.05, 1 / TOP_RATE_HZ)
    x, y, speed = at_times(motion, ("x", "y", "speed"), time)
    speed = np.abs(speed + rng.normal(0, 0.4, time.size))
    lost = rng.random(time.size) < 0.002
    speed[lost] += rng.uniform(30, 80, int(lost.sum()))
    neck = _PX_PER_CM * np.stack([x, y], axis=1) + rng.normal(0, 1.0, (time.size, 2))
    top = xr.Dataset(
        {
            "TOP1_props": (("frame", "prop"), speed[:, None]),
            "TOP1_pts": (("frame", "point_loc"), neck),
        },
        {
            "timestamps": ("frame", EPHYS_START_S + CAMERA_LEAD_S + time),
            "prop": ["speed"],
            "point_loc": ["neck_x", "neck_y"],
        },
    )
    write_netcdf(top, path)


def write_imu(
    path: Path, rng: np.random.Generator, motion: xr.Dataset, offset_s: float, drift_ppm: float
) -> None:
    """The head's accelerometer (g) and gyroscope (deg/s) at 300 Hz, on the ephys clock.

    Acceleration is gravity and the head's own; both sensors have a constant error and noise, the gyroscope's
    error wanders, and neither reads beyond the range of its voltage. NaN where movement is not measured.
    """
    clock = to_ephys_clock(CAMERA_LEAD_S + motion["time"].values, offset_s, drift_ppm)
    first, last = np.ceil(clock[0] * SAMPLE_RATE_HZ), np.floor(clock[-1] * SAMPLE_RATE_HZ)
    samples = np.arange(first, last) / SAMPLE_RATE_HZ
    when = samples - (offset_s + 1e-6 * drift_ppm * samples) - CAMERA_LEAD_S
    yaw, pitch, roll = at_times(motion, ("yaw", "pitch", "roll"), when)
    place = gaussian_filter1d(camera_pose(motion, when)[0], _ACCELERATION_SD_S * SAMPLE_RATE_HZ, axis=0)
    own = np.gradient(np.gradient(place, axis=0), axis=0) * SAMPLE_RATE_HZ**2 / _G_CM_S2
    # What holds the sensor up against gravity accelerates it upward by one g.
    force = own + np.array([0.0, 0.0, 1.0])
    acc = np.einsum("nji,nj->ni", rotation_matrix(yaw, pitch, roll), force)
    acc += rng.normal(0, 0.005, 3) + rng.normal(0, 0.02, acc.shape)
    gyro = body_rates(yaw, pitch, roll, SAMPLE_RATE_HZ) + rng.normal(0, 1.5, acc.shape)
    gyro += np.stack([rng.normal(0, 0.5) + wander(rng, samples.size, 300.0, 0.2) for _ in range(3)], axis=1)
    acc, gyro = acc.clip(*_ACC_RANGE_G), gyro.clip(-_GYRO_RANGE_DEG_S, _GYRO_RANGE_DEG_S)
    unseen = ~measured_at(motion, "head_measured", when)
    acc[unseen], gyro[unseen] = np.nan, np.nan
    raw = np.concatenate([acc / 1.6 + 2.9, gyro / 400 + 2.5], axis=1)  # V
    x, y, z = acc.T
    tilt = np.rad2deg(np.stack([np.arctan2(y, np.hypot(x, z)), np.arctan2(x, np.hypot(y, z))], axis=1))
    axes = [f"{sensor}_{axis}" for sensor in ("acc", "gyro") for axis in "xyz"]
    channels = [*(f"{name}_raw" for name in axes), *axes, "roll", "pitch"]
    imu = xr.Dataset(
        {"IMU_data": (("sample", "channel"), np.concatenate([raw, acc, gyro, tilt], axis=1))},
        {"sample": EPHYS_START_S + samples, "channel": channels},
    )
    write_netcdf(imu, path)


def eye_and_gyro(
    seed: int,
    *,
    minutes: float,
    clock_offset_s: float,
    clock_drift_ppm: float,
    missing: float = 0.05,
    eye_lag_s: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two streams that a clock is estimated from, without the rest of a recording.

    Parameters
    ----------
    seed : int
    minutes : float
    clock_offset_s, clock_drift_ppm : float
        As for :func:`v1lib.simulate.simulate_recording`.
    missing : float
        Share of eye samples that are missing, each by itself.
    eye_lag_s : float
        How long the eye lags the head, s.

    Returns
    -------
    eye_time, eye_theta, gyro_time, gyro_z : arrays
        As :func:`v1lib.align.estimate_clock` takes them; the eye has 0.3 deg of tracking noise.
    """
    rng = np.random.default_rng(seed)
    motion = simulate_motion(rng, 60 * minutes, eye_lag_s=eye_lag_s)
    time = CAMERA_LEAD_S + motion["time"].values
    yaw, pitch, roll = (motion[name].values for name in ("yaw", "pitch", "roll"))
    rates = body_rates(yaw, pitch, roll, SAMPLE_RATE_HZ)
    gyro = rates[:, 2] + rng.normal(0, 1.5, time.size) + rng.normal(0, 0.5)
    eye_time = np.arange(time[0] + 0.1, time[-1] - 0.1, 1 / EYE_RATE_HZ)
    theta = np.interp(eye_time, time, motion["theta"].values) + rng.normal(0, 0.3, eye_time.size)
    theta[rng.random(theta.size) < missing] = np.nan
    return eye_time, theta, to_ephys_clock(time, clock_offset_s, clock_drift_ppm), gyro


def write_units(
    path: Path,
    rng: np.random.Generator,
    trains: dict[str, list[np.ndarray]],
    offset_s: float,
    drift_ppm: float,
) -> None:
    """The sorted units, one row each, on the ephys clock.

    Parameters
    ----------
    trains : dict of lists of arrays
        By the sorter's label (``good``, ``mua``, ``noise``): spike times, s from the start of the motion on
        the camera clock. Unit k of the truth is the k-th good unit in order of ``ch``.
    """
    groups = [group for group, units in trains.items() for _ in units]
    clocks = [
        to_ephys_clock(CAMERA_LEAD_S + times, offset_s, drift_ppm)
        for units in trains.values()
        for times in units
    ]
    odd, even = count(1, 2), count(0, 2)  # good units on odd channels, the others between them
    channels = [next(odd if group == "good" else even) for group in groups]
    depth = np.linspace(-1, 1, 61)
    spike = -np.exp(-((depth / 0.15) ** 2)) + 0.4 * np.exp(-(((depth - 0.4) / 0.25) ** 2))
    shapes = {"good": spike, "mua": 0.4 * spike, "noise": 0.2 * depth}  # hum is slow beside a spike
    table = pd.DataFrame(
        {
            "ch": channels,
            "group": groups,
            "n_spikes": [clock.size for clock in clocks],
            "t0": EPHYS_START_S,
            "spikeT": [clock.tolist() for clock in clocks],
            "waveform": [shapes[group].round(6).tolist() for group in groups],
        }
    )
    # A sorter numbers its clusters in no order of depth.
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    table.insert(0, "cluster_id", np.arange(len(table)))
    beside = path.with_name(f".{path.name}")
    table.to_json(beside, double_precision=9)
    beside.replace(path)

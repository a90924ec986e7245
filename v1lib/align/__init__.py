"""From raw streams, each on its own clock, to a session on one clock in bins."""

from __future__ import annotations

from importlib.metadata import version
from numbers import Real

import numpy as np
import xarray as xr

from v1lib.align.bins import bin_edges, count_spikes, mean_in_bins
from v1lib.align.camera import LEAST_COVERAGE, field_period, mean_frames
from v1lib.align.clock_fit import ClockFit, ClockJump
from v1lib.align.clocks import clock_residuals, estimate_clock, windowed_lags
from v1lib.align.eye import EyeCamera, calibrate_camera, eye_angles
from v1lib.align.head import head_tilt
from v1lib.errors import InputError
from v1lib.fingerprint import sha256
from v1lib.recording import Recording
from v1lib.session import BEHAVIOR_UNITS, SCHEMA_VERSION, validate_session

__all__ = [
    "ClockFit",
    "ClockJump",
    "align",
    "clock_residuals",
    "estimate_clock",
    "eye_and_head",
    "eye_of",
    "windowed_lags",
]

#: No mouse in the arena runs faster; what is faster is a tracking error of the camera above, cm/s.
FASTEST_SPEED = 25.0
#: Stamps skip at a jump of the clock if they do within this of its place, s.
_BESIDE_JUMP_S = 0.2
#: Streams that run together through this part of the longest of them, or less, are refused.
LEAST_TOGETHER = 0.5


def align(
    recording: Recording,
    *,
    bin_width_s: float = 0.048,
    frame_shape: tuple[int, int] | None = None,
    clock: ClockFit | None = None,
    eye_lag_s: float = 0.0,
) -> xr.Dataset:
    """Bring a recording onto one clock and into bins.

    Parameters
    ----------
    recording : Recording
    bin_width_s : float
        Width of a bin, s; at least one exposure of the head camera.
    frame_shape : (int, int), optional
        Rows and columns of the session's frames; the camera's own by default.
    clock : ClockFit, optional
        The clock of the ephys against the cameras'; estimated from eye and gyroscope by default.
    eye_lag_s : float
        How long the eye's movement lags the head's, s, for that estimate; not to be given with `clock`.

    Returns
    -------
    xarray.Dataset
        A session (:mod:`v1lib.session`). Bins begin where the last stream begins, on the camera clock;
        attribute ``start_s`` tells where that is, from the start of the ephys.

    Raises
    ------
    InputError
        One sentence naming file, variable, what was expected and what was found.

    Notes
    -----
    Samples of the inertial sensor at full scale or stuck count as not measured (attribute ``imu_masked``,
    their share), frames of one grey level all over as no pictures (``constant_frames``, their number). The
    longest stream ran ``outside_s`` longer than all streams together.

    A spike or a sample on an edge belongs to the later bin. Behaviour is the mean of the samples measured
    in a bin, NaN where none was. Speeds above 25 cm/s are tracking errors and count as not measured; their
    share is the attribute ``speed_masked``. A bin that the head camera covers by less than half is left out
    and begins a new stretch; their number is the attribute ``bins_without_frames``. So is a bin that overlaps
    the place of a jump of the camera's clock (attributes ``clock_jumps`` and ``bins_at_clock_jumps``).
    """
    if not isinstance(recording, Recording):
        expected = "a Recording (v1lib.open_recording opens a folder)"
        raise InputError("align", "recording", expected, type(recording).__name__)
    if clock is not None and not isinstance(clock, ClockFit):
        raise InputError("align", "clock", "a ClockFit", type(clock).__name__)
    name = recording.path.name
    period = field_period(recording.world)
    is_number = isinstance(bin_width_s, Real) and not isinstance(bin_width_s, bool)
    if not is_number or not period <= bin_width_s < np.inf:
        found = f"{bin_width_s} s"
        raise InputError(
            name, "bin_width_s", f"at least one exposure of the head camera, {period:.4f} s", found
        )
    bin_width_s = float(bin_width_s)
    eye = eye_of(recording)
    imu = recording.imu
    if clock is None:
        gyro = imu["gyro"].sel(axis="up").values
        clock = estimate_clock(
            eye["time"].values, eye["theta"].values, imu["time"].values, gyro, eye_lag_s=eye_lag_s
        )
    elif eye_lag_s != 0.0:
        raise InputError("align", "eye_lag_s", "a lag of the eye or a clock, not both", f"{eye_lag_s} s")
    _refuse_jump_of_the_eye(recording, clock)
    imu_time = clock.to_camera(imu["time"].values)
    start, stop, outside = _overlap(recording, imu_time)
    edges = bin_edges(start, stop, bin_width_s)
    if edges.size < 2:
        raise InputError("align", "bin_width_s", "at least one bin where all streams run", f"{bin_width_s} s")
    tilt = head_tilt(imu["time"].values, imu["acc"].values, imu["gyro"].values)
    frames, coverage, n_constant = mean_frames(recording.world, edges, frame_shape)
    speed = recording.top["speed"].values
    plausible = np.where(speed <= FASTEST_SPEED, speed, np.nan)
    if np.isnan(plausible).all():
        expected = f"some speeds up to {FASTEST_SPEED} cm/s"
        raise InputError(recording.path, "TOP1_props, prop speed", expected, f"{np.nanmin(speed)} and more")
    samples = {
        "speed": (recording.top["time"].values, plausible),
        "pitch": (imu_time, tilt["pitch"].values),
        "roll": (imu_time, tilt["roll"].values),
        "phi": (eye["time"].values, eye["phi"].values),
        "theta": (eye["time"].values, eye["theta"].values),
        "pupil": (eye["time"].values, eye["pupil"].values),
    }
    behavior = np.stack([mean_in_bins(*samples[name], edges) for name in BEHAVIOR_UNITS], axis=1)
    trains = [clock.to_camera(recording.spikes[unit].t) for unit in recording.spikes.keys()]
    counts = np.stack([count_spikes(train, edges) for train in trains], axis=1)

    _check_counts(recording, counts, edges)

    filmed = coverage >= LEAST_COVERAGE
    jumped = np.zeros(filmed.size, bool)
    for jump in clock.jumps:
        jumped |= (edges[:-1] < jump.before_s) & (edges[1:] > jump.after_s)
    kept = filmed & ~jumped
    if not kept.any():
        raise InputError(name, "WORLD_video", "pictures in at least one bin", "none in any")
    number = np.cumsum(np.diff(kept.astype(int), prepend=0) == 1) - 1
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), frames if kept.all() else frames[kept]),
            "behavior": (("time", "variable"), behavior[kept].astype(np.float32)),
            "activity": (("time", "unit"), counts[kept].astype(np.uint16), {"kind": "spike_count"}),
            "stretch": ("time", number[kept].astype(np.int32)),
        },
        {
            "time": (0.5 * (edges[1:] + edges[:-1]) - edges[0])[kept],
            "variable": list(BEHAVIOR_UNITS),
            "unit": np.arange(counts.shape[1]),
            "channel": ("unit", recording.spikes["ch"].to_numpy()),
        },
        {
            "schema_version": SCHEMA_VERSION,
            "animal": name,
            "session": name,
            "source": recording.source,
            "bin_width_s": bin_width_s,
            "v1lib_version": version("v1lib"),
            "start_s": float(edges[0]),
            "clock_offset_s": clock.offset_s,
            "clock_offset_se_s": clock.offset_se_s,
            "clock_drift_ppm": clock.drift_ppm,
            "clock_drift_se_ppm": clock.drift_se_ppm,
            "clock_quality": clock.quality,
            "clock_eye_lag_s": clock.eye_lag_s,
            "clock_jumps": [
                f"{j.size_s:+.6f} s (se {j.size_se_s:.6f} s) between {j.after_s:.4f} and {j.before_s:.4f} s"
                for j in clock.jumps
            ]
            or "none",
            "speed_masked": float((speed > FASTEST_SPEED).mean()),
            "bins_without_frames": int((~filmed).sum()),
            "bins_at_clock_jumps": int(jumped.sum()),
            "pupil_unit": "px",
            "imu_masked": recording.imu.attrs["masked"],
            "constant_frames": n_constant,
            "outside_s": outside,
            "sha256": [f"{file.name} {sha256(file)}" for file in recording.files],
        },
    )
    return validate_session(session, source=recording.path)


def _check_counts(recording: Recording, counts: np.ndarray, edges: np.ndarray) -> None:
    """Refuse a unit that never fires while all streams run, or more often than a count can hold."""
    channels = recording.spikes["ch"].to_numpy()
    for channel, total, most in zip(channels, counts.sum(axis=0), counts.max(axis=0), strict=True):
        name = f"spikeT of channel {channel}"
        if total == 0:
            expected = f"spikes between {edges[0]:.1f} and {edges[-1]:.1f} s, where all streams run"
            raise InputError(recording.path, name, expected, "none there (is t0 right?)")
        if most > np.iinfo(np.uint16).max:
            raise InputError(recording.path, name, "at most 65,535 spikes in a bin", str(most))


def eye_and_head(recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eye time, theta, gyroscope time and yaw rate of a recording, as :func:`estimate_clock` takes them."""
    eye, imu = eye_of(recording), recording.imu
    return eye["time"].values, eye["theta"].values, imu["time"].values, imu["gyro"].sel(axis="up").values


def eye_of(recording: Recording) -> xr.Dataset:
    """``theta``, ``phi`` (deg) and ``pupil`` (radius, px) of a recording's eye frames over ``time`` (s)."""
    ellipses = recording.eye
    center = (ellipses.attrs["center_x"], ellipses.attrs["center_y"])
    camera: EyeCamera = calibrate_camera(ellipses, center=center)
    angles = eye_angles(ellipses, camera).rename(frame="time")
    return angles.assign(pupil=("time", ellipses["longaxis"].values)).assign_coords(time=ellipses["time"])


def _refuse_jump_of_the_eye(recording: Recording, clock: ClockFit) -> None:
    """Refuse a jump that the eye's stamps show and the head camera's, of the same clock, do not."""
    for jump in clock.jumps:
        size = abs(jump.size_s)
        skips = {
            camera: _skip(stream["time"].values, jump)
            for camera, stream in (
                ("eye", recording.eye),
                ("head camera", recording.world),
                ("camera above", recording.top),
            )
        }
        half_period = 0.5 * float(np.median(np.diff(recording.world["time"].values)))
        still = [
            camera
            for camera in ("head camera", "camera above")
            if skips[camera] < min(half_period, 0.5 * size)
        ]
        if abs(skips["eye"] - size) <= 0.4 * size and "head camera" in still:
            only = "only " if len(still) == 2 else ""
            found = (
                f"a skip by {jump.size_s:+.3f} s between {jump.after_s:.3f} and {jump.before_s:.3f} s, where "
                f"those of the {' and the '.join(still)} do not skip, so that {only}the eye's stamps are off"
            )
            expected = "stamps that skip where those of the other cameras do"
            raise InputError(recording.eye.attrs["file"], "timestamps", expected, found)


def _skip(time: np.ndarray, jump: ClockJump) -> float:
    """By how much stamps about a jump skip in its direction at most, s; NaN where there are none."""
    near = (time[1:] > jump.after_s - _BESIDE_JUMP_S) & (time[:-1] < jump.before_s + _BESIDE_JUMP_S)
    steps = np.diff(time)
    return float(np.max(np.sign(jump.size_s) * (steps[near] - np.median(steps)))) if near.any() else np.nan


def _common(spans: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """Latest beginning and earliest end."""
    return max(first for first, _ in spans.values()), min(last for _, last in spans.values())


def _overlap(recording: Recording, imu_time: np.ndarray) -> tuple[float, float, float]:
    """Where all streams run, from and to (s, camera clock), and how long one runs outside of that, s.

    Refused where they run together through half of the longest stream or less.
    """
    half, fields = field_period(recording.world) / 2, 2 if recording.world.attrs["interlaced"] else 1
    world = recording.world["time"].values
    spans = {
        "WORLD_video": (world[0] - half, world[-1] + half * (2 * fields - 1)),
        "REYE_ellipse_params": (recording.eye["time"].values[0], recording.eye["time"].values[-1]),
        "TOP1_props": (recording.top["time"].values[0], recording.top["time"].values[-1]),
        "IMU_data": (imu_time[0], imu_time[-1]),
    }
    start, stop = _common(spans)
    longest = max(last - first for first, last in spans.values())
    if stop - start <= LEAST_TOGETHER * longest:
        # The one at fault is the one without which the others run together longest.
        without = {name: _common({k: v for k, v in spans.items() if k != name}) for name in spans}
        name = max(spans, key=lambda name: without[name][1] - without[name][0])
        first, last = spans[name]
        expected = f"a stream that runs through most of {longest:.1f} s"
        others = "the others together {:.1f} to {:.1f} s".format(*without[name])
        raise InputError(recording.path, name, expected, f"{first:.1f} to {last:.1f} s, {others}")
    return start, stop, float(longest - (stop - start))

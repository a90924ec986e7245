"""What is true of a simulated recording, and how it looks on the bins of a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_real
from v1lib.session import BEHAVIOR_UNITS, read_netcdf
from v1lib.simulate.arena import Camera
from v1lib.simulate.kinematics import rotation_matrix
from v1lib.simulate.neurons import STEP_S
from v1lib.simulate.streams import at_times, measured_at


def step_centers(motion: xr.Dataset) -> np.ndarray:
    """Centres of the cortex's steps, s from the start of the motion."""
    return (np.arange(int(float(motion["time"][-1]) / STEP_S)) + 0.5) * STEP_S


def head_tilt(pitch: np.ndarray, roll: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elevation of the nose and of the left ear, deg: what an accelerometer at rest reads."""
    return pitch, np.rad2deg(np.arcsin(np.cos(np.deg2rad(pitch)) * np.sin(np.deg2rad(roll))))


def behavior_at_steps(motion: xr.Dataset) -> dict[str, np.ndarray]:
    """The session's behaviour variables, and ``yaw`` of the head, as they truly were, in each step."""
    names = (*BEHAVIOR_UNITS, "yaw")
    behavior = dict(zip(names, at_times(motion, names, step_centers(motion)), strict=True))
    behavior["pitch"], behavior["roll"] = head_tilt(behavior["pitch"], behavior["roll"])
    return behavior


def behavior_correlation(behavior: dict[str, np.ndarray]) -> np.ndarray:
    """Pearson's r between a session's behaviour variables, (variable, variable); NaN if one is constant."""
    with np.errstate(invalid="ignore"):
        return np.corrcoef([behavior[name] for name in BEHAVIOR_UNITS])


def retinal_motion(
    theta: np.ndarray, phi: np.ndarray, torsion: np.ndarray, focal_px: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the head camera's picture must be moved to be the retinal image.

    A point p of the camera's picture (px, x right, y down, from the centre) lies at R(a) p + t of the
    retinal image, with R(a) = [[cos a, −sin a], [sin a, cos a]], to first order around the centre.

    Parameters
    ----------
    theta, phi, torsion : (n,) arrays
        Eye in head, deg.
    focal_px : float
        Focal length of the camera, px.

    Returns
    -------
    t_x, t_y : (n,) arrays, px
    a : (n,) array, deg
    """
    to_eye = rotation_matrix(theta, phi, torsion).transpose(0, 2, 1)
    ahead = to_eye[:, :, 0]
    right = to_eye @ np.array([1.0, -1e-4, 0.0])
    x, y = -focal_px * ahead[:, 1] / ahead[:, 0], -focal_px * ahead[:, 2] / ahead[:, 0]
    dx = -focal_px * right[:, 1] / right[:, 0] - x
    dy = -focal_px * right[:, 2] / right[:, 0] - y
    return x, y, np.rad2deg(np.arctan2(dy, dx))


def true_movement(motion: xr.Dataset, camera: Camera) -> xr.Dataset:
    """Truth of movement and gaze over ``step``; see :func:`load_truth` for the names."""
    time = step_centers(motion)
    theta, phi, torsion, x, y, yaw = at_times(motion, ("theta", "phi", "torsion", "x", "y", "yaw"), time)
    shift_x, shift_y, rotation = retinal_motion(theta, phi, torsion, camera.focal_px)
    true = behavior_at_steps(motion) | {
        "torsion": torsion,
        "x_position": x,
        "y_position": y,
        "yaw": yaw,
        "retinal_shift_x": shift_x,
        "retinal_shift_y": shift_y,
        "retinal_shift_x_deg": np.rad2deg(np.arctan(shift_x / camera.focal_px)),
        "retinal_shift_y_deg": np.rad2deg(np.arctan(shift_y / camera.focal_px)),
        "retinal_rotation": rotation,
    }
    for name in ("head_measured", "eye_measured"):
        true[name] = measured_at(motion, name, time).astype(np.int8)
    return xr.Dataset({name: ("step", values) for name, values in true.items()}, {"step": time})


def load_truth(path: str | Path) -> xr.Dataset:
    """What is true of a simulated recording.

    Parameters
    ----------
    path : str or Path
        The recording's folder.

    Returns
    -------
    xarray.Dataset
        Over ``step`` (s from the start of the motion, camera clock; 60 a second): ``rate`` (step, unit) in
        Hz, which the spikes are drawn from; ``excitability`` (step, unit), the slow drift that is a factor
        of it and that nothing recorded tells of; ``speed``, ``pitch``, ``roll``, ``phi``, ``theta``,
        ``pupil`` as in a session, ``torsion``, ``yaw`` (deg), ``x_position``, ``y_position`` (cm);
        ``retinal_shift_x``, ``retinal_shift_y`` (px of the head camera; in deg as ``retinal_shift_x_deg``,
        ``retinal_shift_y_deg``) and ``retinal_rotation`` (deg), see :func:`retinal_motion`;
        ``head_measured``, ``eye_measured`` (1 or 0): whether the instruments saw the movement. Over ``frame``
        and ``field``: ``field_time``, the middle of each exposure of the head camera in s from the start of
        the motion.

        Over ``unit``: ``unit_class``, a driver of :data:`v1lib.simulate.mixture.DRIVERS` or ``behavior``;
        ``formula``; ``base_rate`` (Hz) and ``share``, see :mod:`v1lib.simulate.drive`; ``depends_on`` (unit,
        variable): whether the rate depends on that behaviour variable, by gain, offset or as an eye
        position (what the variable does to the retinal image is not counted); ``gain_weight`` and
        ``offset_weight`` (unit, variable), signed, per spread of the variable
        (:data:`v1lib.simulate.neurons.BEHAVIOR_SCALE`), 0 where none is planted. Fields:
        ``receptive_field`` (unit, y, x) of unit norm, ``quadrature_field`` (complex and direction units),
        ``temporal_kernel`` (unit, lag), lag in s, ``quadrature_kernel`` (direction units), 0 where a class
        has none. Parameters, NaN where a class has none: ``azimuth`` (right positive), ``elevation`` (up
        positive), ``width``, ``length``, ``orientation`` (of the bars), ``phase`` (deg),
        ``spatial_frequency`` (cycles/deg); ``preferred_direction`` (deg, counter-clockwise from rightward
        motion on the retina), ``temporal_frequency`` (Hz); ``pool_width`` (deg, standard deviation),
        ``semisaturation`` (brightness) of normalised units; ``preferred_heading`` (deg of yaw),
        ``heading_concentration``; ``preferred_theta``, ``preferred_phi``, ``position_width`` (deg).

        ``oracle_r`` (unit): raw r of the true rate with the recorded spikes in bins of 48 ms over the whole
        recording; ``ceiling_r``: the mean of the same over spikes drawn anew. ``behavior_correlation``
        (variable, variable_2): of the true behaviour over steps. Attributes: the clock and ``start_s``, the
        camera-clock time of step 0's start from t0 of the ephys.

    Raises
    ------
    InputError
        Where the folder has no truth: it is a real recording.
    """
    path = Path(path)
    files = sorted(path.glob("*_truth.nc"))
    if len(files) != 1:
        raise InputError(path, "*_truth.nc", "the truth of a simulated recording", f"{len(files)} such files")
    return read_netcdf(files[0])


def mean_between(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Means of what is constant in each step between times in steps, (span, ...) from (step, ...).

    The integral of a piecewise constant function is linear between its steps' edges, so interpolating the
    running sum gives the exact mean. Outside the steps the function is 0.
    """
    columns = values.reshape(len(values), -1).astype(float)
    total = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])

    def until(edge: np.ndarray) -> np.ndarray:
        edge = np.clip(edge, 0, len(values))
        step = np.minimum(edge.astype(int), len(values) - 1)
        return total[step] + (edge - step)[:, None] * columns[step]

    mean = (until(last) - until(first)) / (last - first)[:, None]
    return mean.reshape(len(first), *values.shape[1:])


def bin_truth(truth: xr.Dataset, session: xr.Dataset) -> xr.Dataset:
    """The truth on the bins of a session that was aligned from the same recording.

    Parameters
    ----------
    truth : xarray.Dataset
        From :func:`load_truth`.
    session : xarray.Dataset
        Its attribute ``start_s`` places its time on the camera clock.

    Returns
    -------
    xarray.Dataset
        The variables over ``step`` now over ``time``, averaged by overlap; ``rate`` is the expected spike
        count of the bin. What is over ``unit`` alone is passed on.

    Raises
    ------
    InputError
        If the session is of other units or of a time beyond the truth's, or does not say when it was.
    """
    for where, attrs in (("session", session.attrs), ("truth", truth.attrs)):
        check_real(where, "attribute start_s", attrs.get("start_s"), -1e9, 1e9)
    check_real("session", "attribute bin_width_s", session.attrs.get("bin_width_s"), 1e-4, 3600)
    if session["unit"].values.tolist() != truth["unit"].values.tolist():
        found = f"{session.sizes['unit']} units in another order or number"
        raise InputError("session", "unit", f"the truth's {truth.sizes['unit']} units", found)
    width = float(session.attrs["bin_width_s"])
    first_edge = session["time"].values - width / 2 + session.attrs["start_s"] - truth.attrs["start_s"]
    in_steps = np.stack([first_edge, first_edge + width]) / STEP_S
    # Beyond the steps, but for rounding, nothing is known: such a session is of another recording.
    if not (in_steps.min() >= -1e-6 and in_steps.max() <= truth.sizes["step"] + 1e-6):
        span = f"{first_edge.min():.3f} to {first_edge.max() + width:.3f} s"
        raise InputError(
            "session", "time", f"bins within {truth.sizes['step'] * STEP_S:.3f} s of truth", span
        )
    binned = xr.Dataset(attrs=truth.attrs)
    for name, variable in truth.data_vars.items():
        if "step" not in variable.dims:
            binned[name] = variable
            continue
        mean = mean_between(variable.values, *in_steps)
        binned[name] = (("time", *variable.dims[1:]), mean)
    binned["rate"] = binned["rate"] * width
    return binned.assign_coords(time=session["time"], unit=session["unit"])

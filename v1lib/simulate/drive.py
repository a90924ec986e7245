"""From what the retina sees to what a unit's fields say of it, and from there to a rate.

The rate of a unit is ::

    rate = base · excitability · ((1 − share) · D · G + share · O)

with D ≥ 0 what drives the unit, and G (gain) and O (offset) exponentials of weighted behaviour. D · G and O
each have mean 1 over the recording, so ``base`` is the mean rate, but for the slow drift of excitability, and
``share`` the part of it that does not depend on the driver. No rate is above 200 Hz, which lowers the mean of
a unit that would have passed it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from v1lib.errors import InputError
from v1lib.simulate.arena import Camera, render
from v1lib.simulate.kinematics import rotation_matrix
from v1lib.simulate.neurons import BEHAVIOR_SCALE, STEP_S, VISUAL, retinal_grid
from v1lib.simulate.streams import at_times, camera_pose
from v1lib.simulate.truth import step_centers

EXCITABILITY_SD = 0.15
EXCITABILITY_S = 300.0
HIGHEST_RATE_HZ = 200.0
_MID_GREY = 0.5

Drive = dict[str, np.ndarray]


def see(pictures: np.ndarray, units: xr.Dataset, retina: Camera) -> Drive:
    """What each unit's fields make of pictures on the retina.

    Parameters
    ----------
    pictures : (step, y, x) array
        Brightness, 0 to 1.
    units : xarray.Dataset
        From :func:`v1lib.simulate.neurons.plant_units`.
    retina : Camera
        The grid of pictures and fields.

    Returns
    -------
    dict of (step, unit) arrays
        ``even`` and ``odd``: the picture through the receptive field and through the quadrature field;
        ``contrast``: r.m.s. contrast, in brightness, under a Gaussian window around a normalised unit's
        field. 0 where a unit has no such field or window.
    """
    # In double precision, because the order in which products are summed depends on the number of threads.
    flat = pictures.reshape(len(pictures), -1).astype(float) - _MID_GREY
    even, odd = (_through(flat, units[name].values) for name in ("receptive_field", "quadrature_field"))
    window = _pool_windows(units, retina)
    mean, square = _through(flat, window), _through(flat**2, window)
    return {"even": even, "odd": odd, "contrast": np.sqrt(np.maximum(square - mean**2, 0.0))}


def _through(flat: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Pictures (step, pixel) through fields (unit, y, x); only fields that are not empty cost anything."""
    out = np.zeros((len(flat), len(fields)))
    there = fields.any(axis=(1, 2))
    if there.any():
        out[:, there] = flat @ fields[there].reshape(int(there.sum()), -1).T.astype(float)
    return out


def _pool_windows(units: xr.Dataset, retina: Camera) -> np.ndarray:
    """Gaussian windows (unit, y, x) that sum to 1, empty for units that pool no contrast."""
    azimuth, elevation = retinal_grid(retina)
    x = azimuth - units["azimuth"].values[:, None, None]
    y = elevation - units["elevation"].values[:, None, None]
    window = np.exp(-0.5 * (x**2 + y**2) / units["pool_width"].values[:, None, None] ** 2)
    pools = (units["unit_class"].values == "normalized")[:, None, None]
    return np.where(pools, window / window.sum((1, 2), keepdims=True), 0.0)


def retinal_drive(motion: xr.Dataset, units: xr.Dataset, retina: Camera) -> Drive:
    """What each unit's fields make of the true retinal image of each step, see :func:`see`.

    The retina is a camera that turns with the eye; its resting axis is that of the head camera.
    """
    time, parts = step_centers(motion), []
    for i in range(0, time.size, 2048):
        part = time[i : i + 2048]
        position, head = camera_pose(motion, part)
        eye = rotation_matrix(*at_times(motion, ("theta", "phi", "torsion"), part))
        parts.append(see(render(retina, position, head @ eye), units, retina))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def draw_excitability(rng: np.random.Generator, n_steps: int, n_units: int) -> np.ndarray:
    """Slow drift of each unit's rate, (step, unit) float32: log-normal, with an expected value of 1.

    Its logarithm is an Ornstein-Uhlenbeck process of standard deviation ``EXCITABILITY_SD`` that forgets
    itself over ``EXCITABILITY_S`` seconds.
    """
    keep = np.exp(-STEP_S / EXCITABILITY_S)
    noise = rng.standard_normal((n_steps, n_units)) * np.sqrt(1 - keep**2)
    start = keep * rng.standard_normal((1, n_units))
    log = EXCITABILITY_SD * lfilter([1.0], [1.0, -keep], noise, axis=0, zi=start)[0]
    return np.exp(log - EXCITABILITY_SD**2 / 2).astype(np.float32)


def expected_rate(
    units: xr.Dataset, drive: Drive, behavior: dict[str, np.ndarray], excitability: np.ndarray
) -> np.ndarray:
    """Rate of each unit in each step.

    Parameters
    ----------
    units : xarray.Dataset
        From :func:`v1lib.simulate.neurons.plant_units`.
    drive : dict of (step, unit) arrays
        From :func:`retinal_drive` or :func:`see`.
    behavior : dict of (step,) arrays
        The variables of :data:`v1lib.simulate.neurons.BEHAVIOR_SCALE` in their units, and ``yaw`` of the
        head, deg.
    excitability : (step, unit) array
        From :func:`draw_excitability`.

    Returns
    -------
    (step, unit) float32 array, Hz.

    Raises
    ------
    InputError
        If what drives a unit never changes, or is never there, in the whole recording.
    """
    state = np.stack([(behavior[name] - mean) / sd for name, (mean, sd) in BEHAVIOR_SCALE.items()], axis=1)
    rate = np.empty(excitability.shape, np.float32)
    for k in range(units.sizes["unit"]):
        unit = units.isel(unit=k)
        evoked = _driver(unit, {name: values[:, k] for name, values in drive.items()}, behavior)
        evoked = _mean_1(unit, evoked * np.exp(state @ unit["gain_weight"].values))
        offset = _mean_1(unit, np.exp(state @ unit["offset_weight"].values))
        share = float(unit["share"])
        relative = (1 - share) * evoked + share * offset
        full = np.minimum(float(unit["base_rate"]) * excitability[:, k] * relative, HIGHEST_RATE_HZ)
        # Rounded to 18 bits, far below what matters and far above rounding errors, so that the same seed
        # draws the same spikes on any number of threads.
        part, power = np.frexp(full)
        rate[:, k] = np.ldexp(np.round(part * 2**18), power - 18)
    return rate


def _driver(unit: xr.Dataset, drive: Drive, behavior: dict[str, np.ndarray]) -> np.ndarray:
    """What drives one unit, (step,), 0 or more."""
    kind = str(unit["unit_class"].values)
    if kind in VISUAL:
        return _visual(kind, unit, drive)
    if kind == "heading":
        off = np.deg2rad(behavior["yaw"] - float(unit["preferred_heading"]))
        return np.exp(float(unit["heading_concentration"]) * (np.cos(off) - 1))
    if kind == "eye_position":
        theta = behavior["theta"] - float(unit["preferred_theta"])
        phi = behavior["phi"] - float(unit["preferred_phi"])
        return np.exp(-0.5 * (theta**2 + phi**2) / float(unit["position_width"]) ** 2)
    return np.ones(behavior["theta"].size)


def _visual(kind: str, unit: xr.Dataset, drive: Drive) -> np.ndarray:
    """The nonlinear answer of one unit's field or fields, (step,)."""
    even, odd = drive["even"], drive["odd"]
    kernel, quadrature = unit["temporal_kernel"].values, unit["quadrature_kernel"].values
    if kind == "direction":
        # Motion energy: a pair of fields in space times a pair of kernels in time (Adelson & Bergen 1985).
        seen = _filtered(kernel + 1j * quadrature, even + 1j * odd)
    elif kind == "complex":
        seen = _filtered(kernel, even + 1j * odd)
    elif kind == "normalized":
        seen = _filtered(kernel, even / (float(unit["semisaturation"]) + drive["contrast"]))
    else:
        seen = _filtered(kernel, even)
    # The root of the energy has about the spread of tails that a linear drive has.
    linear = np.abs(seen) if kind in ("complex", "direction") else seen
    spread = linear.std()
    if not spread > 1e-6 * np.abs(linear).max():  # more than single precision's rounding
        found = f"unit {int(unit['unit'])} ({unit['formula'].values}) sees nothing change"
        raise InputError("simulate_recording", "motion", "movement that changes the retinal image", found)
    return np.logaddexp(0, 2.5 * ((linear - linear.mean()) / spread - 0.6))


def _filtered(kernel: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """A signal through a kernel; before the first step it was what it is there."""
    before = np.full(kernel.size - 1, signal[0])
    return lfilter(kernel, [1.0], np.concatenate([before, signal]))[before.size :]


def _mean_1(unit: xr.Dataset, values: np.ndarray) -> np.ndarray:
    mean = values.mean()
    if not mean > 0:
        found = f"none for unit {int(unit['unit'])} ({unit['formula'].values})"
        raise InputError("simulate_recording", "motion", "a time at which each unit is driven", found)
    return values / mean

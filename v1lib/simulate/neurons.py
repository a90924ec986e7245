"""The simulated cortex: units with receptive fields on the retina, moved by behaviour, firing as Poisson.

The rate of a unit is ::

    rate = base · ((1 − share) · visual · gain + share · offset)

with ``visual`` = softplus of the filtered retinal image, ``gain`` and ``offset`` = exponentials of weighted
behaviour; ``visual · gain`` and ``offset`` each have mean 1 over the recording, so ``base`` is the mean rate
and ``share`` the part of it that does not depend on vision. No rate is above 200 Hz, which lowers the mean of
a unit that would have passed it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from v1lib.session import BEHAVIOR_UNITS
from v1lib.simulate.arena import Camera

#: One step of the simulated cortex, s: a field of the camera.
STEP_S = 1 / 60
#: What one unit of a behavioural weight refers to: (centre, spread) of each variable, in its own unit.
BEHAVIOR_SCALE = {
    "speed": (5.0, 5.0),
    "pitch": (-9.0, 11.0),
    "roll": (0.0, 8.5),
    "phi": (0.0, 6.0),
    "theta": (0.0, 8.0),
    "pupil": (27.5, 2.5),
}
_HIGHEST_RATE_HZ = 200.0
_N_LAGS = 15


def _gabors(retina: Camera, shape: xr.Dataset) -> np.ndarray:
    """Oriented receptive fields (unit, y, x), zero mean and unit norm."""
    rows, columns = retina.shape
    degrees = np.rad2deg(1 / retina.focal_px)
    up, right = np.mgrid[:rows, :columns].astype(float)
    right = (right - (columns - 1) / 2) * degrees
    up = -(up - (rows - 1) / 2) * degrees
    x = right - shape["azimuth"].values[:, None, None]
    y = up - shape["elevation"].values[:, None, None]
    # The orientation is that of the bars, counter-clockwise from horizontal; the carrier runs across them.
    angle = np.deg2rad(shape["orientation"].values)[:, None, None]
    across, along = -x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    width, length = shape["width"].values[:, None, None], shape["length"].values[:, None, None]
    envelope = np.exp(-0.5 * ((across / width) ** 2 + (along / length) ** 2))
    frequency = shape["spatial_frequency"].values[:, None, None]
    carrier = np.cos(2 * np.pi * frequency * across + np.deg2rad(shape["phase"].values)[:, None, None])
    field = envelope * carrier
    # The mean is taken out with the envelope's own weight: the field stays local and answers no uniform grey.
    field -= envelope * (field.sum((1, 2)) / envelope.sum((1, 2)))[:, None, None]
    return field / np.linalg.norm(field, axis=(1, 2), keepdims=True)


def _temporal_kernels(latency_s: np.ndarray, rebound: np.ndarray) -> np.ndarray:
    """Biphasic kernels (unit, lag) with their peak one latency in the past, unit norm."""
    lag = np.arange(_N_LAGS) * STEP_S
    early, late = lag / latency_s[:, None], lag / (1.8 * latency_s[:, None])
    kernel = early**6 * np.exp(6 * (1 - early)) - rebound[:, None] * late**8 * np.exp(8 * (1 - late))
    return kernel / np.linalg.norm(kernel, axis=1, keepdims=True)


def plant_units(rng: np.random.Generator, n_units: int, retina: Camera) -> xr.Dataset:
    """Units with drawn properties.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_units : int
    retina : Camera
        The grid that the receptive fields are drawn on.

    Returns
    -------
    xarray.Dataset
        ``receptive_field`` (unit, y, x); ``temporal_kernel`` (unit, lag), lag in s; ``gain_weight`` and
        ``offset_weight`` (unit, variable), per spread of the variable (:data:`BEHAVIOR_SCALE`);
        ``base_rate`` (Hz); ``share``; and the parameters of the fields: ``azimuth`` (right positive),
        ``elevation`` (up positive), ``width``, ``length``, ``orientation``, ``phase`` (deg),
        ``spatial_frequency`` (cycles/deg).
    """
    variables = list(BEHAVIOR_UNITS)
    width = rng.uniform(4.5, 8.0, n_units)
    drawn = {
        "azimuth": rng.uniform(-22, 22, n_units),
        "elevation": rng.uniform(-16, 16, n_units),
        "width": width,
        "length": width * rng.uniform(1.0, 1.7, n_units),
        "orientation": rng.uniform(0, 180, n_units),
        "phase": rng.uniform(0, 360, n_units),
        "spatial_frequency": rng.uniform(0.25, 0.45, n_units) / width,
        "base_rate": np.exp(rng.uniform(np.log(4), np.log(20), n_units)),
        "share": rng.uniform(0.1, 0.4, n_units),
    }
    units = xr.Dataset({name: ("unit", values) for name, values in drawn.items()})
    for kind in ("gain_weight", "offset_weight"):
        planted = rng.random((n_units, len(variables))) < 0.4
        weight = rng.normal(0.0, 0.45, (n_units, len(variables)))
        units[kind] = (("unit", "variable"), np.where(planted, weight, 0.0))
    units["receptive_field"] = (("unit", "y", "x"), _gabors(retina, units).astype(np.float32))
    kernels = _temporal_kernels(rng.uniform(0.05, 0.08, n_units), rng.uniform(0.2, 0.7, n_units))
    units["temporal_kernel"] = (("unit", "lag"), kernels)
    units["unit_class"] = ("unit", np.full(n_units, "simple"))
    return units.assign_coords(unit=np.arange(n_units), variable=variables, lag=np.arange(_N_LAGS) * STEP_S)


def expected_rate(units: xr.Dataset, drive: np.ndarray, behavior: dict[str, np.ndarray]) -> np.ndarray:
    """Rate of each unit in each step.

    Parameters
    ----------
    units : xarray.Dataset
        From :func:`plant_units`.
    drive : (step, unit) array
        The retinal image of the step seen through each receptive field.
    behavior : dict of (step,) arrays
        The variables of :data:`BEHAVIOR_SCALE` in their units.

    Returns
    -------
    (step, unit) float32 array, Hz.
    """
    state = np.stack([(behavior[name] - mean) / sd for name, (mean, sd) in BEHAVIOR_SCALE.items()], axis=1)
    filtered = np.empty_like(drive)
    for unit, kernel in enumerate(units["temporal_kernel"].values):
        filtered[:, unit] = lfilter(kernel, [1.0], drive[:, unit])
    filtered = (filtered - filtered.mean(0)) / filtered.std(0)
    visual = np.logaddexp(0, 2.5 * (filtered - 0.6))
    gain = np.exp(state @ units["gain_weight"].values.T)
    offset = np.exp(state @ units["offset_weight"].values.T)
    share = units["share"].values
    evoked = visual * gain
    evoked, offset = evoked / evoked.mean(0), offset / offset.mean(0)
    rate = units["base_rate"].values * ((1 - share) * evoked + share * offset)
    return np.minimum(rate, _HIGHEST_RATE_HZ).astype(np.float32)


def draw_spikes(rng: np.random.Generator, rate: np.ndarray) -> list[np.ndarray]:
    """Spike times (s from the first step) of each unit, Poisson with a rate that is constant in a step."""
    counts = rng.poisson(rate.astype(float) * STEP_S)
    times = []
    for unit_counts in counts.T:
        step = np.repeat(np.arange(unit_counts.size), unit_counts)
        times.append(np.sort((step + rng.random(step.size)) * STEP_S))
    return times

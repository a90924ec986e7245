"""The units of the simulated cortex: what each one answers to, drawn within its class.

Fields lie on the retina. Angles of fields are seen as in the picture: azimuth to the right, elevation up,
orientation of the bars and direction of motion counter-clockwise from rightward.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.session import BEHAVIOR_UNITS
from v1lib.simulate.arena import Camera
from v1lib.simulate.mixture import BEHAVIOR_ONLY, Formula

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
#: Classes with a field on the retina; those with a second field, a quarter of a cycle on.
VISUAL = ("simple", "complex", "direction", "normalized")
ENERGY = ("complex", "direction")
_N_LAGS = 15


def retinal_grid(retina: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (right) and elevation (up) of each pixel, (y, x), in deg as at the picture's centre."""
    rows, columns = retina.shape
    degrees = np.rad2deg(1 / retina.focal_px)
    down, right = np.mgrid[:rows, :columns].astype(float)
    return (right - (columns - 1) / 2) * degrees, -(down - (rows - 1) / 2) * degrees


def _gabors(retina: Camera, units: xr.Dataset, phase: np.ndarray) -> np.ndarray:
    """Oriented receptive fields (unit, y, x), zero mean and unit norm."""
    azimuth, elevation = retinal_grid(retina)
    x = azimuth - units["azimuth"].values[:, None, None]
    y = elevation - units["elevation"].values[:, None, None]
    # The orientation is that of the bars, counter-clockwise from horizontal; the carrier runs across them.
    angle = np.deg2rad(units["orientation"].values)[:, None, None]
    across, along = -x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    width, length = units["width"].values[:, None, None], units["length"].values[:, None, None]
    envelope = np.exp(-0.5 * ((across / width) ** 2 + (along / length) ** 2))
    frequency = units["spatial_frequency"].values[:, None, None]
    field = envelope * np.cos(2 * np.pi * frequency * across + np.deg2rad(phase)[:, None, None])
    # The mean is taken out with the envelope's own weight: the field stays local and answers no uniform grey.
    field -= envelope * (field.sum((1, 2)) / envelope.sum((1, 2)))[:, None, None]
    return field / np.linalg.norm(field, axis=(1, 2), keepdims=True)


def _biphasic_kernels(latency_s: np.ndarray, rebound: np.ndarray) -> np.ndarray:
    """Kernels (unit, lag) with their peak one latency in the past and a late rebound, unit norm."""
    lag = np.arange(_N_LAGS) * STEP_S
    early, late = lag / latency_s[:, None], lag / (1.8 * latency_s[:, None])
    kernel = early**6 * np.exp(6 * (1 - early)) - rebound[:, None] * late**8 * np.exp(8 * (1 - late))
    return kernel / np.linalg.norm(kernel, axis=1, keepdims=True)


def _quadrature_kernels(latency_s: np.ndarray, frequency_hz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of kernels (unit, lag) a quarter of a cycle apart in time; neither answers what stands still."""
    lag = np.arange(_N_LAGS) * STEP_S
    late = lag / latency_s[:, None]
    envelope = late**3 * np.exp(3 * (1 - late))
    wave = envelope * np.exp(2j * np.pi * frequency_hz[:, None] * lag)
    wave -= envelope * (wave.sum(1) / envelope.sum(1))[:, None]
    wave /= np.linalg.norm(wave.real, axis=1, keepdims=True)
    return wave.real, wave.imag


def _weights(rng: np.random.Generator, variables: list[tuple[str, ...]]) -> np.ndarray:
    """Signed weights (unit, variable) large enough to matter, exactly 0 where none is asked for."""
    shape = (len(variables), len(BEHAVIOR_UNITS))
    size = rng.uniform(0.35, 0.8, shape) * rng.choice([-1.0, 1.0], shape)
    planted = [[name in chosen for name in BEHAVIOR_UNITS] for chosen in variables]
    return np.where(planted, size, 0.0)


def _parameters(rng: np.random.Generator, classes: np.ndarray) -> xr.Dataset:
    """What each unit prefers, (unit); NaN where its class has no such parameter."""
    n_units = classes.size
    energy = np.isin(classes, ENERGY)
    # Energy needs two fields that answer a grating alike, so theirs hold more cycles and more pixels.
    width = np.where(energy, rng.uniform(6.0, 9.0, n_units), rng.uniform(4.5, 8.0, n_units))
    cycles = np.where(energy, rng.uniform(0.4, 0.5, n_units), rng.uniform(0.25, 0.45, n_units))
    length = width * rng.uniform(1.0, 1.7, n_units)
    orientation = rng.uniform(0, 180, n_units)
    drawn = {
        VISUAL: {
            "azimuth": rng.uniform(-22, 22, n_units),
            "elevation": rng.uniform(-16, 16, n_units),
            "width": width,
            "length": length,
            "orientation": orientation,
            "phase": rng.uniform(0, 360, n_units),
            "spatial_frequency": cycles / width,
        },
        ("direction",): {
            "preferred_direction": (orientation + rng.choice([90, -90], n_units)) % 360,
            "temporal_frequency": rng.uniform(4.0, 7.0, n_units),
        },
        ("normalized",): {
            "pool_width": 1.5 * length,
            "semisaturation": rng.uniform(0.02, 0.05, n_units),
        },
        ("heading",): {
            "preferred_heading": rng.uniform(-180, 180, n_units),
            "heading_concentration": rng.uniform(1.5, 4.0, n_units),
        },
        ("eye_position",): {
            "preferred_theta": rng.uniform(-8, 8, n_units),
            "preferred_phi": rng.uniform(-6, 6, n_units),
            "position_width": rng.uniform(5.0, 8.0, n_units),
        },
    }
    return xr.Dataset(
        {
            name: ("unit", np.where(np.isin(classes, having), values, np.nan))
            for having, parameters in drawn.items()
            for name, values in parameters.items()
        }
    )


def _kernels(rng: np.random.Generator, classes: np.ndarray, units: xr.Dataset) -> dict[str, tuple]:
    """Kernels in time, (unit, lag); 0 where a class has none."""
    latency, rebound = rng.uniform(0.05, 0.08, classes.size), rng.uniform(0.2, 0.7, classes.size)
    first = np.where(np.isin(classes, VISUAL)[:, None], _biphasic_kernels(latency, rebound), 0.0)
    second = np.zeros_like(first)
    moving = classes == "direction"
    frequency = units["temporal_frequency"].values[moving]
    first[moving], second[moving] = _quadrature_kernels(latency[moving], frequency)
    # The fields' phase runs across the bars, which is one of the two ways that bars can drift.
    against = (units["preferred_direction"] - units["orientation"]).values % 360 > 180
    second[against] *= -1
    return {"temporal_kernel": (("unit", "lag"), first), "quadrature_kernel": (("unit", "lag"), second)}


def plant_units(
    rng: np.random.Generator, formulae: list[Formula], retina: Camera, rate_scale: float = 1.0
) -> xr.Dataset:
    """Units with drawn properties.

    Parameters
    ----------
    rng : numpy.random.Generator
    formulae : list of Formula
        What each unit depends on, such as :func:`v1lib.simulate.mixture.allot` gives.
    retina : Camera
        The grid that the receptive fields are drawn on.
    rate_scale : float
        Factor of all rates.

    Returns
    -------
    xarray.Dataset
        What :func:`v1lib.simulate.load_truth` names over ``unit``, but for the scores of the true rate.
    """
    classes = np.array([formula.unit_class for formula in formulae])
    n_units = classes.size
    units = _parameters(rng, classes)
    units["unit_class"] = ("unit", classes)
    units["formula"] = ("unit", [str(formula) for formula in formulae])
    units["base_rate"] = ("unit", rate_scale * np.exp(rng.uniform(np.log(4), np.log(20), n_units)))
    has_offset = [bool(formula.offset) for formula in formulae]
    share = np.where(has_offset, rng.uniform(0.3, 0.5, n_units), 0.0)
    units["share"] = ("unit", np.where(classes == BEHAVIOR_ONLY, 1.0, share))

    gain = _weights(rng, [formula.gain for formula in formulae])
    offset = _weights(rng, [formula.offset for formula in formulae])
    by_eye = (classes == "eye_position")[:, None] & np.isin(list(BEHAVIOR_UNITS), ("theta", "phi"))
    for name, values in (
        ("gain_weight", gain),
        ("offset_weight", offset),
        ("depends_on", (gain != 0) | (offset != 0) | by_eye),
    ):
        units[name] = (("unit", "variable"), values)

    for name, having, shift in (("receptive_field", VISUAL, 0.0), ("quadrature_field", ENERGY, -90.0)):
        fields = _gabors(retina, units, units["phase"].values + shift).astype(np.float32)
        there = np.isin(classes, having)[:, None, None]
        units[name] = (("unit", "y", "x"), np.where(there, fields, np.float32(0)))
    return units.assign(_kernels(rng, classes, units)).assign_coords(
        unit=np.arange(n_units), variable=list(BEHAVIOR_UNITS), lag=np.arange(_N_LAGS) * STEP_S
    )

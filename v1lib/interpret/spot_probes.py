"""Where a fitted model's units look and how much of it they like: flashed spots, gratings of many sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_real
from v1lib.fit import Run
from v1lib.interpret.screen import bins_of_drift, check_row, check_view, screen_before
from v1lib.interpret.showing import check_run
from v1lib.interpret.visual_stimuli import degrees_of_pixel, degrees_of_view

DIAMETERS_DEG = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0)


def probe_spots(
    run: Run,
    session: xr.Dataset,
    *,
    field_of_view_deg: float,
    diameter_deg: float = 10.0,
    spacing_deg: float = 5.0,
    contrast: float = 2.0,
    device: str = "auto",
) -> xr.Dataset:
    """Which places of the view a fitted model's units answer to, light and dark.

    A round spot is on for one bin, before and after which is grey; gaze and behaviour stay at their means.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    field_of_view_deg : float
        That a row of the frame spans.
    diameter_deg, spacing_deg : float
        Of a spot; from one to the next.
    contrast : float
        Of light and dark spots to either side of grey, in the training frames' (r.m.s.).
    device : str

    Returns
    -------
    xarray.Dataset over unit
        ``rate`` (unit, polarity, elevation, azimuth), polarity ``on`` or ``off``, at the lag (s after the bin
        of the flash, ``lag``) at which the unit's rates differ most between places; ``blank``, the rate at
        grey; ``azimuth_of_peak`` and ``elevation_of_peak`` (deg from the middle of the frame) of the place
        with the largest rise above it; ``on_off_index`` there, (on - off) / (on + off) of rises, from -1 to
        1. They are NaN for a unit that no spot excites.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, an argument is out of its range, or
        a spot is smaller than a pixel.
    """
    check_run("probe_spots", run, session)
    check_view("probe_spots", field_of_view_deg)
    pixel = degrees_of_pixel(session.sizes["x"], field_of_view_deg)
    check_real("probe_spots", "diameter_deg", diameter_deg, pixel, 180)
    check_real("probe_spots", "spacing_deg", spacing_deg, pixel / 2, 90)
    check_real("probe_spots", "contrast", contrast, 1e-3, 100)
    across, up = degrees_of_view((session.sizes["y"], session.sizes["x"]), field_of_view_deg)
    azimuth, elevation = (_steps(axis.max(), spacing_deg) for axis in (across, up))
    y, x = (axis.ravel() for axis in np.meshgrid(elevation, azimuth, indexing="ij"))
    lead = run.model.seq_len - 1

    def draw(numbers: np.ndarray) -> np.ndarray:
        """Spots, the first half of the numbers light: the last bin of the first window is the flash."""
        place, sign = numbers % len(x), np.where(numbers < len(x), contrast, -contrast)
        away = np.hypot(across - x[place, None, None], up - y[place, None, None])
        pictures = np.zeros((len(numbers), 2 * lead + 1, *across.shape))
        pictures[:, lead] = sign[:, None, None] * disc(away, diameter_deg, pixel)
        return pictures

    with screen_before(run, session, device) as screen:
        blank = screen.blank()
        rates = screen.rates(draw, 2 * len(x), 2 * lead + 1)
        bin_s = screen.bin_s
    lag, units = rates.var(0).argmax(0), np.arange(rates.shape[2])
    rate = rates[:, lag, units].T.reshape(len(units), 2, len(x))
    rise = (rate - blank[:, None, None]).clip(0)
    peak = rise.max(1).argmax(1)
    on, off = rise[units, :, peak].T
    excited = on + off > 1e-6 * np.abs(blank)
    index = np.divide(on - off, on + off, out=np.full(len(units), np.nan), where=excited)
    return xr.Dataset(
        {
            "rate": (
                ("unit", "polarity", "elevation", "azimuth"),
                rate.reshape(len(units), 2, len(elevation), len(azimuth)),
            ),
            "lag": ("unit", lag * bin_s),
            "blank": ("unit", blank),
            "azimuth_of_peak": ("unit", np.where(excited, x[peak], np.nan)),
            "elevation_of_peak": ("unit", np.where(excited, y[peak], np.nan)),
            "on_off_index": ("unit", index),
        },
        {
            "unit": session["unit"].values,
            "polarity": ["on", "off"],
            "elevation": elevation,
            "azimuth": azimuth,
        },
        {"field_of_view_deg": field_of_view_deg, "diameter_deg": diameter_deg},
    )


def probe_sizes(
    run: Run,
    session: xr.Dataset,
    *,
    field_of_view_deg: float,
    azimuth: float | Sequence[float] | np.ndarray,
    elevation: float | Sequence[float] | np.ndarray,
    direction_deg: float | Sequence[float] | np.ndarray,
    spatial_frequency: float | Sequence[float] | np.ndarray,
    diameters_deg: Sequence[float] = DIAMETERS_DEG,
    contrast: float = 1.0,
    temporal_frequency: float = 4.0,
    cycles: int = 4,
    device: str = "auto",
) -> xr.Dataset:
    """Rates of a fitted model to each unit's grating behind a round aperture of many sizes.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    field_of_view_deg : float
        That a row of the frame spans.
    azimuth, elevation, direction_deg, spatial_frequency : float or (unit,) array
        Of the aperture's middle (deg, as :func:`probe_spots` finds it) and of the grating, as
        :func:`v1lib.interpret.probes.probe` finds it.
    diameters_deg : sequence of float
        In ascending order.
    contrast : float
        In that of the training frames (r.m.s.).
    temporal_frequency : float
        Hz.
    cycles : int
        That each grating drifts by after the window is filled.
    device : str

    Returns
    -------
    xarray.Dataset over unit
        ``rate`` (unit, diameter), means over the cycles; ``blank``, at grey; ``preferred_size`` (deg) of the
        highest rate; ``suppression_index``, the fall from there to the largest size over the rise above grey
        (0 for a unit that is not suppressed). They are NaN for a unit that no size excites.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, an argument is out of its range,
        there is not one place or grating for each unit, or diameters do not ascend.
    """
    check_run("probe_sizes", run, session)
    check_view("probe_sizes", field_of_view_deg)
    diameters = check_row("probe_sizes", "diameters_deg", diameters_deg, 0, 360)
    if (np.diff(diameters) <= 0).any():
        raise InputError("probe_sizes", "diameters_deg", "numbers that ascend", repr(diameters_deg))
    check_real("probe_sizes", "contrast", contrast, 1e-3, 100)
    bin_s, n_bins = bins_of_drift("probe_sizes", run, session, temporal_frequency, cycles)
    n_units = session.sizes["unit"]
    x, y, angle, frequency = (
        _one_each(name, values, n_units, low, high)
        for name, values, low, high in (
            ("azimuth", azimuth, -180, 180),
            ("elevation", elevation, -180, 180),
            ("direction_deg", direction_deg, -360, 360),
            ("spatial_frequency", spatial_frequency, 1e-4, 10),
        )
    )
    across, up = degrees_of_view((session.sizes["y"], session.sizes["x"]), field_of_view_deg)
    pixel = degrees_of_pixel(session.sizes["x"], field_of_view_deg)
    turns = temporal_frequency * bin_s * (np.arange(n_bins) + 0.5)
    amplitude = np.sqrt(2) * contrast * np.sinc(temporal_frequency * bin_s)
    unit, size = (axis.ravel() for axis in np.indices((n_units, len(diameters))))

    def draw(numbers: np.ndarray) -> np.ndarray:
        """Gratings behind apertures; a phase is that at the aperture's middle, whatever its place."""
        own = unit[numbers]
        right, above = across - x[own, None, None], up - y[own, None, None]
        turn = np.deg2rad(angle[own])[:, None, None]
        cycles_there = frequency[own, None, None] * (np.cos(turn) * right + np.sin(turn) * above)
        waves = np.sin(2 * np.pi * (cycles_there[:, None] - turns[:, None, None]))
        window = disc(np.hypot(right, above), diameters[size[numbers], None, None], pixel)
        return amplitude * waves * window[:, None]

    with screen_before(run, session, device) as screen:
        blank = screen.blank()
        rate = screen.rates(draw, len(unit), n_bins, unit).mean(1).reshape(n_units, len(diameters))
    top = rate.max(1)
    excited = top - blank > 1e-6 * np.abs(blank)
    index = np.divide(top - rate[:, -1], top - blank, out=np.full(n_units, np.nan), where=excited)
    return xr.Dataset(
        {
            "rate": (("unit", "diameter"), rate),
            "blank": ("unit", blank),
            "preferred_size": ("unit", np.where(excited, diameters[rate.argmax(1)], np.nan)),
            "suppression_index": ("unit", index),
        },
        {"unit": session["unit"].values, "diameter": diameters},
        {"field_of_view_deg": field_of_view_deg, "temporal_frequency": temporal_frequency},
    )


def disc(away: np.ndarray, diameter: float | np.ndarray, pixel: float) -> np.ndarray:
    """1 within a circle and 0 outside, from the distance to its middle, with an edge a pixel wide."""
    return ((diameter / 2 - away) / pixel + 0.5).clip(0, 1)


def _steps(most: float, spacing: float) -> np.ndarray:
    """Places from -most to most, this far apart, one in the middle."""
    n = int(most / spacing)
    return spacing * np.arange(-n, n + 1)


def _one_each(name: str, values: Any, n_units: int, low: float, high: float) -> np.ndarray:
    """One number for each unit, the same for all where one is given."""
    row = np.full(n_units, values) if np.ndim(values) == 0 else values
    row = check_row("probe_sizes", name, row, low, high)
    if len(row) != n_units:
        raise InputError("probe_sizes", name, f"a number or {n_units}, one a unit", f"{len(row)} numbers")
    return row

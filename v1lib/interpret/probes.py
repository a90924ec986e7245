"""A fitted model in the place of an animal: drifting gratings, contrasts, and the tuning that they show.

A model answers any picture at no cost, also such as no animal was shown. What it answers is the model's,
not the unit's: an untrained network of the same shape has tuning curves too, and is the control that a curve
needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from v1lib.fit import Run
from v1lib.interpret.screen import bins_of_drift, check_row, check_view, screen_before
from v1lib.interpret.showing import check_run
from v1lib.interpret.tuning import amplitude_at, direction_tuning
from v1lib.interpret.visual_stimuli import drifting_gratings

DIRECTIONS_DEG = tuple(range(0, 360, 15))
SPATIAL_FREQUENCIES = (0.02, 0.03, 0.045, 0.0675, 0.1)
CONTRASTS = (0.0, 0.25, 0.5, 1.0, 2.0)


def probe(
    run: Run,
    session: xr.Dataset,
    *,
    field_of_view_deg: float,
    directions_deg: Sequence[float] = DIRECTIONS_DEG,
    spatial_frequencies: Sequence[float] = SPATIAL_FREQUENCIES,
    contrasts: Sequence[float] = CONTRASTS,
    temporal_frequency: float = 4.0,
    cycles: int = 4,
    device: str = "auto",
) -> xr.Dataset:
    """How the units of a fitted model are tuned to drifting gratings.

    Gaze and behaviour stay at their means over the training part, and gratings fill the frame. Their contrast
    is in that of the training frames (r.m.s.); for directions and frequencies it is 1. Bins in which the
    model's window is not yet filled by the grating are left out.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    field_of_view_deg : float
        That a row of the frame spans.
    directions_deg, spatial_frequencies : sequence of float
        deg, counter-clockwise from rightward; cycles/deg.
    contrasts : sequence of float
        Shown at each unit's own best direction and frequency.
    temporal_frequency : float
        Hz.
    cycles : int
        That each grating drifts by after the window is filled.
    device : str
        ``auto`` or a name that torch knows.

    Returns
    -------
    xarray.Dataset over unit
        ``rate`` (unit, direction, spatial_frequency), mean over whole cycles, and ``modulation``, the
        amplitude at the temporal frequency, in spikes a bin or units of fluorescence; ``blank``, the rate at
        grey; ``preferred_direction`` and ``preferred_frequency`` of the highest rate;
        ``preferred_orientation``, that of the bars, from the mean vector of doubled angles at that frequency
        (deg, 0 to 180); ``orientation_index`` and ``direction_index``, the lengths of the mean vectors of
        doubled and single angles there, of rates above the lowest of all directions (0 to 1);
        ``phase_sensitivity``, modulation over the mean above grey at the best grating (above 1: simple);
        ``contrast_rate`` (unit, contrast). Indices are NaN for a unit that answers all gratings alike.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, an argument is out of its range, or
        the temporal frequency is more than half of that of the bins.
    """
    check_run("probe", run, session)
    check_view("probe", field_of_view_deg)
    directions = check_row("probe", "directions_deg", directions_deg, -360, 360)
    frequencies = check_row("probe", "spatial_frequencies", spatial_frequencies, 1e-4, 10)
    levels = check_row("probe", "contrasts", contrasts, 0, 100)
    bin_s, n_bins = bins_of_drift("probe", run, session, temporal_frequency, cycles)
    gratings = drifting_gratings(
        run.model.frame_shape,
        directions,
        frequencies,
        temporal_frequency,
        field_of_view_deg=field_of_view_deg,
        bin_s=bin_s,
        n_bins=n_bins,
    )
    # The r.m.s. of a sine is its amplitude over the root of two.
    flat = np.sqrt(2).astype(np.float32) * gratings.reshape(-1, *gratings.shape[2:])
    units = np.arange(session.sizes["unit"])
    with screen_before(run, session, device) as screen:
        blank = screen.blank()
        shown = screen.rates(flat.__getitem__, len(flat), n_bins)
        best = shown.mean(1).argmax(0)
        own = flat[best]
        by_contrast = [
            screen.rates((level * own).__getitem__, len(units), n_bins, units).mean(1) for level in levels
        ]
    each = shown.reshape(*gratings.shape[:2], *shown.shape[1:])  # (direction, frequency, bin, unit)
    rate, modulation = each.mean(2), amplitude_at(each, temporal_frequency * bin_s)
    at_best = (*np.unravel_index(best, rate.shape[:2]), units)
    above = rate[at_best] - blank
    answers = above > 1e-6 * np.abs(blank)
    sensitivity = np.divide(modulation[at_best], above, out=np.full(len(units), np.nan), where=answers)
    found = direction_tuning(directions, rate[:, at_best[1], units])
    grating = ("unit", "direction", "spatial_frequency")
    return xr.Dataset(
        {
            "rate": (grating, rate.transpose(2, 0, 1)),
            "modulation": (grating, modulation.transpose(2, 0, 1)),
            "blank": ("unit", blank),
            "preferred_direction": ("unit", directions[at_best[0]]),
            "preferred_frequency": ("unit", frequencies[at_best[1]]),
            **{name: ("unit", values) for name, values in found.items()},
            "phase_sensitivity": ("unit", sensitivity),
            "contrast_rate": (("unit", "contrast"), np.stack(by_contrast, axis=1)),
        },
        {
            "unit": session["unit"].values,
            "direction": directions,
            "spatial_frequency": frequencies,
            "contrast": levels,
        },
        {"temporal_frequency": temporal_frequency, "field_of_view_deg": field_of_view_deg},
    )

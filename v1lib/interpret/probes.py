"""A fitted model in the place of an animal: drifting gratings, contrasts, and the tuning that they show.

A model answers any picture at no cost, also such as no animal was shown. What it answers is the model's,
not the unit's: an untrained network of the same shape has tuning curves too, and is the control that a curve
needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from v1lib.errors import InputError, check_real
from v1lib.features import scaled_behavior
from v1lib.fit import Run
from v1lib.interpret.showing import MOST_FRAMES, check_run, in_units, model_on, natural_frames

DIRECTIONS_DEG = tuple(range(0, 360, 15))
SPATIAL_FREQUENCIES = (0.02, 0.03, 0.045, 0.0675, 0.1)
CONTRASTS = (0.0, 0.25, 0.5, 1.0, 2.0)


def drifting_gratings(
    shape: tuple[int, int],
    directions_deg: Sequence[float],
    spatial_frequencies: Sequence[float],
    temporal_frequency: float,
    *,
    field_of_view_deg: float,
    bin_s: float,
    n_bins: int,
) -> np.ndarray:
    """Sine gratings that drift across the whole frame, averaged over each bin as a camera would.

    Parameters
    ----------
    shape : (y, x)
    directions_deg : sequence of float
        Of the drift, counter-clockwise from rightward.
    spatial_frequencies : sequence of float
        Cycles/deg, as at the middle of the view.
    temporal_frequency : float
        Hz.
    field_of_view_deg : float
        That a row spans, of a pinhole camera.
    bin_s : float
    n_bins : int

    Returns
    -------
    numpy.ndarray, shape (direction, frequency, bin, y, x), float32
        Of amplitude 1 but for what averaging takes, around 0.
    """
    rows, columns = shape
    focal_px = columns / 2 / np.tan(np.deg2rad(field_of_view_deg / 2))
    down, right = np.mgrid[:rows, :columns]
    across = np.rad2deg((right - (columns - 1) / 2) / focal_px)
    up = np.rad2deg(((rows - 1) / 2 - down) / focal_px)
    angle = np.deg2rad(np.asarray(directions_deg, float))[:, None, None]
    along = np.cos(angle) * across + np.sin(angle) * up
    turns = temporal_frequency * bin_s * (np.arange(n_bins) + 0.5)
    cycles = np.asarray(spatial_frequencies, float)[:, None, None, None] * along[:, None, None]
    blur = np.sinc(temporal_frequency * bin_s)
    return (blur * np.sin(2 * np.pi * (cycles - turns[:, None, None]))).astype(np.float32)


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
    bin_s = float(session.attrs["bin_width_s"]) if isinstance(session, xr.Dataset) else np.nan
    check_run("probe", run, session)
    _check(
        field_of_view_deg, directions_deg, spatial_frequencies, contrasts, temporal_frequency, cycles, bin_s
    )
    natural, lead = natural_frames(run, session), run.model.seq_len - 1
    n_bins = lead + max(2, round(cycles / (temporal_frequency * bin_s)))
    gratings = drifting_gratings(
        run.model.frame_shape,
        directions_deg,
        spatial_frequencies,
        temporal_frequency,
        field_of_view_deg=field_of_view_deg,
        bin_s=bin_s,
        n_bins=n_bins,
    )
    # The r.m.s. of a sine is its amplitude over the root of two.
    amplitude = natural.rms * np.sqrt(2)
    mean = scaled_behavior(session, run.scaling)[run.splits.bins("train")].mean(axis=0)
    with model_on(run, device) as (model, place):
        behavior = torch.from_numpy(mean).to(place)

        @torch.no_grad()
        def answers(pictures: np.ndarray) -> np.ndarray:
            """Rates (stimulus, bin, unit) of pictures (stimulus, bin, y, x) once the window is filled."""
            made = []
            for first in range(0, len(pictures), piece := max(1, MOST_FRAMES // n_bins)):
                frames = torch.from_numpy(natural.mean + pictures[first : first + piece]).float().to(place)
                held = behavior.expand(len(frames), n_bins, -1)
                made.append(model(frames.unsqueeze(2), held)[:, lead:].cpu().numpy())
            return in_units(run, session, np.concatenate(made).transpose(2, 0, 1)).transpose(1, 2, 0)

        blank = answers(np.zeros((1, *gratings.shape[2:]), np.float32))[0].mean(0)
        shown = answers(amplitude * gratings.reshape(-1, *gratings.shape[2:]))
        each = shown.reshape(*gratings.shape[:2], *shown.shape[1:])  # (direction, frequency, bin, unit)
        rate, modulation = each.mean(2), _amplitude(each, temporal_frequency * bin_s)
        n_units = rate.shape[2]
        best = rate.reshape(-1, n_units).argmax(0)
        own = gratings.reshape(-1, *gratings.shape[2:])[best]
        by_contrast = [
            np.stack([answers(c * amplitude * own[[unit]])[0, :, unit].mean() for unit in range(n_units)])
            for c in contrasts
        ]
    at_best = np.unravel_index(best, rate.shape[:2])
    curve = rate[:, at_best[1], np.arange(n_units)]
    found = _tuning(np.asarray(directions_deg, float), curve)
    above = rate.reshape(-1, n_units)[best, np.arange(n_units)] - blank
    swing = modulation.reshape(-1, n_units)[best, np.arange(n_units)]
    sensitivity = np.divide(swing, above, out=np.full(n_units, np.nan), where=above > 1e-6 * np.abs(blank))
    grating = ("unit", "direction", "spatial_frequency")
    return xr.Dataset(
        {
            "rate": (grating, rate.transpose(2, 0, 1)),
            "modulation": (grating, modulation.transpose(2, 0, 1)),
            "blank": ("unit", blank),
            "preferred_direction": ("unit", np.asarray(directions_deg, float)[at_best[0]]),
            "preferred_frequency": ("unit", np.asarray(spatial_frequencies, float)[at_best[1]]),
            **{name: ("unit", values) for name, values in found.items()},
            "phase_sensitivity": ("unit", sensitivity),
            "contrast_rate": (("unit", "contrast"), np.stack(by_contrast, axis=1)),
        },
        {
            "unit": session["unit"].values,
            "direction": np.asarray(directions_deg, float),
            "spatial_frequency": np.asarray(spatial_frequencies, float),
            "contrast": np.asarray(contrasts, float),
        },
        {"temporal_frequency": temporal_frequency, "field_of_view_deg": field_of_view_deg},
    )


def _amplitude(rates: np.ndarray, cycles_per_bin: float) -> np.ndarray:
    """Amplitude of rates (..., bin, unit) at a frequency, by least squares, (..., unit)."""
    phase = 2 * np.pi * cycles_per_bin * np.arange(rates.shape[-2])
    design = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1)
    weights = np.linalg.pinv(design)[1:] @ rates
    return np.hypot(weights[..., 0, :], weights[..., 1, :])


def _tuning(directions_deg: np.ndarray, curve: np.ndarray) -> dict[str, np.ndarray]:
    """Orientation of the bars and indices of tuning curves (direction, unit)."""
    risen = curve - curve.min(0)
    total = risen.sum(0)
    tuned = total > 1e-6 * np.abs(curve).sum(0)
    shares = np.divide(risen, total, out=np.full_like(risen, np.nan), where=tuned)
    turns = np.exp(1j * np.deg2rad(directions_deg))[:, None]
    double = (shares * turns**2).sum(0)
    return {
        # Bars lie across the direction in which they drift.
        "preferred_orientation": (np.rad2deg(np.angle(double)) / 2 + 90) % 180,
        "orientation_index": np.abs(double),
        "direction_index": np.abs((shares * turns).sum(0)),
    }


def _check(
    field_of_view_deg: float,
    directions_deg: Sequence[float],
    spatial_frequencies: Sequence[float],
    contrasts: Sequence[float],
    temporal_frequency: float,
    cycles: int,
    bin_s: float,
) -> None:
    """Finite numbers in their ranges, at least one of each row, a drift that bins can tell."""
    check_real("probe", "field_of_view_deg", field_of_view_deg, 1, 170)
    check_real("probe", "cycles", cycles, 1, 1000)
    check_real("probe", "temporal_frequency", temporal_frequency, 0.1, 0.5 / bin_s)
    for name, row, low, high in (
        ("directions_deg", directions_deg, -360, 360),
        ("spatial_frequencies", spatial_frequencies, 1e-4, 10),
        ("contrasts", contrasts, 0, 100),
    ):
        if np.ndim(row) != 1 or not len(row):
            raise InputError("probe", name, "a row of numbers", repr(row))
        for value in row:
            check_real("probe", name, float(value), low, high)

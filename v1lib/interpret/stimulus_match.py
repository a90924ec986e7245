"""How near found fields come to the planted ones: shape with its phase, place, orientation, frequency.

Fields and pictures look at one field of view, whatever their grids: that of the truth. Angles are in degrees
as at the middle of the view, orientations those of the bars, counter-clockwise from horizontal, as in
:func:`v1lib.simulate.load_truth`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares
from skimage.transform import resize

from v1lib.errors import InputError, check_real
from v1lib.fit import Run
from v1lib.interpret.inside import learned_shift
from v1lib.interpret.receptive_fields import gaze_corrected, linear_fields
from v1lib.interpret.visual_stimuli import degrees_of_pixel, degrees_of_view

#: Parameters of :func:`fit_gabors`.
GABOR = ("azimuth", "elevation", "width", "length", "orientation", "spatial_frequency")
#: A Gabor's bars are this many of its standard deviations apart, at the least and at the most.
_CYCLES = (0.15, 1.2)


def match_planted(fields: xr.DataArray, truth: xr.Dataset, *, threshold: float = 0.5) -> xr.Dataset:
    """Found fields beside those that were planted.

    Parameters
    ----------
    fields : xarray.DataArray, dims (unit, y, x)
        On any grid over the field of view of the truth; its units are looked up in the truth.
    truth : xarray.Dataset
        From :func:`v1lib.simulate.load_truth` or :func:`v1lib.simulate.bin_truth`.
    threshold : float
        A field whose correlation is below it counts as failed.

    Returns
    -------
    xarray.Dataset over unit
        ``correlation``: of a unit with one planted field, Pearson's r with it, with its sign; of a unit
        with two (complex, direction), r with the nearest mixture of the two, which is 0 or more; NaN where
        no field is planted. ``failed``: whether it is below the threshold, False where nothing is planted.
        By the Gabor that fits the found field best (:func:`fit_gabors`), ``position_error`` (deg),
        ``orientation_error`` (deg, 0 to 90), ``frequency_ratio`` (found over planted) and ``explained``, the
        share of the found field's squares that is the Gabor's. All of a field that is 0 throughout are NaN,
        but it has failed. The attribute ``threshold``.

    Raises
    ------
    InputError
        If the fields have other dimensions, units that the truth does not have, or values that are not
        finite; if the truth holds no fields; or the threshold is not from -1 to 1.
    """
    check_real("match_planted", "threshold", threshold, -1, 1)
    planted, second, units = _planted(fields, truth)
    found = _on_grid(fields.values.astype(np.float64), planted.shape[1:])
    flat, basis = _centred(found), np.stack([_centred(planted), _centred(second)], axis=1)
    correlation = np.full(len(flat), np.nan)
    for unit in np.flatnonzero(planted.any((1, 2)) & found.any((1, 2))):
        correlation[unit] = _nearest(flat[unit], basis[unit], paired=bool(second[unit].any()))
    there = planted.any((1, 2))
    gabors = fit_gabors(found, float(truth.attrs["field_of_view_deg"]))
    gabors = gabors.where(np.isfinite(correlation)[:, None], np.nan)
    off = gabors.sel(parameter=["azimuth", "elevation"]).values - np.stack(
        [units["azimuth"].values, units["elevation"].values], axis=1
    )
    turn = gabors.sel(parameter="orientation").values - units["orientation"].values
    ratio = gabors.sel(parameter="spatial_frequency").values / units["spatial_frequency"].values
    return xr.Dataset(
        {
            "correlation": ("unit", correlation),
            "failed": ("unit", there & ~(correlation >= threshold)),
            "position_error": ("unit", np.hypot(*off.T)),
            "orientation_error": ("unit", np.abs((turn + 90) % 180 - 90)),
            "frequency_ratio": ("unit", ratio),
            "explained": ("unit", gabors["explained"].values),
        },
        {"unit": fields["unit"].values, "unit_class": ("unit", units["unit_class"].values)},
        {"threshold": threshold},
    )


def _planted(fields: xr.DataArray, truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray, xr.Dataset]:
    """Receptive fields and quadrature fields of the units of the fields, and their truth."""
    if fields.dims != ("unit", "y", "x"):
        raise InputError("match_planted", "fields", "dimensions ('unit', 'y', 'x')", str(fields.dims))
    if not np.isfinite(fields.values).all():
        raise InputError("match_planted", "fields", "finite values", "NaN or infinity")
    if "receptive_field" not in truth or "field_of_view_deg" not in truth.attrs:
        raise InputError("match_planted", "truth", "receptive fields and their field of view", "none")
    labels = fields["unit"].values
    strange = ~np.isin(labels, truth["unit"].values)
    if strange.any():
        raise InputError("match_planted", "unit", "units of the truth", repr(labels[strange.argmax()]))
    own = [
        name
        for name, variable in truth.data_vars.items()
        if "unit" in variable.dims and "time" not in variable.dims
    ]
    units = truth[own].sel(unit=labels)
    return units["receptive_field"].values, units["quadrature_field"].values, units


def _on_grid(fields: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Fields (unit, y, x) on a grid of another shape over the same view."""
    if fields.shape[1:] == shape:
        return fields
    # To a coarser grid a field is blurred first, or its fine parts would come back as coarse ones.
    return np.stack([resize(field, shape, order=3, anti_aliasing=True) for field in fields])


def _centred(fields: np.ndarray) -> np.ndarray:
    """Fields (unit, pixel) less their mean, of unit norm; 0 where they are constant."""
    flat = fields.reshape(len(fields), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(norm > 0, norm, 1)


def _nearest(field: np.ndarray, planted: np.ndarray, *, paired: bool) -> float:
    """r of a field (pixel) with the first planted one (2, pixel), or with the nearest mixture of both."""
    if not paired:
        return float(field @ planted[0])
    return float(np.linalg.norm(np.linalg.qr(planted.T)[0].T @ field))


def fit_gabors(fields: np.ndarray, field_of_view_deg: float) -> xr.DataArray:
    """The Gabor without a mean that fits each field best, of any phase.

    Parameters
    ----------
    fields : (unit, y, x) array
    field_of_view_deg : float
        That a row spans, of a pinhole camera.

    Returns
    -------
    xarray.DataArray, dims (unit, parameter)
        :data:`GABOR`: place, standard deviations across and along the bars, orientation of the bars (deg,
        0 to 180) and frequency (cycles/deg), NaN for a field that is 0; the coordinate ``explained`` (unit),
        the share of the field's squares that is the Gabor's.
    """
    deg = degrees_of_pixel(fields.shape[2], field_of_view_deg)
    grid = degrees_of_view(fields.shape[1:], field_of_view_deg)
    fits = [
        _fit_gabor(field / peak, grid, deg) if (peak := np.abs(field).max()) else _NONE for field in fields
    ]
    made, explained = np.array([fit for fit, _ in fits]), [share for _, share in fits]
    coords = {"parameter": list(GABOR), "explained": ("unit", explained)}
    return xr.DataArray(made.reshape(len(fields), len(GABOR)), coords, ("unit", "parameter"))


_NONE = (np.full(len(GABOR), np.nan), np.nan)


def _fit_gabor(field: np.ndarray, grid: np.ndarray, deg: float) -> tuple[np.ndarray, float]:
    """The best of the fits from a few first guesses around the peak of the energy."""
    energy = gaussian_filter(field**2, 1.5)
    top = np.unravel_index(energy.argmax(), energy.shape)
    middle = grid[(slice(None), *top)]
    far = np.abs(grid).max(axis=(1, 2))
    low = [*(-far), np.log(0.5 * deg), np.log(0.5), -np.inf, np.log(_CYCLES[0])]
    high = [*far, np.log(8 * deg), np.log(4), np.inf, np.log(_CYCLES[1])]

    def misfit(values: np.ndarray) -> np.ndarray:
        pair = _gabor_pair(values, grid)
        return (pair @ np.linalg.lstsq(pair, field.ravel(), rcond=None)[0] - field.ravel()) / np.linalg.norm(
            field
        )

    guesses = []
    for angle in np.pi * np.arange(6) / 6:
        for width in (1.5 * deg, 3 * deg):
            guess = np.array([*middle, np.log(width), np.log(1.2), angle, np.log(0.35)])
            guesses.append((np.square(misfit(guess)).sum(), guess))
    guesses.sort(key=lambda pair: pair[0])
    fits = [least_squares(misfit, guess, bounds=(low, high), max_nfev=60) for _, guess in guesses[:2]]
    best = min(fits, key=lambda fit: fit.cost)
    x, y, log_width, log_ratio, angle, log_cycles = best.x
    width = np.exp(log_width)
    found = [x, y, width, width * np.exp(log_ratio), np.rad2deg(angle) % 180, np.exp(log_cycles) / width]
    return np.array(found), 1 - 2 * best.cost


def _gabor_pair(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """An even and an odd Gabor with no mean, (pixel, 2), with the parameters that are fitted.

    These are the place, the logarithms of width, of length over width and of frequency times width, and the
    angle of the bars: so the scales of all are alike.
    """
    x, y = grid[0].ravel() - values[0], grid[1].ravel() - values[1]
    width, ratio, cycles = np.exp(values[2]), np.exp(values[3]), np.exp(values[5])
    sin, cos = np.sin(values[4]), np.cos(values[4])
    across, along = (-x * sin + y * cos) / width, (x * cos + y * sin) / (width * ratio)
    envelope = np.exp(-0.5 * (across**2 + along**2))
    carrier = np.exp(2j * np.pi * cycles * across)
    wave = envelope * (carrier - (envelope * carrier).sum() / envelope.sum())
    return np.stack([wave.real, wave.imag], axis=1)


def strongest_frames(stimuli: xr.Dataset, kind: str = "exciting") -> xr.DataArray:
    """Of each unit's sequence the frame at one lag, less the mean frame, (unit, y, x).

    The lag is that at which the frames of all units are strongest together, given in the coordinate ``lag``:
    a unit's own strongest may be its rebound, whose picture has the other sign.
    """
    shown = stimuli["stimulus"].sel(kind=kind, drop=True) - stimuli.attrs["mean_frame"]
    power = np.square(shown).sum(("y", "x"))
    share = power / power.sum("lag").clip(1e-30)
    return shown.isel(lag=int(share.sum("unit").values.argmax()))


def regressed_fields(run: Run, session: xr.Dataset, *, lag: int = 1, ridge: float = 1.0) -> xr.DataArray:
    """Fields (unit, y, x) by regression on the frames that the run's own shifter has moved.

    The training part's activity is regressed, see :func:`v1lib.interpret.receptive_fields.linear_fields`.
    """
    shift = learned_shift(run, session)
    moved = gaze_corrected(session, *(shift[name].values for name in ("shift_x", "shift_y", "rotation")))
    return linear_fields(session, moved, bins=run.splits.bins("train"), lag=lag, ridge=ridge)

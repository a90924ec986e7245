"""Motion shown to a fitted model: plaids, which tell patterns from their components, and moving bars."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from v1lib.errors import check_real
from v1lib.fit import Run
from v1lib.interpret.probes import DIRECTIONS_DEG
from v1lib.interpret.screen import bins_of_drift, check_row, check_view, screen_before
from v1lib.interpret.showing import check_run
from v1lib.interpret.tuning import direction_tuning
from v1lib.interpret.visual_stimuli import degrees_of_pixel, degrees_of_view, drifting_gratings

#: Of one grating of a plaid against the other: what one phase adds at a place, another takes.
_PHASES = (0.0, 0.25, 0.5, 0.75)


def probe_plaids(
    run: Run,
    session: xr.Dataset,
    *,
    field_of_view_deg: float,
    spatial_frequency: float = 0.045,
    directions_deg: Sequence[float] = DIRECTIONS_DEG,
    separation_deg: float = 120.0,
    contrast: float = 1.0,
    temporal_frequency: float = 4.0,
    cycles: int = 4,
    device: str = "auto",
) -> xr.Dataset:
    """Whether units of a fitted model follow a plaid or the two gratings that it is the sum of.

    Each grating, alone and in the plaid, has half of the contrast; rates to plaids are means over four phases
    of one grating against the other. Index after Movshon and colleagues (1985) and Smith, Majaj and Movshon
    (Nature Neuroscience 2005). Read it of units that are selective for direction.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    field_of_view_deg : float
        That a row of the frame spans.
    spatial_frequency : float
        Cycles/deg, of both gratings.
    directions_deg : sequence of float
        Of the plaid, the middle of its gratings' two; at least 6.
    separation_deg : float
        Of the gratings' directions.
    contrast, temporal_frequency, cycles, device
        As of :func:`v1lib.interpret.probes.probe`.

    Returns
    -------
    xarray.Dataset over unit
        ``grating`` and ``plaid`` (unit, direction), mean rates; ``component`` and ``pattern``, partial
        correlations of the plaid's curve with the sum of the rates to its two gratings and with the
        grating's curve; ``pattern_index``, the difference of their Fisher z (n - 3 degrees of freedom),
        pattern less component: above 1.28 pattern-selective, below -1.28 component-selective. NaN for a flat
        curve. ``direction_index`` of the grating's curve.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, or an argument is out of its range.
    """
    where = "probe_plaids"
    check_run(where, run, session)
    check_view(where, field_of_view_deg)
    directions = check_row(where, "directions_deg", directions_deg, -360, 360, 6)
    check_real(where, "spatial_frequency", spatial_frequency, 1e-4, 10)
    check_real(where, "separation_deg", separation_deg, 10, 170)
    check_real(where, "contrast", contrast, 1e-3, 100)
    bin_s, n_bins = bins_of_drift(where, run, session, temporal_frequency, cycles)
    n, half = len(directions), separation_deg / 2
    turned = np.concatenate([directions, directions - half, directions + half])

    def gratings(degrees: np.ndarray, phase: float = 0.0) -> np.ndarray:
        """Gratings of half of the contrast, (direction, bin, y, x)."""
        made = drifting_gratings(
            run.model.frame_shape,
            degrees,
            [spatial_frequency],
            temporal_frequency,
            field_of_view_deg=field_of_view_deg,
            bin_s=bin_s,
            n_bins=n_bins,
            phase=phase,
        )
        return contrast / np.sqrt(2) * made[:, 0]

    def pair(numbers: np.ndarray, phase: float) -> np.ndarray:
        """Plaids, (direction, bin, y, x)."""
        return gratings(turned[n + numbers]) + gratings(turned[2 * n + numbers], phase)

    with screen_before(run, session, device) as screen:
        alone = screen.rates(lambda numbers: gratings(turned[numbers]), 3 * n, n_bins).mean(1)
        plaid = np.zeros_like(alone[:n])
        for phase in _PHASES:
            both = partial(pair, phase=phase)
            plaid += screen.rates(both, n, n_bins).mean(1) / len(_PHASES)
    grating, components = alone[:n], alone[n : 2 * n] + alone[2 * n :]
    component, pattern = partial_correlations(plaid, components, grating)
    return xr.Dataset(
        {
            "grating": (("unit", "direction"), grating.T),
            "plaid": (("unit", "direction"), plaid.T),
            "component": ("unit", component),
            "pattern": ("unit", pattern),
            "pattern_index": ("unit", (np.arctanh(pattern) - np.arctanh(component)) * np.sqrt(n - 3)),
            "direction_index": ("unit", direction_tuning(directions, grating)["direction_index"]),
        },
        {"unit": session["unit"].values, "direction": directions},
        {"field_of_view_deg": field_of_view_deg, "separation_deg": separation_deg},
    )


def partial_correlations(
    curve: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """r of curves (direction, unit) with each of two predictions, what the other explains taken away.

    NaN where a curve is flat or the predictions are the same.
    """

    def r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - a.mean(0), b - b.mean(0)
        norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
        found = np.divide((a * b).sum(0), norm, out=np.full(a.shape[1], np.nan), where=norm > 1e-12)
        # A curve that is its prediction has an r of 1, whose Fisher z is infinite.
        return found.clip(-1 + 1e-6, 1 - 1e-6)

    curve, first, second = (each.astype(np.float64) for each in (curve, first, second))
    one, two, both = r(curve, first), r(curve, second), r(first, second)
    apart = np.abs(both) < 1 - 1e-5
    found = []
    for mine, other in ((one, two), (two, one)):
        rest = np.sqrt((1 - other**2) * (1 - both**2))
        share = np.divide(mine - other * both, rest, out=np.full_like(rest, np.nan), where=apart)
        found.append(share.clip(-1 + 1e-6, 1 - 1e-6))
    return found[0], found[1]


def probe_bars(
    run: Run,
    session: xr.Dataset,
    *,
    field_of_view_deg: float,
    directions_deg: Sequence[float] = DIRECTIONS_DEG,
    width_deg: float = 10.0,
    speed_deg_s: float = 80.0,
    contrast: float = 2.0,
    device: str = "auto",
) -> xr.Dataset:
    """How units of a fitted model are tuned to light and dark bars that cross the frame.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    field_of_view_deg : float
        That a row of the frame spans.
    directions_deg : sequence of float
        Of the movement, counter-clockwise from rightward; bars lie across it.
    width_deg, speed_deg_s : float
        As at the middle of the view.
    contrast : float
        Of a bar to either side of grey, in the training frames' (r.m.s.).
    device : str

    Returns
    -------
    xarray.Dataset over unit
        ``rate`` (unit, polarity, direction), the highest while a bar crosses, polarity ``on`` or ``off``;
        ``preferred_direction`` of the highest mean over both; of that mean's curve ``preferred_orientation``,
        ``orientation_index`` and ``direction_index`` as of :func:`v1lib.interpret.probes.probe`.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, or an argument is out of its range.
    """
    where = "probe_bars"
    check_run(where, run, session)
    check_view(where, field_of_view_deg)
    directions, n = check_row(where, "directions_deg", directions_deg, -360, 360), len(directions_deg)
    shape = (session.sizes["y"], session.sizes["x"])
    pixel = degrees_of_pixel(shape[1], field_of_view_deg)
    check_real(where, "width_deg", width_deg, pixel, 180)
    check_real(where, "contrast", contrast, 1e-3, 100)
    across, up = degrees_of_view(shape, field_of_view_deg)
    far = float(np.hypot(across, up).max() + width_deg / 2)
    bin_s, lead = float(session.attrs["bin_width_s"]), run.model.seq_len - 1
    # A bar that takes a minute is slow enough, one that is gone within a bin is none.
    check_real(where, "speed_deg_s", speed_deg_s, far / 30, far / bin_s)
    step = speed_deg_s * bin_s
    n_bins = 2 * lead + int(np.ceil(2 * far / step)) + 1
    middle = -far + step * (np.arange(n_bins) - lead)
    # As the camera sees it: over the way that it makes in a bin, and over a pixel.
    blur = max(step, pixel)

    def draw(numbers: np.ndarray) -> np.ndarray:
        angle = np.deg2rad(directions[numbers % n])[:, None, None]
        along = np.cos(angle) * across + np.sin(angle) * up
        away = np.abs(along[:, None] - middle[:, None, None])
        covered = ((blur + width_deg) / 2 - away).clip(0, min(blur, width_deg)) / blur
        return np.where(numbers < n, contrast, -contrast)[:, None, None, None] * covered

    with screen_before(run, session, device) as screen:
        rate = screen.rates(draw, 2 * n, n_bins).max(1).reshape(2, n, -1)
    curve = rate.mean(0)
    found = direction_tuning(directions, curve)
    return xr.Dataset(
        {
            "rate": (("unit", "polarity", "direction"), rate.transpose(2, 0, 1)),
            "preferred_direction": ("unit", directions[curve.argmax(0)]),
            **{name: ("unit", values) for name, values in found.items()},
        },
        {"unit": session["unit"].values, "polarity": ["on", "off"], "direction": directions},
        {"field_of_view_deg": field_of_view_deg, "speed_deg_s": speed_deg_s, "width_deg": width_deg},
    )

"""Pictures to show to a fitted model: drifting gratings, in degrees of a pinhole camera's view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def degrees_of_view(shape: tuple[int, ...], field_of_view_deg: float) -> np.ndarray:
    """Where pixels look, in degrees as at the middle of the view.

    Parameters
    ----------
    shape : (y, x)
    field_of_view_deg : float
        That a row spans, of a pinhole camera.

    Returns
    -------
    numpy.ndarray, shape (2, y, x)
        To the right and up from the middle of the frame.
    """
    rows, columns = shape
    down, right = np.mgrid[:rows, :columns]
    places = np.stack([right - (columns - 1) / 2, (rows - 1) / 2 - down])
    return places * degrees_of_pixel(columns, field_of_view_deg)


def degrees_of_pixel(columns: int, field_of_view_deg: float) -> float:
    """What a pixel at the middle of a row of so many spans."""
    focal_px = columns / 2 / np.tan(np.deg2rad(field_of_view_deg / 2))
    return float(np.rad2deg(1 / focal_px))


def drifting_gratings(
    shape: tuple[int, int],
    directions_deg: Sequence[float] | np.ndarray,
    spatial_frequencies: Sequence[float] | np.ndarray,
    temporal_frequency: float,
    *,
    field_of_view_deg: float,
    bin_s: float,
    n_bins: int,
    phase: float = 0.0,
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
    phase : float
        Of the sine at the middle of the frame as the first bin begins, in cycles.

    Returns
    -------
    numpy.ndarray, shape (direction, frequency, bin, y, x), float32
        Of amplitude 1 but for what averaging takes, around 0.
    """
    across, up = degrees_of_view(shape, field_of_view_deg)
    angle = np.deg2rad(np.asarray(directions_deg, float))[:, None, None]
    along = np.cos(angle) * across + np.sin(angle) * up
    turns = temporal_frequency * bin_s * (np.arange(n_bins) + 0.5) - phase
    cycles = np.asarray(spatial_frequencies, float)[:, None, None, None] * along[:, None, None]
    blur = np.sinc(temporal_frequency * bin_s)
    return (blur * np.sin(2 * np.pi * (cycles - turns[:, None, None]))).astype(np.float32)

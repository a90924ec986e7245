"""Figures of tuning curves, whatever was shown."""

from __future__ import annotations

import numpy as np


def amplitude_at(rates: np.ndarray, cycles_per_bin: float) -> np.ndarray:
    """Amplitude of rates (..., bin, unit) at a frequency, by least squares, (..., unit)."""
    phase = 2 * np.pi * cycles_per_bin * np.arange(rates.shape[-2])
    design = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1)
    weights = np.linalg.pinv(design)[1:] @ rates
    return np.hypot(weights[..., 0, :], weights[..., 1, :])


def direction_tuning(directions_deg: np.ndarray, curve: np.ndarray) -> dict[str, np.ndarray]:
    """Orientation of the bars and indices of tuning curves.

    Parameters
    ----------
    directions_deg : (direction,) array
    curve : (direction, unit) array

    Returns
    -------
    dict of (unit,) arrays
        ``preferred_orientation`` (deg, 0 to 180), from the mean vector of doubled angles;
        ``orientation_index`` and ``direction_index``, the lengths of the mean vectors of doubled and single
        angles, of rates above the lowest (0 to 1). NaN for a flat curve.
    """
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

"""Figures of probes: tuning of fitted and untrained models, and how far it is from what was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from v1lib.plots.style import COLORS

#: An orientation drawn at random is off by so much in the mean, deg.
CHANCE_DEG = 45.0


def plot_tuning(
    fitted: xr.Dataset, untrained: xr.Dataset, units: Sequence[object], planted_deg: xr.DataArray
) -> Figure:
    """Tuning curves of a few units in a fitted and an untrained model: rates, and their rise alone.

    Parameters
    ----------
    fitted, untrained : xarray.Dataset
        From :func:`v1lib.interpret.probes.probe`.
    units : labels of units, one column each
    planted_deg : xarray.DataArray, dim unit
        Orientations of the bars, deg; drawn where bars drift across themselves.
    """
    fig, axes = plt.subplots(2, len(units), figsize=(6.4, 3.2), sharex=True, sharey=True, squeeze=False)
    for column, unit in zip(axes.T, units, strict=True):
        for model, color, style in ((untrained, "chance", "--"), (fitted, "joint", "-")):
            own = model.sel(unit=unit)
            curve = own["rate"].sel(spatial_frequency=own["preferred_frequency"])
            rise = curve - curve.min()
            for ax, values in zip(column, (curve, rise), strict=True):
                ax.plot(curve["direction"], values / values.max(), style, color=COLORS[color], lw=1.4)
        across = float(planted_deg.sel(unit=unit)) + 90
        for ax in column:
            for direction in (across % 360, (across + 180) % 360):
                ax.axvline(direction, color=COLORS["planted"], lw=0.8, ls=":")
        column[0].set(title=f"unit {unit}", xticks=[0, 180], xlim=(0, 360), ylim=(0, 1.08))
    axes[0, 0].set(ylabel="rate / peak")
    axes[1, 0].set(ylabel="rise / its peak")
    fig.supxlabel("direction of drift (deg)", fontsize="medium")
    fig.tight_layout()
    return fig


def plot_indices(indices: Mapping[str, np.ndarray], colors: Mapping[str, str]) -> Figure:
    """One row of points a model, the first at the top, one point a unit, with the median as a bar.

    Parameters
    ----------
    indices : by label, orientation index of each unit, 0 to 1
    colors : by label, a key of :data:`v1lib.plots.COLORS`
    """
    fig, ax = plt.subplots(figsize=(6.4, 0.6 + 0.4 * len(indices)))
    _rows(ax, indices, colors)
    ax.set(xlim=(0, 1), xlabel="orientation index")
    fig.tight_layout()
    return fig


def plot_orientation_errors(errors: Mapping[str, np.ndarray], colors: Mapping[str, str]) -> Figure:
    """As :func:`plot_indices`, of errors of orientation (deg, 0 to 90), with what chance would give."""
    fig, ax = plt.subplots(figsize=(6.4, 0.7 + 0.4 * len(errors)))
    ax.axvline(CHANCE_DEG, color=COLORS["chance"], lw=1, ls=":")
    ax.set_title("chance", x=(CHANCE_DEG + 1) / 92, color=COLORS["ceiling"], fontsize="small")
    _rows(ax, errors, colors)
    ax.set(xlim=(-1, 91), xticks=range(0, 91, 15), xlabel="error of the preferred orientation (deg)")
    fig.tight_layout()
    return fig


def _rows(ax: plt.Axes, values: Mapping[str, np.ndarray], colors: Mapping[str, str]) -> None:
    jitter = np.random.default_rng(0)
    for place, (label, each) in enumerate(values.items()):
        at = place + jitter.uniform(-0.15, 0.15, np.size(each))
        ax.plot(each, at, "o", ms=4, color=COLORS[colors[label]], mec="white", mew=0.4)
        ax.plot([np.nanmedian(each)] * 2, [place - 0.32, place + 0.32], color=COLORS["planted"], lw=2)
    ax.set(yticks=range(len(values)), yticklabels=list(values), ylim=(len(values) - 0.5, -0.5))


def plot_agreement(spread: np.ndarray, error: np.ndarray, limit: float) -> Figure:
    """Each unit's error of orientation against how far its fits disagree, both deg, with a limit on either.

    Parameters
    ----------
    spread : (unit,) array, largest difference between two fits
    error : (unit,) array, of their mean against what was planted
    limit : deg
    """
    fig, ax = plt.subplots(figsize=(3.6, 3.2))
    ax.axhline(limit, color=COLORS["chance"], lw=1, ls=":")
    ax.axvline(limit, color=COLORS["chance"], lw=1, ls=":")
    ax.plot(spread, error, "o", ms=5, color=COLORS["joint"], mec="white", mew=0.4)
    # Errors run over two decades, and the least of them is smaller than the steps between gratings.
    ax.set_xscale("symlog", linthresh=1)
    ax.set_yscale("symlog", linthresh=1)
    ticks = [0, 1, 3, 10, 30, 90]
    ax.set(xlim=(-0.1, 95), ylim=(-0.1, 95), xlabel="largest difference between fits (deg)")
    ax.set(ylabel="error against the planted one (deg)", xticks=ticks, xticklabels=ticks)
    ax.set(yticks=ticks, yticklabels=ticks)
    ax.minorticks_off()
    fig.tight_layout()
    return fig

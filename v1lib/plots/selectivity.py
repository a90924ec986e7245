"""Figures of selectivity: what two rules call modulated, beside what was planted."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from v1lib.plots.style import COLORS

#: Verdicts in the order of their greys: not, cannot tell, depends.
_GREYS = ListedColormap(["white", "#C8C8C8", "#303030"])


def plot_prevalence(
    rows: Mapping[str, tuple[float, float]], colors: Mapping[str, str], intervals: Mapping[str, np.ndarray]
) -> Figure:
    """Shares of units that are mixed, one row a rule, the first at the top.

    Parameters
    ----------
    rows : by label, the least and the largest share; equal where a rule leaves nothing open
    colors : by label, a key of :data:`v1lib.plots.COLORS`
    intervals : by label, (low, high) over units of the least share and of the largest, shape (2,)
    """
    fig, ax = plt.subplots(figsize=(6.4, 0.7 + 0.4 * len(rows)))
    for place, (label, (low, high)) in enumerate(rows.items()):
        color = COLORS[colors[label]]
        ax.plot(intervals[label], [place, place], color=color, lw=1)
        ax.plot([low, high], [place, place], color=color, lw=5, alpha=0.5, solid_capstyle="butt")
        ax.plot([low, high], [place, place], "o", ms=6, color=color, mec="white")
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5))
    ax.set(xlim=(0, 1), xlabel="share of units called mixed")
    fig.tight_layout()
    return fig


def plot_verdicts(panels: Mapping[str, xr.DataArray]) -> Figure:
    """Units by groups of variables, one panel a rule: black depends, grey cannot tell, white does not.

    Parameters
    ----------
    panels : by label, (unit, group), 1 for depends, 0.5 for cannot tell, 0 for does not depend
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(6.4, 4.2), sharey=True, squeeze=False)
    for ax, (label, values) in zip(axes[0], panels.items(), strict=True):
        ax.pcolormesh(
            values.transpose("unit", "group").values, cmap=_GREYS, vmin=0, vmax=1, edgecolors="0.85", lw=0.4
        )
        ax.set_xticks(np.arange(values.sizes["group"]) + 0.5, values["group"].values, rotation=60, ha="right")
        ax.set(title=label, yticks=[])
    axes[0, 0].set(
        ylabel=f"{next(iter(panels.values())).sizes['unit']} units", ylim=axes[0, 0].get_ylim()[::-1]
    )
    fig.tight_layout()
    return fig


def plot_effects(effect: xr.DataArray, interval: xr.DataArray, planted: np.ndarray, least: float) -> Figure:
    """Effects of one variable on each unit with intervals, in the order of their size.

    Parameters
    ----------
    effect : (unit,), log rate for a standard deviation
    interval : (bound, unit)
    planted : (unit,), whether the unit depends on the variable
    least : effects up to this size count as none; drawn as a band
    """
    there = np.flatnonzero(np.isfinite(effect.values))
    order = there[np.argsort(effect.values[there])]
    fig, ax = plt.subplots(figsize=(6.4, 2.8))
    ax.axhspan(-least, least, color=COLORS["chance"], alpha=0.2, lw=0)
    ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
    low, high = interval.transpose("bound", "unit").values
    for place, unit in enumerate(order):
        color = COLORS["behavior" if planted[unit] else "unit"]
        ax.plot([place, place], [low[unit], high[unit]], color=color, lw=1.4)
        marker = "D" if planted[unit] else "o"
        ax.plot(place, effect.values[unit], marker, ms=5, color=color, mec="white", mew=0.5)
    ax.set(xlabel=f"units (n = {order.size}), by effect", xticks=[], ylabel="effect (log rate / s.d.)")
    fig.tight_layout()
    return fig

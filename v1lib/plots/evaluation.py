"""Figures of how well a model predicts: beside copies, ceilings, chance, and the truth."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from v1lib.plots.style import COLORS, mean_bar


def plot_two_measures(values: dict[str, dict[str, np.ndarray]], kinds: dict[str, str]) -> Figure:
    """One value a unit for each of several predictors, one panel a measure.

    Parameters
    ----------
    values : dict of dict of (unit,) arrays
        By measure, then by predictor, the first at the top; NaN throughout where a measure is not defined.
    kinds : dict
        Entry of :data:`~v1lib.plots.style.COLORS` by predictor.
    """
    fig, axes = plt.subplots(1, len(values), figsize=(6.8, 0.9 + 0.48 * len(kinds)), sharex=True, sharey=True)
    rng = np.random.default_rng(0)
    for ax, (measure, rows) in zip(axes, values.items(), strict=True):
        for place, (name, kind) in enumerate(reversed(kinds.items())):
            r = rows[name][np.isfinite(rows[name])]
            if not r.size:
                ax.text(0.02, place, "not defined", va="center", fontsize="small")
                continue
            ax.plot(r, place + rng.uniform(-0.2, 0.2, r.size), "o", ms=3, color=COLORS[kind], alpha=0.4)
            draws = r[rng.integers(r.size, size=(2000, r.size))].mean(axis=1)
            ax.hlines(place, *np.quantile(draws, [0.025, 0.975]), color=COLORS["mean"], lw=3)
            ax.plot(r.mean(), place, "D", ms=6, color=COLORS["mean"], mec="white")
        ax.axvline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xlabel=measure, ylim=(-0.5, len(kinds) - 0.5))
    axes[0].set(yticks=range(len(kinds)), yticklabels=list(kinds)[::-1])
    fig.tight_layout()
    return fig


def plot_ceilings(score: xr.Dataset, noise: xr.Dataset) -> Figure:
    """Raw r of each unit, in the order of its oracle, beside its oracle and two ceilings.

    Parameters
    ----------
    score : xarray.Dataset
        From :func:`v1lib.score.score` with a truth, of spike counts.
    noise : xarray.Dataset
        From :func:`v1lib.ceiling.noise_ceiling` on the same bins.
    """
    order = np.argsort(-score["oracle_r"].values)
    fig, ax = plt.subplots(figsize=(6.8, 3.4))
    places = np.arange(order.size)
    low, high = noise["r_interval"].values[order].T
    ax.bar(
        places, high - low, 1.0, bottom=low, color=COLORS["ceiling"], alpha=0.2, lw=0, label="noise ceiling"
    )
    ceiling, r = score["ceiling_r"].values[order], score["r"].values[order]
    ax.plot(places, score["oracle_r"][order], "_", ms=11, mew=1.5, color=COLORS["planted"], label="oracle")
    aside = places + 0.22
    ax.vlines(aside, *score["ceiling_r_interval"].values[order].T, color=COLORS["ceiling"], lw=1)
    ax.plot(aside, ceiling, "s", ms=4.5, mfc="white", mec=COLORS["ceiling"], label="Poisson ceiling")
    ax.vlines(places, *score["r_interval"].values[order].T, color=COLORS["joint"], lw=1.5)
    ax.plot(places, r, "o", ms=5, color=COLORS["joint"], mec="white", mew=0.5, label="model")
    ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize="small")
    ax.set(
        xlabel="unit, in the order of its oracle", ylabel="raw r", xticks=[], xlim=(-0.7, order.size - 0.3)
    )
    fig.tight_layout()
    return fig


def plot_null(nulls: dict[str, xr.Dataset], level: float = 0.05) -> Figure:
    """Raw r of each unit on the middle 95 % of its shifted predictions, in the order of r; one panel a run.

    Parameters
    ----------
    nulls : dict
        Results of :func:`v1lib.nulls.circular_shift_null` by what was predicted from.
    level : float
        Units whose q is no larger are filled.
    """
    fig, axes = plt.subplots(1, len(nulls), figsize=(6.8, 3.0), sharey=True)
    for ax, (name, null) in zip(axes, nulls.items(), strict=True):
        order = np.argsort(-null["r"].values)
        places, r = np.arange(order.size), null["r"].values[order]
        bounds = np.quantile(null["null_r"].values[:, order], [0.025, 0.975], axis=0)
        ax.vlines(places, *bounds, color=COLORS["chance"], lw=4, alpha=0.7)
        beyond = null["q"].values[order] <= level
        ax.plot(places[beyond], r[beyond], "o", ms=5, color=COLORS["joint"])
        ax.plot(places[~beyond], r[~beyond], "o", ms=5, mfc="white", mec=COLORS["joint"])
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xticks=[], xlabel="unit, in the order of r")
        ax.set_title(name, fontsize="small")
    axes[0].set(ylabel="raw r")
    fig.tight_layout()
    return fig


def plot_paired(values: dict[str, dict[str, np.ndarray]], ylabels: dict[str, str]) -> Figure:
    """One value a unit under several conditions, one panel a measure, all with the same limits.

    Parameters
    ----------
    values : dict of dict of (unit,) arrays
        By measure, then by condition.
    ylabels : dict
        By measure.
    """
    widths = [len(cases) for cases in values.values()]
    fig, axes = plt.subplots(
        1, len(values), figsize=(6.8, 3.1), squeeze=False, sharey=True, gridspec_kw={"width_ratios": widths}
    )
    for ax, (measure, cases) in zip(axes[0], values.items(), strict=True):
        table, places = np.stack(list(cases.values())), np.arange(len(cases))
        ax.plot(places, table, "o-", ms=3, color=COLORS["unit"], lw=0.5, alpha=0.6)
        for place, row in zip(places, table, strict=True):
            mean_bar(ax, float(place), row)
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xticks=places, ylabel=ylabels[measure], xlim=(-0.4, len(cases) - 0.6))
        ax.set_xticklabels(list(cases), fontsize="small")
    fig.tight_layout()
    return fig


def plot_shift_against_truth(learned: xr.Dataset, true: xr.Dataset, px_deg: float) -> Figure:
    """The learned movement of the frame's middle against the true one, each bin a point.

    Parameters
    ----------
    learned, true : xarray.Dataset
        ``shift_x``, ``shift_y`` (px, right and down) and ``rotation`` (deg, from x towards y) over the bins
        that are shown.
    px_deg : float
        Degrees of a pixel in the middle of the frame, for a second scale.
    """
    panels = (
        ("shift_x", "sideways", "px, right"),
        ("shift_y", "up and down", "px, down"),
        ("rotation", "rotation", "deg, clockwise"),
    )
    fig, axes = plt.subplots(1, 3, figsize=(6.8, 2.9))
    moves = max(
        np.abs(part[name].values).max() for part in (learned, true) for name in ("shift_x", "shift_y")
    )
    turns = max(np.abs(part["rotation"].values).max() for part in (learned, true))
    for ax, (name, title, unit) in zip(axes, panels, strict=True):
        reach = 1.05 * (turns if name == "rotation" else moves)
        made, real = learned[name].values, true[name].values
        ax.plot(real, made, ".", ms=1.5, alpha=0.25, color=COLORS["joint"], rasterized=True)
        ax.axline((0, 0), slope=1, color=COLORS["planted"], lw=1, ls="--")
        ax.set(xlabel=f"true ({unit})", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ticks = (-10, 0, 10) if name == "rotation" else (-5, 0, 5)
        ax.set(xticks=ticks, yticks=ticks)
        if name != "rotation":
            above = ax.secondary_xaxis("top", functions=(lambda px: px * px_deg, lambda deg: deg / px_deg))
            above.tick_params(labelsize="x-small")
            above.set_xlabel(f"{title} (deg)", fontsize="small")
        else:
            ax.set_title(title, fontsize="small")
    axes[0].set(ylabel="learned (px; deg)")
    fig.tight_layout(w_pad=0.5)
    return fig


def plot_missed(fraction: np.ndarray, causes: dict[str, np.ndarray]) -> Figure:
    """The fraction of the oracle that each unit reaches, against each of several of its properties.

    Parameters
    ----------
    fraction : (unit,) array
    causes : dict of (unit,) arrays
        By axis label.
    """
    fig, axes = plt.subplots(1, len(causes), figsize=(6.8, 2.6), sharey=True)
    for ax, (label, values) in zip(axes, causes.items(), strict=True):
        ax.plot(values, fraction, "o", ms=4.5, color=COLORS["joint"], alpha=0.7, mec="none")
        ax.axhline(1, color=COLORS["ceiling"], lw=1, ls="--")
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xlabel=label)
    axes[0].set(ylabel="fraction of oracle", ylim=(min(-0.05, 1.1 * float(fraction.min())), 1.1))
    fig.tight_layout(w_pad=0.4)
    return fig

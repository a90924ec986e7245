"""Figures of real animals: two-photon cortex, head and pupil."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from v1lib.plots.style import COLORS, SIGNED_MAP


def plot_grating(
    session: xr.Dataset, trial: int, times: tuple[float, ...] = (-0.5, 0.0, 0.0625, 0.125)
) -> Figure:
    """Frames of one trial at some trial times (s), with a scale in degrees of visual angle."""
    inside = session.isel(time=session["trial"].values == trial)
    per_pixel = session["frames"].attrs["degrees_per_pixel"]
    height, width = session.sizes["y"] * per_pixel, session.sizes["x"] * per_pixel
    fig, axes = plt.subplots(1, len(times), figsize=(6.4, 1.7), sharey=True)
    for ax, at in zip(axes, times, strict=True):
        frame = inside["frames"].values[np.argmin(np.abs(inside["trial_time"].values - at))]
        extent = (-width / 2, width / 2, -height / 2, height / 2)
        ax.imshow(frame, cmap="gray", vmin=0, vmax=255, extent=extent)
        ax.set(title=f"{1000 * at:.0f} ms", xlabel="deg", xticks=[-40, 0, 40])
    axes[0].set(ylabel="deg")
    fig.tight_layout()
    return fig


def plot_against_ceiling(scores: dict[str, tuple[xr.DataArray, xr.Dataset]]) -> Figure:
    """Each unit's raw r beside the highest r that its repeats allow; one panel an animal.

    Parameters
    ----------
    scores : dict
        By the animal's label: raw r (unit) and the result of :func:`v1lib.repeats.noise_ceiling`.
    """
    fig, axes = plt.subplots(1, len(scores), figsize=(6.4, 3.5), sharex=True, sharey=True, squeeze=False)
    for ax, (animal, (r, ceiling)) in zip(axes[0], scores.items(), strict=True):
        low, high = ceiling["ceiling_interval"].values.T
        ax.hlines(r, low, high, color=COLORS["ceiling"], lw=0.8, alpha=0.4)
        ax.plot(ceiling["ceiling"], r, "o", ms=4, color=COLORS["joint"], mec="white", mew=0.4)
        ax.axline((0, 0), slope=1, color=COLORS["ceiling"], lw=1, ls="--")
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.axvline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(title=f"{animal}, {r.size} units", xlabel="ceiling from repeats (r)", aspect="equal")
    axes[0, 0].set(ylabel="raw r on held-out trials", xlim=(-0.25, 0.85), ylim=(-0.25, 0.85))
    axes[0, 0].text(
        0.5, 0.55, "r = ceiling", rotation=45, ha="center", fontsize="small", color=COLORS["ceiling"]
    )
    fig.tight_layout()
    return fig


def plot_repeats(trials: xr.DataArray, condition: float) -> Figure:
    """All repeats of one condition as one unit answers them, and their mean beside single ones.

    Parameters
    ----------
    trials : xarray.DataArray, dims (trial, sample)
        One unit of :func:`v1lib.repeats.trial_tensor`.
    condition : float
        Direction, degrees.
    """
    chosen = trials.values[trials["condition"].values == condition]
    time = trials["trial_time"].values
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8), gridspec_kw={"width_ratios": [1.2, 1]})
    reach = np.abs(chosen).max()
    extent = (time[0], time[-1], len(chosen) + 0.5, 0.5)
    style = {"cmap": SIGNED_MAP, "vmin": -reach, "vmax": reach, "interpolation": "nearest"}
    image = left.imshow(chosen, aspect="auto", extent=extent, **style)
    left.set(xlabel="time from onset (s)", ylabel="repeat", yticks=[1, len(chosen) // 2, len(chosen)])
    fig.colorbar(image, ax=left, label="fluorescence (as stored)")
    for row in chosen[:4]:
        right.plot(time, row, color=COLORS["chance"], lw=0.8)
    right.plot(time, chosen.mean(axis=0), color=COLORS["average"], lw=2.2)
    right.set(xlabel="time from onset (s)", ylabel="fluorescence (as stored)")
    for ax in (left, right):
        ax.axvline(0, color="black", lw=0.8, ls=":")
    fig.tight_layout()
    return fig


def plot_trial_scores(
    scores: dict[str, xr.Dataset], ceilings: dict[str, float], kinds: dict[str, str]
) -> Figure:
    """Mean raw r of each model with its interval, over its units, beside the mean ceiling; one panel each.

    Parameters
    ----------
    scores : dict of xarray.Dataset
        By the animal's label: results of :func:`v1lib.repeats.score_trials`.
    ceilings : dict of float
        Mean ceiling by the animal's label.
    kinds : dict
        Entry of :data:`COLORS` by the model's name.
    """
    fig, axes = plt.subplots(1, len(scores), figsize=(6.4, 3.0), sharex=True, sharey=True, squeeze=False)
    rng = np.random.default_rng(0)  # only spreads points that would lie on each other
    for ax, (animal, score) in zip(axes[0], scores.items(), strict=True):
        models = [str(model) for model in score["model"].values[::-1]]
        for row, model in enumerate(models):
            one, color = score.sel(model=model), COLORS[kinds[model]]
            spread = row + rng.uniform(-0.22, 0.22, one.sizes["unit"])
            ax.plot(one["r"], spread, ".", ms=4, color=color, alpha=0.6)
            ax.hlines(row, *one["mean_r_interval"].values, color=COLORS["mean"], lw=3)
            ax.plot(one["mean_r"], row, "D", ms=6, color=COLORS["mean"], mec="white")
        ax.axvline(ceilings[animal], color=COLORS["ceiling"], lw=1.2, ls="--")
        place = (ceilings[animal] + 0.015, len(models) - 0.55)
        ax.text(*place, "mean ceiling", fontsize="small", color=COLORS["ceiling"])
        ax.axvline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(title=f"{animal}, {score.sizes['unit']} units", xlabel="raw r on held-out trials")
        ax.set(yticks=range(len(models)), yticklabels=models, ylim=(-0.5, len(models) - 0.3))
    fig.tight_layout()
    return fig


def plot_head_tilt(tilt: xr.Dataset, alone: tuple[np.ndarray, np.ndarray]) -> Figure:
    """Pitch and roll from acceleration alone (thin) and from acceleration and rotation together (thick)."""
    fig, axes = plt.subplots(2, 1, figsize=(6.4, 3.6), sharex=True)
    time = tilt["time"].values - float(tilt["time"][0])
    for ax, name, static in zip(axes, ("pitch", "roll"), alone, strict=True):
        ax.plot(time, static, color=COLORS["chance"], lw=0.8)
        ax.plot(time, tilt[name], color=COLORS["behavior"], lw=1.6)
        ax.set(ylabel=f"{name} (deg)")
    axes[0].set_title("thin: acceleration alone, thick: with rotation", loc="left", fontsize="small")
    axes[1].set(xlabel="time (s)", xlim=(time[0], time[-1]))
    fig.tight_layout()
    return fig


def plot_two_pupils(diameters: dict[str, np.ndarray]) -> Figure:
    """One pupil's diameter (px) by frame as two trackers give it, with gaps where points are missing."""
    fig, axes = plt.subplots(len(diameters), 1, figsize=(6.4, 3.0), sharex=True, sharey=True)
    for ax, (name, diameter) in zip(axes, diameters.items(), strict=True):
        ax.plot(diameter, color=COLORS["behavior"], lw=0.9)
        ax.set(ylabel="diameter (px)", xlim=(0, len(diameter)))
        ax.set_title(name, loc="left", fontsize="small")
    axes[-1].set(xlabel="frame")
    fig.tight_layout()
    return fig

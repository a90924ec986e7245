"""The book's figures, in one style."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v1lib.align import ClockFit, eye_of
from v1lib.recording import Recording
from v1lib.session import BEHAVIOR_UNITS
from v1lib.splits import Splits

#: One colour, one meaning, through the whole book.
COLORS = {
    "vision": "#0072B2",
    "behavior": "#D55E00",
    "joint": "#009E73",
    "paper": "#CC79A7",
    "ceiling": "#444444",
    "chance": "#999999",
    "average": "#E69F00",  # the mean of other trials
    "unit": "#8C8C8C",
    "mean": "#5D3A9B",
    "train": "#D0D0D0",
    "validation": "#F0E442",
    "test": "#56B4E9",
    "planted": "#000000",
}
SIGNED_MAP = "RdBu_r"


def use_style() -> None:
    """Set matplotlib's defaults for the book."""
    plt.rcParams.update(
        {
            "figure.dpi": 120,
            "font.size": 9.5,
            "axes.titlesize": "medium",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "legend.frameon": False,
            "image.interpolation": "nearest",
        }
    )


def plot_streams(recording: Recording, start: float, seconds: float) -> Figure:
    """Some seconds of every stream of a recording, each on its own clock's time stamps (s from t0)."""
    eye, imu, top = eye_of(recording), recording.imu, recording.top
    ratios = [1.9, 1, 1, 1, 1, 1, 2]
    fig, axes = plt.subplots(7, 1, figsize=(6.8, 7.0), gridspec_kw={"height_ratios": ratios})
    time = recording.world["time"].values
    shown = np.searchsorted(time, start + seconds * (np.arange(4) + 0.5) / 4)
    framed = np.pad(recording.world["video"][shown].values, ((0, 0), (0, 0), (1, 1)), constant_values=255)
    strip = np.concatenate(list(framed), axis=1)
    axes[0].imshow(strip, cmap="gray", vmin=0, vmax=255, aspect="auto", extent=(0, seconds, 0, 1))
    axes[0].set(yticks=[], ylabel="head\ncamera")
    axes[0].spines["left"].set_visible(False)
    traces = [
        ("yaw rate\n(deg/s)", imu["time"], imu["gyro"].sel(axis="up"), "behavior"),
        ("theta\n(deg)", eye["time"], eye["theta"], "behavior"),
        ("phi\n(deg)", eye["time"], eye["phi"], "behavior"),
        ("speed\n(cm/s)", top["time"], top["speed"], "behavior"),
        ("pupil\n(px)", eye["time"], eye["pupil"], "behavior"),
    ]
    for ax, (label, at, values, color) in zip(axes[1:6], traces, strict=True):
        inside = (at.values >= start) & (at.values < start + seconds)
        ax.plot(at.values[inside] - start, values.values[inside], color=COLORS[color], lw=1)
        ax.set(ylabel=label)
    for row, unit in enumerate(recording.spikes.keys()):
        spikes = recording.spikes[unit].t
        spikes = spikes[(spikes >= start) & (spikes < start + seconds)] - start
        axes[6].plot(spikes, np.full(spikes.size, row), "|", ms=4, mew=0.8, color="black")
    axes[6].set(
        ylabel="units", yticks=[0, len(recording.spikes) - 1], xlabel="time stamp (s from the start shown)"
    )
    for ax in axes:
        ax.set_xlim(0, seconds)
        if ax is not axes[6]:
            ax.set_xticks([])
            ax.spines["bottom"].set_visible(False)
    fig.align_ylabels()
    fig.tight_layout(h_pad=0.3)
    return fig


def plot_pictures(pictures: dict[str, np.ndarray]) -> Figure:
    """Pictures (y, x) side by side under their names, grey levels 0 to 255."""
    fig, axes = plt.subplots(1, len(pictures), figsize=(6.8, 6.8 / len(pictures) * 0.85))
    for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        ax.set(title=name, xticks=[], yticks=[])
    fig.tight_layout()
    return fig


def plot_against_truth(estimates: dict[str, np.ndarray], truth: np.ndarray, unit: str, lim: tuple) -> Figure:
    """Estimates of one quantity against its planted value, one panel an estimate, the same limits in all."""
    fig, axes = plt.subplots(1, len(estimates), figsize=(6.8, 3.3), sharex=True, sharey=True)
    for ax, (name, estimate) in zip(axes, estimates.items(), strict=True):
        ax.plot(truth, estimate, ".", ms=1.5, alpha=0.25, color=COLORS["behavior"], rasterized=True)
        ax.axline((0, 0), slope=1, color=COLORS["planted"], lw=1, ls="--")
        ax.set(title=name, xlabel=f"true ({unit})", xlim=lim, ylim=lim, aspect="equal")
    axes[0].set(ylabel=f"estimated ({unit})")
    fig.tight_layout()
    return fig


def plot_eye_against_head(
    windows: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> Figure:
    """Eye velocity and minus head velocity (deg/s) by their time stamps; one panel a window.

    Parameters
    ----------
    windows : dict
        By the panel's title: eye time, eye velocity, gyro time, minus gyro (s and deg/s).
    """
    fig, axes = plt.subplots(len(windows), 1, figsize=(6.8, 1.7 * len(windows)), sharey=True)
    for ax, (title, (eye_time, eye, gyro_time, gyro)) in zip(axes, windows.items(), strict=True):
        ax.plot(
            gyro_time, gyro, color=COLORS["ceiling"], lw=1.6, label="minus the head's yaw rate (ephys clock)"
        )
        ax.plot(eye_time, eye, color=COLORS["behavior"], lw=1.2, label="the eye's velocity (camera clock)")
        ax.set_title(title, loc="left", fontsize="small")
        ax.set(ylabel="deg/s", xlim=(gyro_time[0], gyro_time[-1]), ylim=(-320, 320))
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.08), fontsize="small", ncols=2)
    axes[-1].set(xlabel="time stamp (s)")
    fig.tight_layout()
    return fig


def angle_ticks(ax: Axes, shape: tuple[int, int], field_of_view_deg: float) -> None:
    """Ticks in degrees on the axes of a pinhole picture (y, x), which is drawn in pixels."""
    focal = shape[1] / 2 / np.tan(np.deg2rad(field_of_view_deg / 2))
    middle = [(size - 1) / 2 for size in shape]
    across, upward = np.array([-40, -20, 0, 20, 40]), np.array([-30, -15, 0, 15, 30])
    ax.set_xticks(middle[1] + focal * np.tan(np.deg2rad(across)), across)
    ax.set_yticks(middle[0] - focal * np.tan(np.deg2rad(upward)), upward)
    ax.set(xlabel="deg", xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))


def plot_receptive_fields(fields: dict[str, np.ndarray], field_of_view_deg: float) -> Figure:
    """Fields (y, x) of one unit side by side, each scaled to its own extreme; red: light excites."""
    fig, axes = plt.subplots(1, len(fields), figsize=(6.8, 2.0), sharey=True)
    for ax, (name, field) in zip(axes, fields.items(), strict=True):
        reach = np.abs(field).max()
        ax.imshow(field, cmap=SIGNED_MAP, vmin=-reach, vmax=reach)
        ax.set_title(name, fontsize="small")
        angle_ticks(ax, field.shape, field_of_view_deg)
    axes[0].set(ylabel="deg")
    fig.tight_layout()
    return fig


def _mean_bar(ax: Axes, place: float, values: np.ndarray) -> None:
    """Mean of one value a unit, with its 95 % bootstrap interval over units, as a diamond on a bar."""
    rng = np.random.default_rng(0)
    draws = values[rng.integers(values.size, size=(2000, values.size))].mean(axis=1)
    ax.plot([place, place], np.quantile(draws, [0.025, 0.975]), color=COLORS["mean"], lw=3)
    ax.plot(place, values.mean(), "D", ms=6, color=COLORS["mean"], mec="white")


def plot_units_by_condition(values: dict[str, np.ndarray], ylabel: str) -> Figure:
    """One value a unit under several conditions: points for units, thin lines join them, bars are means."""
    fig, ax = plt.subplots(figsize=(5.6, 3.0))
    table = np.stack(list(values.values()))
    places = np.arange(len(table))
    ax.plot(places, table, "o-", ms=3, color=COLORS["unit"], lw=0.5, alpha=0.6)
    for place, row in enumerate(table):
        _mean_bar(ax, place, row)
    ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
    ax.set(xticks=places, xticklabels=list(values), ylabel=ylabel, xlim=(-0.4, len(table) - 0.6))
    fig.tight_layout()
    return fig


def plot_leaks(scores: dict[str, dict[str, np.ndarray]]) -> Figure:
    """r of a copying predictor, a value a unit: one panel a kind of r, one column a case.

    Parameters
    ----------
    scores : dict of dict
        By kind of r, then by case; a case whose r is not defined (NaN) says so in its column.
    """
    fig, axes = plt.subplots(1, len(scores), figsize=(6.8, 3.0), sharey=True)
    rng = np.random.default_rng(0)
    for ax, (kind, cases) in zip(axes, scores.items(), strict=True):
        for place, row in enumerate(cases.values()):
            if np.isnan(row).all():
                ax.text(place, 0.04, "no r:\na constant", ha="center", fontsize="x-small")
                continue
            spread = place + rng.uniform(-0.15, 0.15, row.size)
            ax.plot(spread, row, "o", ms=3, color=COLORS["unit"], alpha=0.6)
            _mean_bar(ax, place, row)
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xticks=range(len(cases)), title=kind, xlim=(-0.6, len(cases) - 0.4))
        ax.set_xticklabels([case.replace(", ", "\n") for case in cases], fontsize="x-small")
    axes[0].set(ylabel="r of a copy of other bins")
    fig.tight_layout()
    return fig


def plot_lags(centers: np.ndarray, lags: np.ndarray, fitted: ClockFit, planted: ClockFit) -> Figure:
    """Lag of each one-minute window (points), the fitted clock (line) and the planted one (dashed), ms."""
    fig, ax = plt.subplots(figsize=(5.6, 3.0))
    ax.plot(centers / 60, 1000 * lags, "o", ms=4, color=COLORS["behavior"])
    for clock, color, line in ((fitted, COLORS["behavior"], "-"), (planted, COLORS["planted"], "--")):
        ax.plot(centers / 60, 1000 * (clock.to_ephys(centers) - centers), color=color, lw=1.3, ls=line)
    ax.set(xlabel="time on the camera clock (min)", ylabel="ephys clock ahead by (ms)", ylim=(0, None))
    fig.tight_layout()
    return fig


def plot_clock_errors(errors: pd.DataFrame) -> Figure:
    """Errors of offset (ms) and drift (ppm) of many recordings with their 95 % intervals, one row each."""
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.2), sharey=True)
    rows = np.arange(len(errors))
    for ax, name, unit in zip(axes, ("offset", "drift"), ("ms", "ppm"), strict=True):
        ax.errorbar(
            errors[f"{name}_error"],
            rows,
            xerr=1.96 * errors[f"{name}_se"],
            fmt="o",
            ms=3.5,
            lw=1,
            color=COLORS["behavior"],
        )
        ax.axvline(0, color=COLORS["planted"], lw=1, ls="--")
        reach = 1.1 * float((errors[f"{name}_error"].abs() + 2 * errors[f"{name}_se"]).max())
        ax.set(xlabel=f"{name}, estimated minus planted ({unit})", xlim=(-reach, reach))
    axes[0].set(ylabel="recording", yticks=[0, len(errors) - 1])
    fig.tight_layout()
    return fig


def plot_splits(splits: dict[str, Splits], bin_width_s: float) -> Figure:
    """Which time belongs to which part, one row a protocol."""
    fig, ax = plt.subplots(figsize=(6.8, 0.7 + 0.5 * len(splits)))
    parts = ("train", "validation", "test")
    for row, one in enumerate(splits.values()):
        for part in parts:
            spans = [(a * bin_width_s / 60, (b - a) * bin_width_s / 60) for a, b in one.ranges(part)]
            ax.broken_barh(spans, (row - 0.35, 0.7), facecolor=COLORS[part], lw=0)
    for part in parts:
        ax.plot([], [], "s", color=COLORS[part], label=part)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.55 / len(splits)), ncols=3, fontsize="small")
    ax.set(
        yticks=range(len(splits)),
        yticklabels=list(splits),
        xlabel="time (min)",
        ylim=(len(splits) - 0.5, -0.5),
    )
    ax.spines["left"].set_visible(False)
    fig.tight_layout()
    return fig


def plot_behavior(session: xr.Dataset, seconds: float = 60.0) -> Figure:
    """Each behaviour variable over some seconds, and its distribution over the session."""
    names = [str(name) for name in session["variable"].values]
    fig, axes = plt.subplots(
        len(names), 2, figsize=(6.8, 1.05 * len(names)), gridspec_kw={"width_ratios": [4, 1]}, sharey="row"
    )
    shown = session["time"].values < seconds
    for (trace, histogram), name in zip(axes, names, strict=True):
        values = session["behavior"].sel(variable=name).values
        trace.plot(session["time"].values[shown], values[shown], color=COLORS["behavior"], lw=0.9)
        histogram.hist(
            values[np.isfinite(values)], bins=40, orientation="horizontal", color=COLORS["behavior"]
        )
        unit = session.attrs.get("pupil_unit", "px") if name == "pupil" else BEHAVIOR_UNITS[name]
        trace.set(ylabel=f"{name}\n({unit})", xlim=(0, seconds))
        histogram.set(xticks=[])
        for ax in (trace, histogram):
            if name != names[-1]:
                ax.tick_params(labelbottom=False)
    axes[-1, 0].set(xlabel="time (s)")
    axes[-1, 1].set(xlabel="bins")
    fig.align_ylabels(axes[:, 0])
    fig.tight_layout(h_pad=0.4)
    return fig


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


#: What the four models of one session are drawn in: entry of COLORS and marker by the model's name.
MODEL_STYLES = {
    "full": ("joint", "o"),
    "vision only": ("vision", "s"),
    "behaviour only": ("behavior", "^"),
    "no shifter": ("joint", "D"),
}


def plot_gaze_correction(
    pictures: dict[str, np.ndarray], titles: list[str], field_of_view_deg: float
) -> Figure:
    """Frames on their way to the retina: one row a kind of picture, one column a bin, grey by one scale.

    Parameters
    ----------
    pictures : dict of (bin, y, x) arrays
        By the row's label; standard deviations of the training frames.
    titles : list of str
        One a bin.
    field_of_view_deg : float
        Width of a picture.
    """
    size = (6.8, 1.15 * len(pictures) + 0.5)
    fig, axes = plt.subplots(len(pictures), len(titles), figsize=size, sharex=True, sharey=True)
    for row, (name, stack) in zip(axes, pictures.items(), strict=True):
        for ax, picture in zip(row, stack, strict=True):
            ax.imshow(picture, cmap="gray", vmin=-2, vmax=2)
            ax.axhline((picture.shape[0] - 1) / 2, color="white", lw=0.7)
            ax.axvline((picture.shape[1] - 1) / 2, color="white", lw=0.7)
            angle_ticks(ax, picture.shape, field_of_view_deg)
            ax.tick_params(labelsize="x-small")
            ax.set_xlabel("")
        row[0].set_ylabel(f"{name}\n(deg)", fontsize="small")
    for top, bottom, title in zip(axes[0], axes[-1], titles, strict=True):
        top.set_title(title, fontsize="small")
        bottom.set_xlabel("deg")
    fig.tight_layout(h_pad=0.3, w_pad=0.3)
    return fig


def plot_maps(frame: np.ndarray, maps: np.ndarray, kernels: np.ndarray, shown: int = 6) -> Figure:
    """A frame, and what the first kernels make of it: kernel above, map below.

    Parameters
    ----------
    frame : (y, x) array
    maps : (channel, map_y, map_x) array
    kernels : (channel, y, x) array
    shown : int
        Channels with the strongest maps that are drawn.
    """
    strongest = np.argsort(-maps.std(axis=(1, 2)))[:shown]
    fig = plt.figure(figsize=(6.8, 2.0))
    grid = fig.add_gridspec(2, shown + 2)
    ax = fig.add_subplot(grid[:, :2])
    ax.imshow(frame, cmap="gray", vmin=-2, vmax=2)
    ax.set(xticks=[], yticks=[], xlabel="shifted frame")
    for column, channel in enumerate(strongest, start=2):
        above, below = fig.add_subplot(grid[0, column]), fig.add_subplot(grid[1, column])
        reach = np.abs(kernels[channel]).max()
        above.imshow(kernels[channel], cmap=SIGNED_MAP, vmin=-reach, vmax=reach)
        below.imshow(maps[channel], cmap="gray", vmin=0, vmax=np.quantile(maps[channel], 0.99))
        for panel in (above, below):
            panel.set(xticks=[], yticks=[])
        if column == 2:
            above.set_ylabel("kernel")
            below.set_ylabel("map")
    fig.tight_layout(w_pad=0.4)
    return fig


def plot_fusion(time: np.ndarray, parts: dict[str, np.ndarray], rates: dict[str, np.ndarray]) -> Figure:
    """One unit over some seconds: what sees, what behaves, their product, and the rate beside the counts.

    Parameters
    ----------
    time : (bin,) array, s
    parts : dict with ``v``, ``b`` and ``vb``
    rates : dict with ``counts``, ``predicted`` and ``true``, spikes a bin
    """
    fig, axes = plt.subplots(
        4, 1, figsize=(6.8, 4.6), sharex=True, gridspec_kw={"height_ratios": [1, 1, 1, 1.6]}
    )
    for ax, (name, label, color) in zip(
        axes, (("v", "v", "vision"), ("b", "b", "behavior"), ("vb", "v·b", "joint")), strict=False
    ):
        ax.plot(time, parts[name], color=COLORS[color], lw=1.2)
        ax.axhline(0, color=COLORS["chance"], lw=0.8, ls=":")
        ax.set(ylabel=label)
    last = axes[-1]
    last.vlines(time, 0, rates["counts"], color=COLORS["chance"], lw=1.5, label="spikes counted")
    last.plot(time, rates["true"], color=COLORS["planted"], lw=1.2, ls="--", label="true rate")
    last.plot(time, rates["predicted"], color=COLORS["joint"], lw=1.6, label="predicted rate")
    last.legend(loc="upper right", fontsize="small", ncols=3, bbox_to_anchor=(1, 1.28))
    last.set(xlabel="time (s)", ylabel="spikes a bin", xlim=(time[0], time[-1]), ylim=(0, None))
    fig.align_ylabels(axes)
    fig.tight_layout(h_pad=0.3)
    return fig


def plot_histories(histories: dict[str, pd.DataFrame]) -> Figure:
    """Training (thin, dashed) and validation loss by epoch; one panel a model, the best epoch marked."""
    fig, axes = plt.subplots(1, len(histories), figsize=(6.8, 2.5), sharey=True)
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        color, best = COLORS[MODEL_STYLES[name][0]], history["validation_loss"].idxmin()
        ax.plot(history["train_loss"], color=color, lw=1, ls="--")
        ax.plot(history["validation_loss"], color=color, lw=1.8)
        ax.plot(best, history["validation_loss"][best], "o", color=color, mec="white", ms=7)
        ax.set_title(name, fontsize="small")
        ax.set(xlabel="epoch")
    axes[0].set(ylabel="loss (nats a bin and unit)")
    axes[0].set_title("full (dashed: training)", fontsize="small")
    fig.tight_layout(w_pad=0.4)
    return fig


def plot_model_scores(scores: dict[str, xr.Dataset], seed: int = 0) -> Figure:
    """Raw and smoothed r of each model: points are units, bars the mean's interval, dashed the oracle.

    Parameters
    ----------
    scores : dict
        By the model's name (:data:`MODEL_STYLES`): results of :func:`v1lib.score.score` with a truth.
    seed : int
        Only spreads points that would lie on each other.
    """
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.8), sharex=True, sharey=True)
    names = list(scores)[::-1]
    rng = np.random.default_rng(seed)
    for ax, metric, label in zip(axes, ("r", "r_smooth"), ("raw r", "smoothed r (2 s)"), strict=True):
        for row, name in enumerate(names):
            score, (kind, marker) = scores[name], MODEL_STYLES[name]
            color = COLORS[kind]
            spread = row + rng.uniform(-0.22, 0.22, score.sizes["unit"])
            ax.plot(score[metric], spread, ".", ms=4, color=color, alpha=0.35)
            ax.hlines(row, *score[f"mean_{metric}_interval"].values, color=color, lw=3)
            face = "white" if name == "no shifter" else color
            ax.plot(score[f"mean_{metric}"], row, marker, ms=7, color=face, mec=color)
        oracle = float(scores[names[0]][f"mean_oracle_{metric}"])
        ax.axvline(oracle, color=COLORS["ceiling"], lw=1.2, ls="--")
        ax.text(
            oracle - 0.02, len(names) - 0.45, "oracle", ha="right", fontsize="small", color=COLORS["ceiling"]
        )
        ax.axvline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.2), xlabel=label)
    axes[0].set(xlim=(-0.1, 1.0))
    fig.tight_layout()
    return fig


def plot_differences(differences: dict[str, xr.Dataset]) -> Figure:
    """Difference of raw r, full model minus another: points are units, bars the mean's interval."""
    fig, ax = plt.subplots(figsize=(6.8, 0.8 + 0.5 * len(differences)))
    rng = np.random.default_rng(0)
    names = list(differences)[::-1]
    for row, name in enumerate(names):
        one = differences[name]
        spread = row + rng.uniform(-0.2, 0.2, one.sizes["unit"])
        ax.plot(one["difference"], spread, "o", ms=3, color=COLORS["unit"], alpha=0.6)
        ax.hlines(row, *one["mean_difference_interval"].values, color=COLORS["mean"], lw=3)
        ax.plot(one["mean_difference"], row, "D", ms=6, color=COLORS["mean"], mec="white")
    ax.axvline(0, color=COLORS["chance"], lw=1.2, ls=":")
    ax.set(
        yticks=range(len(names)),
        yticklabels=[f"minus {name}" for name in names],
        ylim=(-0.5, len(names) - 0.5),
    )
    ax.set(xlabel="raw r of the full model minus raw r of another")
    fig.tight_layout()
    return fig


def plot_learned_shift(learned: xr.Dataset, truth: xr.Dataset) -> Figure:
    """The shifter's output against the true movement of the retinal image, each bin a point.

    Parameters
    ----------
    learned : xarray.Dataset
        From :func:`v1lib.interpret.inside.learned_shift`.
    truth : xarray.Dataset
        From :func:`v1lib.simulate.bin_truth`.
    """
    panels = (
        ("shift_x", "px to the right", 9),
        ("shift_y", "px downwards", 9),
        ("rotation", "deg clockwise", 22),
    )
    fig, axes = plt.subplots(1, 3, figsize=(6.8, 2.6))
    for ax, (name, unit, reach) in zip(axes, panels, strict=True):
        ax.plot(
            truth[f"retinal_{name}"],
            learned[name],
            ".",
            ms=1.2,
            alpha=0.2,
            color=COLORS["joint"],
            rasterized=True,
        )
        ax.axline((0, 0), slope=1, color=COLORS["planted"], lw=1, ls="--")
        ax.set(xlabel=f"true ({unit})", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set_title(
            {"shift_x": "sideways", "shift_y": "up and down", "rotation": "rotation"}[name], fontsize="small"
        )
    axes[0].set(ylabel="learned")
    fig.tight_layout(w_pad=0.5)
    return fig

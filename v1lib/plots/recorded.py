"""Figures of what was recorded: streams, clocks, fields, the data set and its leaks."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from v1lib.align import ClockFit, eye_of
from v1lib.errors import InputError
from v1lib.plots.style import COLORS, SIGNED_MAP, angle_ticks, mean_bar
from v1lib.recording import Recording
from v1lib.session import BEHAVIOR_UNITS
from v1lib.splits import Splits


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


def plot_gaze(time: np.ndarray, traces: dict[str, np.ndarray], rates: np.ndarray, eye: np.ndarray) -> Figure:
    """Head, eye and gaze over some seconds, and how fast head and eye move.

    Parameters
    ----------
    time : (n,) array
        s.
    traces : dict
        ``head``, ``eye`` and ``gaze``, their sum, (n,) in deg.
    rates, eye : arrays
        Yaw rate of the head and velocity of the eye over the whole recording, deg/s.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.9), gridspec_kw={"width_ratios": [1.9, 1]})
    styles = {"head": (COLORS["ceiling"], "--"), "eye": (COLORS["behavior"], "-"), "gaze": ("black", "-")}
    for name, values in traces.items():
        color, line = styles[name]
        left.plot(time, values, color=color, ls=line, lw=2 if name == "gaze" else 1.2)
        left.annotate(
            f" {name}",
            (time[-1], values[-1]),
            color=color,
            va="center",
            fontsize="small",
            annotation_clip=False,
        )
    left.set(xlabel="time (s)", ylabel="to the animal's left (deg)", xlim=(time[0], time[-1]))
    edges = np.arange(-500, 501, 20.0)
    middle = 0.5 * (edges[1:] + edges[:-1])
    for values, name in ((rates, "head"), (eye, "eye")):
        density = np.histogram(values[np.isfinite(values)], edges, density=True)[0]
        density = np.where(density > 0, density, np.nan)
        right.plot(middle, density, color=styles[name][0], ls=styles[name][1], lw=1.3, label=name)
    spread = np.nanstd(rates)
    normal = np.exp(-0.5 * (middle / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    right.plot(middle, normal, color=COLORS["chance"], ls=":", lw=1.3, label="normal")
    right.set(xlabel="velocity (deg/s)", ylabel="density (s/deg)", yscale="log", ylim=(1e-6, 0.1))
    right.legend(fontsize="x-small", loc="upper right", handlelength=1.4)
    fig.tight_layout()
    return fig


def plot_spectra(spectra: dict[str, xr.DataArray]) -> Figure:
    """Power of pictures by spatial frequency, each scaled to 1 at its lowest, beside 1 / frequency².

    One to three spectra.
    """
    if not 1 <= len(spectra) <= 3:
        raise InputError("plot_spectra", "spectra", "one to three", str(len(spectra)))
    fig, ax = plt.subplots(figsize=(4.6, 3.2))
    looks = [(COLORS["vision"], "o-"), (COLORS["ceiling"], "s--"), (COLORS["average"], "^-.")]
    for (name, spectrum), (color, look) in zip(spectra.items(), looks[: len(spectra)], strict=True):
        at = spectrum["frequency"].values
        ax.loglog(at, spectrum / spectrum[0], look, color=color, ms=3.5, lw=1.2, label=name)
    at = np.array([min(float(spectrum["frequency"][0]) for spectrum in spectra.values()), 0.5])
    ax.loglog(at, (at / at[0]) ** -2, color=COLORS["chance"], ls=":", lw=1.3, label="1 / frequency²")
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5) if tick >= at[0]]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="spatial frequency (cycles/px)", ylabel="power (relative)")
    ax.legend(fontsize="small")
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
    agreement: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Figure:
    """Eye velocity and minus head velocity (deg/s) by their time stamps, and their correlation by lag.

    Parameters
    ----------
    windows : dict
        By the row's title: eye time, eye velocity, gyro time, minus gyro (s and deg/s).
    agreement : dict
        By the same titles: lags (s) and the correlation of the two at each.
    """
    fig, axes = plt.subplots(
        len(windows), 2, figsize=(6.8, 1.8 * len(windows)), sharey="col", gridspec_kw={"width_ratios": [2, 1]}
    )
    for (ax, side), (title, (eye_time, eye, gyro_time, gyro)) in zip(axes, windows.items(), strict=True):
        ax.plot(gyro_time, gyro, color=COLORS["ceiling"], lw=1.6, label="minus the head's yaw rate")
        ax.plot(eye_time, eye, color=COLORS["behavior"], lw=1.2, label="the eye's velocity")
        ax.set_title(title, loc="left", fontsize="small")
        ax.set(ylabel="deg/s", xlim=(gyro_time[0], gyro_time[-1]), ylim=(-230, 230))
        ax.locator_params(axis="x", nbins=5)
        lags, r = agreement[title]
        side.plot(lags, r, color="black", lw=1.3)
        if np.isfinite(r).any():
            best = lags[int(np.nanargmax(r))]
            side.axvline(best, color=COLORS["behavior"], lw=1, ls="--")
            side.annotate(f" {1000 * best:.0f} ms", (best, 0.02), fontsize="small", color=COLORS["behavior"])
        side.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        side.set(ylabel="correlation", xlim=(lags[0], lags[-1]))
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.08), fontsize="small", ncols=2)
    axes[-1, 0].set(xlabel="time stamp (s)")
    axes[-1, 1].set(xlabel="head taken back by (s)")
    fig.tight_layout()
    return fig


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


def plot_lags(centers: np.ndarray, lags: np.ndarray, clocks: dict[str, ClockFit]) -> Figure:
    """Lag of each one-minute window (points) and of clocks (lines), ms.

    Parameters
    ----------
    centers, lags : (window,) arrays
        s, from :func:`v1lib.align.windowed_lags`.
    clocks : dict
        By ``fitted``, ``planted`` or ``straight line``.
    """
    looks = {
        "fitted": (COLORS["behavior"], "-"),
        "planted": (COLORS["planted"], "--"),
        "straight line": (COLORS["chance"], ":"),
    }
    fig, ax = plt.subplots(figsize=(5.6, 3.0))
    ax.plot(centers / 60, 1000 * lags, "o", ms=4, color=COLORS["behavior"])
    fine = np.linspace(centers[0], centers[-1], 600)
    for name, clock in clocks.items():
        color, line = looks[name]
        ax.plot(fine / 60, 1000 * (clock.to_ephys(fine) - fine), color=color, lw=1.5, ls=line, label=name)
    ax.set(xlabel="time on the camera clock (min)", ylabel="ephys clock ahead by (ms)")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.0), max(high, 0.0))
    ax.legend(fontsize="small")
    fig.tight_layout()
    return fig


def plot_alignment_quality(residuals: xr.Dataset, session: xr.Dataset) -> Figure:
    """What an alignment leaves over in each minute: lag, agreement, tracking, and bins kept.

    Jumps of the clock are lines in the upper panel.

    Parameters
    ----------
    residuals : xarray.Dataset
        From :func:`v1lib.align.clocks.clock_residuals`.
    session : xarray.Dataset
    """
    fig, axes = plt.subplots(4, 1, figsize=(6.8, 5.4), sharex=True, height_ratios=[1.6, 1, 1, 0.8])
    at, bin_ms = residuals["window"].values / 60, 1000 * session.attrs["bin_width_s"]
    look = {"fmt": "o", "ms": 2.5, "lw": 1.4, "color": COLORS["behavior"]}
    lag, error = 1000 * residuals["lag"].values, 1000 * residuals["lag_se"].values
    axes[0].axhspan(-bin_ms / 10, bin_ms / 10, color=COLORS["train"], alpha=0.5, lw=0)
    axes[0].errorbar(at, lag, yerr=1.96 * error, **look)
    reach = max(0.2 * bin_ms, 1.15 * float(np.nanmax(np.abs(lag) + 2 * error, initial=0.0)))
    for side in (-1, 1):
        axes[0].axhline(side * bin_ms / 2, color=COLORS["chance"], lw=1, ls=":")
    axes[0].axhline(0, color=COLORS["ceiling"], lw=1, ls="--")
    axes[0].set(ylabel="lag left\n(ms)", ylim=(-reach, reach))
    for place, size in _jumps_of(session):
        axes[0].axvline(place / 60, color=COLORS["planted"], lw=0.8)
        axes[0].annotate(
            f" {1000 * size:+.0f} ms",
            (place / 60, 0.98),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize="x-small",
            color=COLORS["planted"],
        )
    axes[1].plot(at, residuals["r"], "o-", ms=4, lw=0.8, color=COLORS["behavior"])
    axes[1].axhline(0.4, color=COLORS["chance"], lw=1, ls=":")
    axes[1].set(ylabel="eye against\nhead (r)", ylim=(0, 1.02))
    axes[2].plot(at, 100 * residuals["used"], "o-", ms=4, lw=0.8, color=COLORS["behavior"])
    axes[2].set(ylabel="steps\nused (%)", ylim=(0, 102))
    minute = (session["time"].values + session.attrs["start_s"]) / 60
    width = session.attrs["bin_width_s"] / 60
    begin, stop = minute[0] - width / 2, minute[-1] + width / 2
    # The last is of half a minute to one and a half, and ends with the session.
    whole = np.append(begin + np.arange(max(round(stop - begin), 1)), stop)
    kept = np.histogram(minute, whole)[0] * width / np.diff(whole)
    axes[3].step(
        whole, 100 * np.minimum(np.append(kept, kept[-1]), 1), where="post", color=COLORS["ceiling"], lw=1.2
    )
    axes[3].set(ylabel="bins\nkept (%)", ylim=(0, 105), xlabel="time on the camera clock (min)")
    fig.align_ylabels()
    fig.tight_layout(h_pad=0.4)
    return fig


def _jumps_of(session: xr.Dataset) -> list[tuple[float, float]]:
    """Middle (s, camera clock) and size (s) of each jump that the session's attributes tell of."""
    said = np.atleast_1d(session.attrs.get("clock_jumps", "none")).tolist()
    jumps = []
    for text in [] if said == ["none"] else said:
        found = re.fullmatch(r"([+-][\d.]+) s \(se \S+ s\) between (-?[\d.]+) and (-?[\d.]+) s", text)
        if found is None:
            expected = "jumps as align writes them, '<size> s (se <se> s) between <after> and <before> s'"
            raise InputError("session", "attribute clock_jumps", expected, repr(text))
        size, after, before = (float(number) for number in found.groups())
        jumps.append((0.5 * (after + before), size))
    return jumps


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


def plot_units_by_condition(values: dict[str, np.ndarray], ylabel: str) -> Figure:
    """One value a unit under several conditions: points for units, thin lines join them, bars are means."""
    fig, ax = plt.subplots(figsize=(5.6, 3.0))
    table = np.stack(list(values.values()))
    places = np.arange(len(table))
    ax.plot(places, table, "o-", ms=3, color=COLORS["unit"], lw=0.5, alpha=0.6)
    for place, row in enumerate(table):
        mean_bar(ax, place, row)
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
            mean_bar(ax, place, row)
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xticks=range(len(cases)), title=kind, xlim=(-0.6, len(cases) - 0.4))
        ax.set_xticklabels([case.replace(", ", "\n") for case in cases], fontsize="x-small")
    axes[0].set(ylabel="r of a copy of other bins")
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


def plot_planted(truth: xr.Dataset) -> Figure:
    """How behaviour variables go together, and which of them each planted unit depends on.

    Parameters
    ----------
    truth : xarray.Dataset
        From :func:`v1lib.simulate.load_truth`.
    """
    names = [str(name) for name in truth["variable"].values]
    n_units, places = truth.sizes["unit"], np.arange(len(names))
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(6.8, 1.4 + 0.14 * n_units), gridspec_kw={"width_ratios": [1, 1.15]}
    )
    correlation = truth["behavior_correlation"].values
    left.imshow(correlation, cmap=SIGNED_MAP, vmin=-1, vmax=1)
    for row in places:
        for column in places:
            value = correlation[row, column]
            dark = "white" if abs(value) > 0.6 else "black"
            left.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize="x-small", color=dark)
    left.set(xticks=places, yticks=places, yticklabels=names)
    left.set_xticklabels(names, rotation=45, ha="right")
    left.set_title("correlation", fontsize="small")
    rows = np.arange(n_units)
    for kind, marker, shift in (("gain_weight", "o", -0.17), ("offset_weight", "s", 0.17)):
        unit, variable = np.nonzero(truth[kind].values)
        weights = truth[kind].values[unit, variable]
        look = {"cmap": SIGNED_MAP, "vmin": -1, "vmax": 1, "edgecolor": "black", "linewidth": 0.5}
        drawn = right.scatter(variable + shift, unit, c=weights, marker=marker, s=26, **look)
    # An eye-position unit depends on both angles by a field, which has no weight and no sign.
    unit, variable = np.nonzero(
        truth["depends_on"].values & (truth["gain_weight"].values == 0) & (truth["offset_weight"].values == 0)
    )
    right.scatter(variable, unit, facecolor="none", edgecolor="black", marker="D", s=26, linewidth=0.8)
    fig.colorbar(drawn, ax=right, label="weight per spread of the variable", shrink=0.5)
    right.set(xticks=places, yticks=rows, ylim=(n_units - 0.5, -0.5), xlim=(-0.5, len(names) - 0.5))
    right.set_xticklabels(names, rotation=45, ha="right")
    right.set_yticklabels(truth["formula"].values, fontsize="xx-small")
    right.grid(color=COLORS["train"], lw=0.4)
    right.set_axisbelow(True)
    right.set_title("gain (circle), offset (square), field (diamond)", fontsize="small")
    fig.tight_layout()
    return fig

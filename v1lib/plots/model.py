"""Figures of the model of V1: its parts, its training, its scores."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from v1lib.plots.style import COLORS, SIGNED_MAP, angle_ticks

#: What the models of one session are drawn in: entry of COLORS and marker by the model's name.
MODEL_STYLES = {
    "full": ("paper", "o"),
    "vision only": ("vision", "s"),
    "behaviour only": ("behavior", "^"),
    "no shifter": ("paper", "D"),
    "own model": ("joint", "P"),
    "own, no shifter": ("joint", "X"),
}
#: Drawn open, to be told from the models with a shifter.
_OPEN = ("no shifter", "own, no shifter")


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

    def draw(ax: Axes, picture: np.ndarray) -> None:
        ax.imshow(picture, cmap="gray", vmin=-2, vmax=2)
        ax.axhline((picture.shape[0] - 1) / 2, color="white", lw=0.7)
        ax.axvline((picture.shape[1] - 1) / 2, color="white", lw=0.7)

    return _grid_in_degrees(pictures, titles, field_of_view_deg, 1.15, draw)


def _grid_in_degrees(
    rows: dict[str, np.ndarray],
    titles: list[str],
    field_of_view_deg: float,
    row_height: float,
    draw: Callable[[Axes, np.ndarray], None],
) -> Figure:
    """Pictures of the visual field, a named row each, a titled column each, with angles on the outer axes."""
    size = (6.8, row_height * len(rows) + 0.5)
    fig, axes = plt.subplots(len(rows), len(titles), figsize=size, sharex=True, sharey=True, squeeze=False)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            draw(ax, picture)
            angle_ticks(ax, picture.shape, field_of_view_deg)
            ax.tick_params(labelsize="x-small")
            ax.set_xlabel("")
        row[0].set_ylabel(f"{name}\n(deg)", fontsize="small")
    for top, bottom, title in zip(axes[0], axes[-1], titles, strict=True):
        top.set_title(title, fontsize="small")
        bottom.set_xlabel("deg")
    fig.tight_layout(h_pad=0.3, w_pad=0.3)
    return fig


def plot_maps(frame: np.ndarray, maps: np.ndarray, kernels: dict[str, np.ndarray], shown: int = 6) -> Figure:
    """A frame, and what the first kernels make of it: a row for each kind of kernel, the maps below.

    Kernels share one scale around zero, which a bar gives (red: positive); maps share another, from zero.

    Parameters
    ----------
    frame : (y, x) array
    maps : (channel, map_y, map_x) array
    kernels : dict of (channel, y, x) arrays
        By the row's label, such as before training and after it.
    shown : int
        Channels with the strongest maps that are drawn.
    """
    strongest = np.argsort(-maps.std(axis=(1, 2)))[:shown]
    reach = max(float(np.abs(kind[strongest]).max()) for kind in kernels.values())
    brightest = np.quantile(maps[strongest], 0.99)
    fig = plt.figure(figsize=(6.8, 0.85 * len(kernels) + 1.0), layout="constrained")
    beside, panels = fig.subfigures(1, 2, squeeze=False, width_ratios=[2, shown])[0]
    left = beside.add_subplot()
    left.imshow(frame, cmap="gray", vmin=-2, vmax=2)
    left.set(xticks=[], yticks=[], xlabel="moved frame")
    for row, (name, kind) in enumerate([*kernels.items(), ("map", maps)]):
        is_map = row == len(kernels)
        for column, channel in enumerate(strongest):
            ax = panels.add_subplot(len(kernels) + 1, shown, row * shown + column + 1)
            scale = (0, brightest) if is_map else (-reach, reach)
            image = ax.imshow(kind[channel], "gray" if is_map else SIGNED_MAP, vmin=scale[0], vmax=scale[1])
            ax.set(xticks=[], yticks=[], ylabel=name if column == 0 else "")
        if not is_map:
            signed = image
    beside.colorbar(signed, ax=left, location="bottom", label="weight in a kernel")
    return fig


def plot_fusion(time: np.ndarray, parts: dict[str, np.ndarray], rates: dict[str, np.ndarray]) -> Figure:
    """One channel over some seconds, from vision, from behaviour and their product, above a unit's rate.

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
    """Training (thin, dashed) and validation loss by epoch, counted from 1; the best epoch has a dot.

    One panel a model. The lines are named in the panel where they end farthest apart.
    """
    fig, axes = plt.subplots(1, len(histories), figsize=(6.8, 2.5), sharey=True)
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        color, epochs = COLORS[MODEL_STYLES[name][0]], history.index + 1
        best = int(history["validation_loss"].argmin())
        ax.plot(epochs, history["train_loss"], color=color, lw=1, ls="--")
        ax.plot(epochs, history["validation_loss"], color=color, lw=1.8)
        ax.plot(epochs[best], history["validation_loss"].iloc[best], "o", color=color, mec="white", ms=7)
        ax.set_title(name, fontsize="small")
        ax.set(xlabel="epoch")
    axes[0].set(ylabel="loss (nats a bin and unit)")
    apart = [abs(float(h["validation_loss"].iloc[-1] - h["train_loss"].iloc[-1])) for h in histories.values()]
    widest = int(np.argmax(apart))
    _name_losses(axes[widest], list(histories.values())[widest])
    fig.tight_layout(w_pad=0.4)
    return fig


def _name_losses(ax: Axes, history: pd.DataFrame) -> None:
    """The upper line's name above its end, the lower line's below its middle, where there is room."""
    lines = {"training": history["train_loss"], "validation": history["validation_loss"]}
    lower, upper = sorted(lines, key=lambda name: float(lines[name].iloc[-1]))
    middle = (len(history) - 1) // 2
    places = (
        (upper, (len(history), float(lines[upper].iloc[-1])), (0, 5), "bottom"),
        (lower, (middle + 1, float(lines[lower].iloc[middle])), (2, -4), "top"),
    )
    for name, place, off, va in places:
        ax.annotate(name, place, off, textcoords="offset points", fontsize="small", ha="right", va=va)


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
            face = "white" if name in _OPEN else color
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
    """What raw r loses without a part: points are units, bars the mean's interval.

    Parameters
    ----------
    differences : dict
        By the part's name: results of :func:`v1lib.score.paired_difference`, all parts minus all but this.
    """
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
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.5))
    ax.set(xlabel="raw r lost without it")
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
            color=COLORS["paper"],
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


def plot_field_pairs(
    pairs: dict[str, np.ndarray],
    titles: list[str],
    field_of_view_deg: float,
    *,
    one_scale: bool = False,
    within_deg: float | None = None,
) -> Figure:
    """Fields of the retina, one row a kind, one column a title; red: light excites.

    Parameters
    ----------
    pairs : dict of (column, y, x) arrays
        By the row's label.
    titles : list of str
        One a column, such as a unit.
    field_of_view_deg : float
        Width of a field's map.
    one_scale : bool
        Whether all fields are drawn to the largest extreme of any, rather than each to its own.
    within_deg : float, optional
        How far from the middle the axes reach to each side; to the edges of the maps if not given.
    """
    largest = max(float(np.abs(fields).max()) for fields in pairs.values())

    def draw(ax: Axes, field: np.ndarray) -> None:
        reach = largest if one_scale else float(np.abs(field).max())
        ax.imshow(field, cmap=SIGNED_MAP, vmin=-reach, vmax=reach)

    rows, columns = next(iter(pairs.values())).shape[1:]
    aspect = rows / columns if within_deg is None else 1.0
    fig = _grid_in_degrees(pairs, titles, field_of_view_deg, 6.2 / len(titles) * aspect + 0.15, draw)
    if within_deg is not None:
        half = columns / 2 / np.tan(np.deg2rad(field_of_view_deg / 2)) * np.tan(np.deg2rad(within_deg))
        middle_x, middle_y = (columns - 1) / 2, (rows - 1) / 2
        for ax in fig.axes:
            ax.set(xlim=(middle_x - half, middle_x + half), ylim=(middle_y + half, middle_y - half))
        fig.tight_layout(h_pad=0.3, w_pad=0.3)
    return fig


def plot_time_courses(lags: np.ndarray, learned: np.ndarray, planted: np.ndarray) -> Figure:
    """Kernels in time, each of unit norm: thin lines are units, thick their mean, dashed the planted mean.

    Parameters
    ----------
    lags : (lag,) array, s
        Before the bin that is predicted.
    learned, planted : (unit, lag) arrays
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.5), sharex=True, sharey=True)
    for ax, courses, name in ((left, planted, "planted"), (right, learned, "learned")):
        ax.plot(1000 * lags, courses.T, color=COLORS["unit"], lw=0.6, alpha=0.6)
        ax.set_title(name, fontsize="small")
        ax.axhline(0, color=COLORS["chance"], lw=1, ls=":")
        ax.set(xlabel="time before the bin (ms)")
        ax.plot(1000 * lags, planted.mean(axis=0), color=COLORS["planted"], lw=1.6, ls="--")
    right.plot(1000 * lags, learned.mean(axis=0), "o-", color=COLORS["vision"], lw=2, ms=4)
    left.set(ylabel="weight (unit norm)", xlim=(1000 * lags[-1] + 8, -8))
    fig.tight_layout()
    return fig


def plot_loss_by_time(histories: dict[str, pd.DataFrame], lowest: float) -> Figure:
    """Validation loss against the seconds that a fit has taken (log axis); dashed the true rate's.

    Lines join all epochs, a marker stands at every fourth, counted from the last. Epochs far above the last
    ones lie outside the axes.

    Parameters
    ----------
    histories : dict
        By the model's name (:data:`MODEL_STYLES`).
    lowest : float
        Loss of the true rate on the same bins, nats a bin and unit.
    """
    fig, ax = plt.subplots(figsize=(6.8, 3.2))
    for name, history in histories.items():
        kind, marker = MODEL_STYLES[name]
        seconds, loss = history["seconds"].cumsum(), history["validation_loss"]
        is_open = name in _OPEN
        ax.plot(
            seconds,
            loss,
            ls=":" if is_open else "-",
            lw=1.4,
            marker=marker,
            markevery=((len(history) - 1) % 4, 4),
            ms=6,
            color=COLORS[kind],
            mfc="white" if is_open else COLORS[kind],
        )
        last = (float(seconds.iloc[-1]), float(loss.iloc[-1]))
        ax.annotate(name, last, (6, 2), textcoords="offset points", fontsize="small")
    ax.axhline(lowest, color=COLORS["ceiling"], lw=1.2, ls="--")
    fastest = min(float(history["seconds"].iloc[0]) for history in histories.values())
    slowest = max(float(history["seconds"].sum()) for history in histories.values())
    ax.text(slowest, lowest, "true rate", va="bottom", fontsize="small", color=COLORS["ceiling"])
    highest = max(float(history["validation_loss"].iloc[-1]) for history in histories.values())
    ax.set(xscale="log", xlim=(0.9 * fastest, 1.6 * slowest))
    ax.set(ylim=(lowest - 0.1 * (highest - lowest), 2 * highest - lowest))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set(xlabel="time spent on the fit (s)", ylabel="validation loss\n(nats a bin and unit)")
    fig.tight_layout()
    return fig

"""Figures of a sweep: the ladder of models, also by groups of units, single fits, which differences are real
and in which units, and what a longer memory adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v1lib.errors import InputError
from v1lib.plots.style import COLORS

#: Narrower than other figures, with names inside, so that a phone shows them in readable letters.
WIDTH_IN = 5.2
ANIMAL_MARKERS = "os^vPX*d"
VERDICT_MARKERS = {"higher": ">", "lower": "<", "undecided": "D"}


def plot_ladder(
    results: xr.Dataset, summary: xr.Dataset, kinds: Mapping[str, str], *, label: str = "raw r"
) -> Figure:
    """Score of each variant, the first at the top: points are units, thin lines animals, diamonds means.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`v1lib.sweep.sweep`; a unit's point is its mean over seeds. With `oracle_r` and a summary
        of r a dashed line is the mean of the true rate's r, each animal counting the same.
    summary : xarray.Dataset
        Of the same results from :func:`v1lib.tables.summarize`; its variants are drawn, in its order.
    kinds : mapping
        Entry of :data:`~v1lib.plots.style.COLORS` by variant.
    label : str
        Of the axis.
    """
    score, names = summary.attrs["score"], [str(name) for name in summary["variant"].values]
    fig, ax = _rows(names)
    rng = np.random.default_rng(0)
    by_unit = results[score].mean("seed").transpose("variant", "unit")
    for row, name in enumerate(names):
        values = by_unit.sel(variant=name).values
        aside = row + rng.uniform(-0.16, 0.16, values.size)
        ax.plot(values, aside, "o", ms=2.5, color=COLORS[kinds[name]], alpha=0.45, mec="none")
    _animals(ax, summary)
    _means(ax, summary, ["D"] * len(names), [True] * len(names))
    ax.axvline(0, color=COLORS["chance"], lw=1, ls=":")
    _above(ax, 0.0, "chance")
    if score == "r" and "oracle_r" in results:
        oracle = _oracle(results)
        ax.axvline(oracle, color=COLORS["planted"], lw=1, ls="--")
        _above(ax, oracle, "oracle")
    ax.set_xlabel(label)
    _legend(fig, ax)
    return fig


def plot_single_fits(
    found: xr.Dataset, apart: np.ndarray, same: str, *, label: str = "difference of raw r"
) -> Figure:
    """What one fit each would have said, the first comparison at the top: a marker for each seed of both.

    Parameters
    ----------
    found : xarray.Dataset
        From :func:`v1lib.tables.single_fits`. Small dots are all pairs of single fits, markers those of the
        same seed; a cross is their mean over all.
    apart : (pair,) array
        From :func:`v1lib.tables.fits_apart`; a first row shows them to both sides of 0, since which of two
        fits is subtracted is arbitrary, and a grey band reaches as far as the largest.
    same : str
        Name of that row.
    label : str
        Of the axis.
    """
    names = [same, *(str(name) for name in found["comparison"].values)]
    fig, ax = _rows(names)
    reach = float(np.max(apart, initial=0.0))
    ax.axvspan(-reach, reach, color=COLORS["train"], alpha=0.5, lw=0)
    ax.axvline(0, color=COLORS["ceiling"], lw=1)
    dot: dict[str, Any] = {"marker": ".", "ls": "", "ms": 5, "color": COLORS["unit"], "mew": 0}
    both = np.concatenate([-apart, apart])
    ax.plot(both, np.zeros(both.size), **dot)
    seeds = found["seed"].values
    for row, one in enumerate(found["difference"].values, start=1):
        values = one[~np.isnan(one)]
        if not values.size:
            ax.text(0, row, " not defined", va="center", fontsize="small")
            continue
        ax.plot(values, np.full(values.size, row), **dot)
        for number, paired in enumerate(np.diagonal(one)):
            marker = ANIMAL_MARKERS[number % len(ANIMAL_MARKERS)]
            ax.plot(paired, row, marker, ms=5.5, mfc="white", mec=COLORS["mean"], mew=1.2, zorder=2.5)
        ax.plot(found["mean"].values[row - 1], row, "|", ms=13, mew=1.6, color=COLORS["mean"], zorder=2.4)
    for number, seed in enumerate(seeds):
        marker = ANIMAL_MARKERS[number % len(ANIMAL_MARKERS)]
        ax.plot([], [], marker, ls="", mfc="white", mec=COLORS["mean"], mew=1.2, label=f"seed {seed}")
    ax.plot([], [], label="other pairs", **dot)
    ax.plot([], [], "|", ls="", ms=10, mew=1.6, color=COLORS["mean"], label="mean")
    ax.set_xlabel(label)
    _legend(fig, ax)
    return fig


def plot_losses(
    found: xr.Dataset,
    groups: Sequence[str],
    spared: Mapping[str, Sequence[str]],
    kinds: Mapping[str, str],
    names: Sequence[str],
    *,
    label: str = "difference of raw r",
) -> Figure:
    """What each unit loses without a part of the model, by what was planted in it; one panel a comparison.

    Parameters
    ----------
    found : xarray.Dataset
        From :func:`v1lib.tables.unit_differences`; bars are intervals, a filled point is a corrected verdict.
    groups : sequence of str, one a unit
        What each unit depends on; rows of a panel, in the order in which they first appear.
    spared : mapping
        By comparison, the groups that must lose nothing: their rows are grey, and units with a verdict named.
    kinds : mapping
        Entry of :data:`~v1lib.plots.style.COLORS` by comparison.
    names : sequence of str, one a unit
    label : str
        Of the axis.
    """
    order, of_unit = list(dict.fromkeys(groups)), np.array(list(groups))
    comparisons = [str(name) for name in found["comparison"].values]
    fig, axes = plt.subplots(
        len(comparisons), 1, sharex=True, squeeze=False, figsize=(WIDTH_IN, 0.7 + 3.0 * len(comparisons))
    )
    for ax, comparison in zip(axes[:, 0], comparisons, strict=True):
        one, color = found.sel(comparison=comparison), COLORS[kinds[comparison]]
        ax.axvline(0, color=COLORS["ceiling"], lw=1)
        for row, group in enumerate(order):
            here = np.flatnonzero(of_unit == group)
            here = here[np.argsort(one["difference"].values[here])]
            places = row + np.linspace(-0.14, 0.38, here.size + 2)[1:-1]
            title = group
            if group in spared[comparison]:
                ax.axhspan(row - 0.45, row + 0.45, color=COLORS["train"], alpha=0.5, lw=0)
                title += _called(one.isel(unit=here), [names[int(unit)] for unit in here])
            ax.text(0.0, row - 0.3, title, transform=ax.get_yaxis_transform(), fontsize="small", va="center")
            for unit, place in zip(here, places, strict=True):
                value, real = one["difference"].values[unit], one["verdict"].values[unit] != "undecided"
                ax.hlines(place, *one["interval"].values[unit], color=color, lw=0.8, alpha=0.6)
                ax.plot(value, place, "o", ms=4, mfc=color if real else "white", mec=color, mew=0.9)
        ax.set(ylim=(len(order) - 0.5, -0.5), yticks=[])
        ax.set_title(comparison, loc="left", fontsize="small")
        ax.spines["left"].set_visible(False)
    axes[-1, 0].set_xlabel(label)
    fig.tight_layout()
    return fig


def plot_groups(
    groups: Mapping[str, tuple[xr.Dataset, xr.Dataset]], kinds: Mapping[str, str], *, label: str = "raw r"
) -> Figure:
    """Score of each variant, one panel a group of units: points are units, diamonds means with intervals.

    Parameters
    ----------
    groups : mapping
        By the group's name: results and summary of its units alone, both as in :func:`plot_ladder`. A dashed
        line is the oracle's mean over these units.
    kinds : mapping
        Entry of :data:`~v1lib.plots.style.COLORS` by variant.
    label : str
        Of the axes.
    """
    names = [str(name) for name in next(iter(groups.values()))[1]["variant"].values]
    n_rows = -(-len(groups) // 2)
    size = (WIDTH_IN, 0.6 + n_rows * (0.4 + 0.17 * len(names)))
    fig, axes = plt.subplots(n_rows, 2, figsize=size, sharex=True, sharey=True, squeeze=False)
    rng = np.random.default_rng(0)
    for ax, (group, (results, summary)) in zip(axes.flat, groups.items(), strict=False):
        by_unit = results[summary.attrs["score"]].mean("seed").transpose("variant", "unit")
        for row, name in enumerate(names):
            values = by_unit.sel(variant=name).values
            aside = row + rng.uniform(-0.25, 0.25, values.size)
            ax.plot(values, aside, "o", ms=2.5, color=COLORS[kinds[name]], alpha=0.6, mec="none")
            ax.hlines(row, *summary["interval"].sel(variant=name).values, color=COLORS["mean"], lw=1.8)
            mean = float(summary["mean"].sel(variant=name))
            ax.plot(mean, row, "D", ms=4.5, color=COLORS["mean"], mec="white", mew=0.8, zorder=2.6)
        ax.axvline(0, color=COLORS["chance"], lw=1, ls=":")
        if summary.attrs["score"] == "r" and "oracle_r" in results:
            ax.axvline(_oracle(results), color=COLORS["planted"], lw=1, ls="--")
        ax.set_title(f"{group} (n = {results.sizes['unit']})", loc="left", fontsize="small")
        ax.tick_params(axis="y", length=0, labelsize="small")
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    axes[0, 0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    for ax in axes[-1]:
        ax.set_xlabel(label)
    fig.tight_layout(h_pad=0.4)
    return fig


def plot_group_differences(
    values: Mapping[str, np.ndarray], found: xr.Dataset, *, label: str = "difference of raw r"
) -> Figure:
    """A difference of two variants in groups of units, one row each: points are units, diamonds means.

    Parameters
    ----------
    values : mapping of (unit,) arrays
        By the group's name.
    found : xarray.Dataset, dims comparison and bound
        ``mean`` and ``interval`` of each group in the same order, as of :func:`v1lib.tables.differences`.
    label : str
        Of the axis.
    """
    fig, ax = _rows([f"{name} (n = {one.size})" for name, one in values.items()])
    rng = np.random.default_rng(0)
    ax.axvline(0, color=COLORS["ceiling"], lw=1)
    for row, one in enumerate(values.values()):
        aside = row + rng.uniform(-0.16, 0.16, one.size)
        ax.plot(one, aside, "o", ms=3.5, color=COLORS["unit"], alpha=0.7, mec="none")
    _means(ax, found, ["D"] * len(values), [True] * len(values))
    ax.set_xlabel(label)
    fig.tight_layout()
    return fig


def _called(of_group: xr.Dataset, names: list[str]) -> str:
    """Which of these units have a verdict, by what was planted in them."""
    verdicts = of_group["verdict"].values
    said = {
        verdict: ", ".join(name for name, one in zip(names, verdicts, strict=True) if one == verdict)
        for verdict in ("lower", "higher")
    }
    return "".join(f"; {verdict}: {which}" for verdict, which in said.items() if which)


def plot_forest(
    found: xr.Dataset,
    detectable: float | Sequence[float] | None = None,
    *,
    label: str = "difference of raw r",
) -> Figure:
    """Differences with their intervals, the first at the top: a filled arrow is real, an open diamond is not.

    Parameters
    ----------
    found : xarray.Dataset
        From :func:`v1lib.tables.differences`. Arrows point where the corrected verdict does, so that the bar
        of an open diamond, which is not corrected, can lie beside 0. Small markers are single animals. A
        comparison that nothing is left of says so.
    detectable : float or sequence of float, optional
        From :func:`v1lib.power.detectable_difference`, for all or one a comparison: true differences inside
        the grey band would be missed more often than the plan allows.
    label : str
        Of the axis.
    """
    names = [str(name) for name in found["comparison"].values]
    fig, ax = _rows(names)
    if detectable is not None:
        reach = np.broadcast_to(detectable, len(names))
        ax.barh(np.arange(len(names)), 2 * reach, 1.0, left=-reach, color=COLORS["train"], alpha=0.5, lw=0)
        _above(ax, 0.0, "the plan may miss these")
    ax.axvline(0, color=COLORS["ceiling"], lw=1)
    verdicts = [str(verdict) for verdict in found["verdict"].values]
    _animals(ax, found, lines=False)
    _means(ax, found, [VERDICT_MARKERS[one] for one in verdicts], [one != "undecided" for one in verdicts])
    ax.set_xlabel(label)
    for marker, meaning in ((">", "higher"), ("<", "lower"), ("D", "undecided")):
        ax.plot([], [], marker, label=meaning, **_mean_style(marker, marker != "D"))
    _legend(fig, ax)
    return fig


def plot_lengths(
    results: xr.Dataset,
    summary: xr.Dataset,
    lengths: Mapping[str, int],
    published: Mapping[str, Mapping[int, float]] | None = None,
    *,
    label: str = "raw r",
) -> Figure:
    """Score by the frames of a sequence, one panel an animal: thin lines are seeds, bands intervals.

    The panels' axes have different middles and the same span, so that slopes can be compared. Animals without
    a fit have no panel, and animals that only the paper has stand below with what it printed.

    Parameters
    ----------
    results, summary : xarray.Dataset
        As in :func:`plot_ladder`. The band, of the mean over units and seeds, holds how much units differ,
        which is the same for all lengths: which lengths differ is a matter of :func:`plot_forest`.
    lengths : mapping
        Frames by variant.
    published : mapping, optional
        By animal and frames, such as of :data:`v1lib.published.TABLE_3`; squares.
    label : str
        Of the axes.
    """
    names = sorted(lengths, key=lambda name: lengths[name])
    places = [lengths[name] for name in names]
    printed = {} if published is None else dict(published)
    table = summary.sel(variant=names)
    fitted = [str(one) for one in table["animal"].values if table["n_seeds"].sel(animal=one).any()]
    animals = [*fitted, *(animal for animal in printed if animal not in fitted)]
    if not animals:
        raise InputError("plot_lengths", "summary", "a fit of one of the lengths", "none, and none published")
    fig, axes = plt.subplots(
        len(animals), 1, figsize=(WIDTH_IN, 0.6 + 1.5 * len(animals)), sharex=True, squeeze=False
    )
    for ax, animal in zip(axes[:, 0], animals, strict=True):
        if animal in fitted:
            one = table.sel(animal=animal)
            here = results["unit_animal"].values == animal
            by_seed = results[summary.attrs["score"]].sel(variant=names).isel(unit=here).mean("unit")
            ax.fill_between(places, *one["animal_interval"].values.T, color=COLORS["mean"], alpha=0.15, lw=0)
            ax.plot(places, by_seed.transpose("variant", "seed"), color=COLORS["unit"], lw=0.7)
            ax.plot(places, one["animal_mean"], "D-", ms=5, color=COLORS["mean"], mec="white", lw=1.5)
        if animal in printed:
            lengths_there, values = zip(*sorted(printed[animal].items()), strict=True)
            ax.plot(lengths_there, values, "s:", ms=5, mfc="none", color=COLORS["paper"], mew=1.4, lw=1)
        ax.set_title(animal, loc="left", fontsize="small")
        ax.set(ylabel=label, xticks=places)
    _same_span(axes[:, 0])
    axes[-1, 0].set(xlabel="frames in a sequence")
    handles = []
    if fitted:
        handles = [
            plt.Line2D([], [], color=COLORS["mean"], marker="D", mec="white", label="mean"),
            plt.Line2D([], [], color=COLORS["unit"], lw=0.7, label="single seeds"),
        ]
    if printed:
        square: dict[str, Any] = {"marker": "s", "mfc": "none", "color": COLORS["paper"], "ls": ":"}
        handles.append(plt.Line2D([], [], label="published", **square))
    fig.legend(handles=handles, loc="upper right", ncols=3, fontsize="small")
    fig.tight_layout(rect=(0, 0, 1, 0.97))
    return fig


def _rows(names: list[str]) -> tuple[Figure, Axes]:
    """One row a name, the first at the top, with the name above what will be drawn in it."""
    fig, ax = plt.subplots(figsize=(WIDTH_IN, 1.0 + 0.52 * len(names)))
    ax.set(ylim=(len(names) - 0.4, -0.6), yticks=[])
    ax.spines["left"].set_visible(False)
    for row, name in enumerate(names):
        ax.text(0.0, row - 0.28, name, transform=ax.get_yaxis_transform(), va="center", fontsize="small")
    return fig, ax


def _oracle(results: xr.Dataset) -> float:
    """Mean raw r of the true rate, each animal counting the same."""
    return float(results["oracle_r"].groupby(results["unit_animal"]).mean().mean())


def _animals(ax: Axes, table: xr.Dataset, *, lines: bool = True) -> None:
    """Means of each animal, each with its marker and, down the rows, a thin line."""
    rows = np.arange(len(table["animal_mean"]))
    for number, animal in enumerate(table["animal"].values):
        marker = ANIMAL_MARKERS[number % len(ANIMAL_MARKERS)]
        style: dict[str, Any] = {"ms": 4.5, "color": COLORS["ceiling"], "mfc": "white", "mew": 0.8, "lw": 0.6}
        means = table["animal_mean"].sel(animal=animal).values
        ax.plot(means, rows, marker=marker, ls="-" if lines else "", label=str(animal), zorder=2.2, **style)


def _means(ax: Axes, table: xr.Dataset, markers: list[str], filled: list[bool]) -> None:
    for row, (marker, full) in enumerate(zip(markers, filled, strict=True)):
        mean, (low, high) = table["mean"].values[row], table["interval"].values[row]
        if np.isnan(mean):
            ax.text(0, row, " not defined", va="center", fontsize="small")
        if np.isfinite(high - low):
            ax.hlines(row, low, high, color=COLORS["mean"], lw=2.5, zorder=2.4)
        ax.plot(mean, row, marker, zorder=2.6, **_mean_style(marker, full))


def _mean_style(marker: str, full: bool) -> dict[str, Any]:
    size = 9 if marker in "<>" else 7
    face, edge = (COLORS["mean"], "white") if full else ("white", COLORS["mean"])
    return {"ms": size, "mfc": face, "mec": edge, "mew": 1.3}


def _above(ax: Axes, place: float, text: str) -> None:
    """A word above the axes, over a place along them."""
    ax.text(place, 1.01, text, transform=ax.get_xaxis_transform(), ha="center", fontsize="small")


def _legend(fig: Figure, ax: Axes) -> None:
    style: dict[str, Any] = {"fontsize": "small", "handlelength": 1.5, "columnspacing": 1.2}
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), borderaxespad=1.8, ncols=3, **style)
    fig.tight_layout()


def _same_span(axes: np.ndarray) -> None:
    limits = [ax.get_ylim() for ax in axes]
    span = max(high - low for low, high in limits)
    for ax, (low, high) in zip(axes, limits, strict=True):
        ax.set_ylim((low + high - span) / 2, (low + high + span) / 2)

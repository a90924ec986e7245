"""Figures of a sweep show every unit, animal and seed, and fill only what a verdict calls real."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from benchmarks.interval_coverage import KINDS, simulated_results
from v1lib import plots
from v1lib.plots.style import COLORS
from v1lib.tables import differences, summarize

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def results():
    made = simulated_results(np.random.default_rng(3), effects=(0.0, 0.1, -0.1, 0.0), sd=KINDS["equal"])
    empty = made["r"].where(made["variant"] != "d")
    return made.assign(r=empty)


def of_marker(ax, marker, color):
    """Points along x of one marker with that edge or face, each line an array."""
    return [
        line.get_xdata()
        for line in ax.lines
        if line.get_marker() == marker
        and COLORS[color]
        in (to_hex(line.get_markeredgecolor()).upper(), to_hex(line.get_markerfacecolor()).upper())
        and len(line.get_xdata())
    ]


def test_the_ladder_shows_each_unit_each_animal_and_the_mean_in_its_row(results):
    table = summarize(results)
    kinds = {"a": "vision", "b": "behavior", "c": "joint", "d": "paper"}
    ax = plots.plot_ladder(results, table, kinds).axes[0]
    by_unit = results["r"].mean("seed")
    for name, kind in list(kinds.items())[:3]:
        (points,) = of_marker(ax, "o", kind)
        np.testing.assert_allclose(points, by_unit.sel(variant=name))
    animals = {line.get_label(): line for line in ax.lines if line.get_label().startswith("animal")}
    for name, line in animals.items():
        np.testing.assert_allclose(line.get_xdata(), table["animal_mean"].sel(animal=name))
    assert len({line.get_marker() for line in animals.values()}) == 3
    dashed = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed, [results["oracle_r"].mean()])
    # The first variant stands at the top, and what has no score says so.
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [text.get_text().strip() for text in ax.texts if text.get_position()[1] == 3] == ["not defined"]


def test_groups_show_their_own_units_means_and_oracle_on_one_axis(results):
    kinds = {"a": "vision", "b": "behavior", "c": "joint", "d": "paper"}
    first = np.arange(results.sizes["unit"]) % 4 == 0
    chosen = {"few": first, "many": ~first, "again": first}
    groups = {
        name: (results.isel(unit=one), summarize(results.isel(unit=one))) for name, one in chosen.items()
    }
    axes = plots.plot_groups(groups, kinds).axes
    assert [ax.get_visible() for ax in axes] == [True, True, True, False]
    for ax, (name, (own, table)) in zip(axes, groups.items(), strict=False):
        assert ax.get_title(loc="left") == f"{name} (n = {own.sizes['unit']})"
        (points,) = of_marker(ax, "o", "behavior")
        np.testing.assert_allclose(points, own["r"].mean("seed").sel(variant="b"))
        means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
        np.testing.assert_allclose(means, table["mean"])
        dashed = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(dashed, [own["oracle_r"].mean()])
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == list(kinds)


def test_differences_of_groups_show_each_unit_and_the_mean_in_the_groups_row(results):
    apart = (results["r"].sel(variant="b") - results["r"].sel(variant="a")).mean("seed").values
    values = {"first": apart[:10], "second": apart[10:]}
    parts = (results.isel(unit=slice(10)), results.isel(unit=slice(10, None)))
    both = xr.concat([differences(own, pairs=[("b", "a")]) for own in parts], "comparison")
    ax = plots.plot_group_differences(values, both).axes[0]
    for row, (points, one) in enumerate(zip(of_marker(ax, "o", "unit"), values.values(), strict=True)):
        np.testing.assert_allclose(points, one)
        (diamond,) = [line for line in ax.lines if line.get_marker() == "D" and line.get_ydata()[0] == row]
        np.testing.assert_allclose(diamond.get_xdata(), [both["mean"].values[row]])
    assert [text.get_text() for text in ax.texts] == ["first (n = 10)", f"second (n = {apart.size - 10})"]


def test_the_forest_fills_only_verdicts_and_points_where_they_do(results):
    found = differences(results, "a")
    assert found["verdict"].values.tolist() == ["higher", "lower", "undecided"]
    same = found.assign(verdict=("comparison", ["higher", "undecided", "undecided"]))
    for table, filled in ((found, [">", "<"]), (same, [">"])):
        ax = plots.plot_forest(table, 0.04).axes[0]
        means = {
            float(line.get_xdata()[0]): line
            for line in ax.lines
            if line.get_marker() in "<>D" and len(line.get_xdata())
        }
        full = [
            line for line in means.values() if to_hex(line.get_markerfacecolor()).upper() == COLORS["mean"]
        ]
        assert [line.get_marker() for line in full] == filled
        np.testing.assert_allclose(
            [line.get_xdata()[0] for line in full], table["mean"].values[: len(filled)]
        )
        band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
        np.testing.assert_allclose([band.x0, band.x1], [-0.04, 0.04])
    assert "not defined" in [text.get_text().strip() for text in ax.texts]


def test_lengths_show_each_seed_the_interval_and_what_was_published_in_the_animals_own_panel(results):
    three = results.sel(variant=["a", "b", "c"])
    table = summarize(three)
    published = {"animal 1": {1: 0.5, 8: 0.6}}
    axes = plots.plot_lengths(three, table, {"c": 8, "a": 1, "b": 4}, published).axes
    assert [ax.get_title(loc="left") for ax in axes] == table["animal"].values.tolist()
    for ax, animal in zip(axes, table["animal"].values, strict=True):
        here = three.isel(unit=three["unit_animal"].values == animal)["r"].mean("unit")
        seeds = [line.get_ydata() for line in ax.lines if to_hex(line.get_color()).upper() == COLORS["unit"]]
        np.testing.assert_allclose(seeds, here.transpose("seed", "variant"))
        (band,) = ax.collections
        height = band.get_paths()[0].get_extents()
        ends = table["animal_interval"].sel(animal=animal)
        np.testing.assert_allclose([height.y0, height.y1], [ends.min(), ends.max()])
        squares = [line.get_ydata() for line in ax.lines if line.get_marker() == "s"]
        np.testing.assert_array_equal(squares, [[0.5, 0.6]] if animal == "animal 1" else [])
    spans = [np.ptp(ax.get_ylim()) for ax in axes]
    np.testing.assert_allclose(spans, spans[0])

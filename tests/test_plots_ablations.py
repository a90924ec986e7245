"""Figures of a sweep show every unit, animal and seed, and fill only what a verdict calls real."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from benchmarks.interval_coverage import KINDS, simulated_results
from v1lib import plots
from v1lib.errors import InputError
from v1lib.plots.style import COLORS
from v1lib.tables import differences, fits_apart, single_fits, summarize, unit_differences

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


def test_the_band_of_the_forest_can_be_one_for_each_comparison(results):
    ax = plots.plot_forest(differences(results, "a"), [0.01, 0.02, 0.03]).axes[0]
    ends = [bar.get_extents().transformed(ax.transData.inverted()) for bar in ax.patches]
    np.testing.assert_allclose([end.x1 for end in ends], [0.01, 0.02, 0.03])
    np.testing.assert_allclose([(end.y0 + end.y1) / 2 for end in ends], [0, 1, 2])


def test_single_fits_show_every_pair_and_mark_those_of_one_seed(results):
    found, apart = single_fits(results, "a"), fits_apart(results, "a")
    ax = plots.plot_single_fits(found, apart, "a − a").axes[0]
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    dots = {line.get_ydata()[0]: line.get_xdata() for line in drawn if line.get_marker() == "."}
    np.testing.assert_allclose(np.sort(dots.pop(0)), np.sort([*apart, *-apart]))
    assert set(dots) == {1, 2}  # d has no fit, and says so
    for row, all_pairs in dots.items():
        one = found["difference"].values[row - 1]
        np.testing.assert_allclose(all_pairs, one.ravel())
        paired = [line.get_xdata()[0] for line in drawn if line.get_marker() in ("o", "s", "^")]
        assert set(np.diagonal(one)) <= set(paired)
    assert [text.get_text().strip() for text in ax.texts if text.get_position()[1] == 3] == ["not defined"]


def test_losses_fill_verdicts_and_name_them_only_where_nothing_may_be_lost(results):
    found = unit_differences(results, pairs=[("c", "a")])
    groups = np.where(np.arange(48) < 8, "blind", "seeing")
    lost = np.where(np.arange(48) % 2 == 0, "lower", "undecided")
    found = found.assign(verdict=(("comparison", "unit"), lost[None]))
    names = [f"unit {number}" for number in range(48)]
    ax = plots.plot_losses(found, groups, {"c − a": ["blind"]}, {"c − a": "vision"}, names).axes[0]
    points = [line for line in ax.lines if line.get_marker() == "o"]
    filled = [line.get_xdata()[0] for line in points if line.get_markerfacecolor() != "white"]
    values = found["difference"].values[0]
    np.testing.assert_allclose(np.sort([line.get_xdata()[0] for line in points]), np.sort(values))
    np.testing.assert_allclose(np.sort(filled), np.sort(values[::2]))
    (heading,) = [text.get_text() for text in ax.texts if text.get_text().startswith("blind")]
    kind, named = heading.split("; lower: ")
    assert kind == "blind" and sorted(named.split(", ")) == ["unit 0", "unit 2", "unit 4", "unit 6"]
    assert "seeing" in [text.get_text() for text in ax.texts]


def test_lengths_without_a_fit_show_what_was_published_alone(results):
    table = summarize(results)
    unfitted = {"d": 1}
    with pytest.raises(InputError, match="a fit of one of the lengths"):
        plots.plot_lengths(results, table, unfitted)
    axes = plots.plot_lengths(results, table, unfitted, {"mouse": {1: 0.5, 2: 0.6}}).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["mouse"]
    (squares,) = [line.get_xydata() for line in axes[0].lines if line.get_marker() == "s"]
    assert squares.tolist() == [[1, 0.5], [2, 0.6]]
    both = plots.plot_lengths(results, table, {"a": 1, "d": 2}, {"mouse": {1: 0.5}}).axes
    assert [ax.get_title(loc="left") for ax in both] == [*table["animal"].values, "mouse"]


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

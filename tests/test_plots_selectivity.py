"""Figures of selectivity show each unit and verdict that they are given, in their order."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from drawn import lines_of

from v1lib import plots

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_prevalence_runs_from_what_is_found_to_what_is_open():
    rows = {"planted": (0.1, 0.1), "rule": (0.05, 0.7)}
    intervals = {"planted": np.array([0.1, 0.1]), "rule": np.array([0.01, 0.85])}
    (ax,) = plots.plot_prevalence(rows, {"planted": "planted", "rule": "behavior"}, intervals).axes
    interval, bar, ends = lines_of(ax, "behavior")
    np.testing.assert_allclose(interval.get_xdata(), [0.01, 0.85])
    np.testing.assert_allclose(bar.get_xdata(), [0.05, 0.7])
    np.testing.assert_allclose(ends.get_xdata(), [0.05, 0.7])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["planted", "rule"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row stands at the top


def test_verdicts_are_drawn_unit_by_unit_from_the_top():
    values = xr.DataArray([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]], {"group": ["head", "eye"]}, ("unit", "group"))
    (left, right) = plots.plot_verdicts({"planted": values, "rule": 1 - values}).axes
    for ax, expected in ((left, values.values), (right, 1 - values.values)):
        mesh = ax.collections[0]
        np.testing.assert_array_equal(np.reshape(mesh.get_array(), (3, 2)), expected)
        assert ax.get_ylim() == (3, 0)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["head", "eye"]
    # Three verdicts, three greys, from white to the darkest.
    mesh = left.collections[0]
    shades = [mesh.cmap(mesh.norm(value))[0] for value in (0.0, 0.5, 1.0)]
    assert shades[0] == 1 and shades[0] > shades[1] > shades[2]


def test_effects_stand_in_the_order_of_size_with_their_intervals():
    effect = xr.DataArray([0.4, np.nan, -0.3, 0.0], dims="unit")
    interval = xr.concat([effect - 0.1, effect + 0.2], xr.DataArray(["low", "high"], dims="bound"))
    planted = np.array([True, False, False, True])
    (ax,) = plots.plot_effects(effect, interval, planted, 0.1).axes
    bars = [line for line in ax.lines if len(line.get_ydata()) == 2 and line.get_linewidth() == 1.4]
    np.testing.assert_allclose([line.get_ydata() for line in bars], [[-0.4, -0.1], [-0.1, 0.2], [0.3, 0.6]])
    places = {float(line.get_ydata()[0]): line for line in ax.lines if line.get_marker() in ("D", "o")}
    assert {value: line.get_marker() for value, line in places.items()} == {-0.3: "o", 0.0: "D", 0.4: "D"}
    assert "n = 3" in ax.get_xlabel()

"""Figures of probes show each unit that they are given, in view, beside chance and what was planted."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from drawn import lines_of

from v1lib import plots

pytestmark = pytest.mark.filterwarnings("error")
DIRECTIONS = np.arange(0, 360, 30.0)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def tuned(peaks_deg, best=0.04):
    """Tuning on a floor of 3 at one of two frequencies, and nothing but the floor at the other."""
    turn = np.deg2rad(DIRECTIONS[None] - np.asarray(peaks_deg)[:, None])
    rate = np.stack([3 + 0 * turn, 3 + np.exp(np.cos(turn))], axis=2)
    units = [f"u{n}" for n in range(len(peaks_deg))]
    return xr.Dataset(
        {
            "rate": (("unit", "direction", "spatial_frequency"), rate),
            "preferred_frequency": ("unit", np.full(len(units), best)),
        },
        {"unit": units, "direction": DIRECTIONS, "spatial_frequency": [0.02, 0.04]},
    )


def test_tuning_shows_rates_and_their_rise_at_the_best_frequency():
    fitted, untrained = tuned([30, 90, 150]), tuned([0, 60, 120])
    planted = xr.DataArray([100.0, 0.0, 60.0], {"unit": fitted["unit"]}, ("unit",))
    axes = np.reshape(plots.plot_tuning(fitted, untrained, ["u0", "u2"], planted).axes, (2, 2))
    for column, number in zip(axes.T, (0, 2), strict=True):
        for model, color in ((fitted, "joint"), (untrained, "chance")):
            curve = model["rate"].values[number, :, 1]
            (above,), (below,) = (lines_of(ax, color) for ax in column)
            np.testing.assert_allclose(above.get_ydata(), curve / curve.max())
            np.testing.assert_allclose(below.get_ydata(), (curve - curve.min()) / np.ptp(curve))
    # Bars at 100 deg drift towards 190 and 10 deg.
    marks = sorted(float(line.get_xdata()[0]) for line in lines_of(axes[0, 0], "planted"))
    np.testing.assert_allclose(marks, [10, 190])


@pytest.mark.parametrize("plot", [plots.plot_indices, plots.plot_orientation_errors])
def test_rows_show_each_unit_and_their_median(plot):
    rng = np.random.default_rng(0)
    values = {"fitted": rng.uniform(0.1, 0.9, 9), "untrained": rng.uniform(0.1, 0.9, 7)}
    (ax,) = plot(values, {"fitted": "joint", "untrained": "chance"}).axes
    for label, color in (("fitted", "joint"), ("untrained", "chance")):
        points = [line for line in lines_of(ax, color) if line.get_marker() == "o"]
        np.testing.assert_allclose(points[0].get_xdata(), values[label])
    bars = [line.get_xdata()[0] for line in lines_of(ax, "planted")]
    np.testing.assert_allclose(bars, [np.median(each) for each in values.values()])
    # The first row stands at the top.
    assert [label.get_text() for label in ax.get_yticklabels()] == list(values)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_errors_stand_beside_what_chance_gives():
    (ax,) = plots.plot_orientation_errors({"one": np.array([3.0, 80.0])}, {"one": "joint"}).axes
    assert 45.0 in [line.get_xdata()[0] for line in lines_of(ax, "chance")]
    assert ax.get_xlim()[0] < 0 and ax.get_xlim()[1] > 90


def test_agreement_shows_each_unit_and_the_limit():
    spread, error = np.array([0.0, 4.0, 88.0]), np.array([90.0, 0.5, 12.0])
    (ax,) = plots.plot_agreement(spread, error, 10.0).axes
    (points,) = lines_of(ax, "joint")
    np.testing.assert_allclose(points.get_xydata(), np.stack([spread, error], axis=1))
    limits = lines_of(ax, "chance")
    assert limits[0].get_ydata()[0] == limits[1].get_xdata()[0] == 10.0
    for low, high in (ax.get_xlim(), ax.get_ylim()):
        assert low < 0 and high > 90

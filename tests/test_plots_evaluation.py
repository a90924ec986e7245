"""Figures of the evaluation show each unit that they are given, in view, and say what is not defined."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from v1lib import plots
from v1lib.plots.style import COLORS

pytestmark = pytest.mark.filterwarnings("error")
N = 7


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def drawn(ax, color, axis):
    """Values along an axis of what is drawn as points of that colour."""
    lines = [line for line in ax.lines if to_hex(line.get_color()).upper() == color.upper()]
    points = [line.get_xydata()[:, axis] for line in lines if line.get_marker() != "None"]
    return np.sort(np.concatenate(points)) if points else np.zeros(0)


def test_two_measures_show_each_unit_and_name_what_is_not_defined(rng):
    r, flat = rng.uniform(-0.2, 0.9, N), np.full(N, np.nan)
    r[2] = np.nan
    values = {"smoothed": {"model": r, "nothing": r - 0.1}, "raw": {"model": r, "nothing": flat}}
    left, right = plots.plot_two_measures(values, {"nothing": "chance", "model": "joint"}).axes
    for ax in (left, right):
        np.testing.assert_allclose(drawn(ax, COLORS["joint"], 0), np.sort(r[np.isfinite(r)]))
    assert [text.get_text() for text in right.texts] == ["not defined"] and not left.texts
    # The first predictor stands at the top.
    assert [label.get_text() for label in left.get_yticklabels()] == ["model", "nothing"]


def test_ceilings_stand_in_the_order_of_the_oracle(rng):
    oracle, r = rng.uniform(0.3, 0.9, N), rng.uniform(0.1, 0.5, N)
    ceiling = np.where(np.arange(N) == 3, np.nan, oracle - 0.03)
    around = np.array([-0.1, 0.1])
    score = xr.Dataset(
        {
            "oracle_r": ("unit", oracle),
            "r": ("unit", r),
            "r_interval": (("unit", "bound"), r[:, None] + around),
            "ceiling_r": ("unit", ceiling),
            "ceiling_r_interval": (("unit", "bound"), ceiling[:, None] + around),
        }
    )
    noise = xr.Dataset({"r_interval": (("unit", "bound"), oracle[:, None] + around / 5)})
    (ax,) = plots.plot_ceilings(score, noise).axes
    model = next(line for line in ax.lines if line.get_label() == "model")
    np.testing.assert_allclose(model.get_ydata(), r[np.argsort(-oracle)])
    low, high = ax.get_ylim()
    assert low < r.min() - 0.1 and high > oracle.max()


def test_null_fills_the_units_whose_q_is_low_enough(rng):
    r = np.linspace(0.5, -0.1, N)
    q = np.array([0.01, 0.02, 0.05, 0.051, 0.5, 1.0, np.nan])
    null = xr.Dataset(
        {"r": ("unit", r), "q": ("unit", q), "null_r": (("shift", "unit"), rng.normal(0, 0.05, (200, N)))}
    )
    for ax in plots.plot_null({"one": null, "two": null}).axes:
        filled, open_ = ax.lines[:2]
        np.testing.assert_allclose(filled.get_ydata(), r[:3])
        np.testing.assert_allclose(open_.get_ydata(), r[3:])
        assert open_.get_markerfacecolor() == "white"


def test_paired_joins_each_unit_through_its_conditions(rng):
    values = {"a": dict(zip("xyz", rng.uniform(0, 1, (3, N)), strict=True)), "b": {"x": rng.uniform(0, 1, N)}}
    left, right = plots.plot_paired(values, {"a": "raw r", "b": "smoothed r"}).axes
    units = [line for line in left.lines if to_hex(line.get_color()) == COLORS["unit"].lower()]
    np.testing.assert_allclose([line.get_ydata() for line in units], np.stack(list(values["a"].values())).T)
    assert left.get_ylabel() == "raw r" and right.get_ylabel() == "smoothed r"
    assert left.get_ylim() == right.get_ylim()  # of one quantity, so that heights can be compared


def test_shift_lies_within_the_limits_and_degrees_above_belong_to_pixels_below(rng):
    names = ("shift_x", "shift_y", "rotation")
    true = xr.Dataset({name: ("time", rng.normal(0, 3, 50)) for name in names})
    learned = true + 4.0
    fig = plots.plot_shift_against_truth(learned, true, 3.4)
    for ax, name in zip(fig.axes, names, strict=True):
        assert ax.get_xlim()[0] < true[name].min() and ax.get_ylim()[1] > learned[name].max()
        np.testing.assert_allclose(ax.lines[0].get_xydata(), np.stack([true[name], learned[name]], axis=1))
    (above,) = fig.axes[0].child_axes
    fig.draw_without_rendering()
    np.testing.assert_allclose(above.get_xlim(), 3.4 * np.array(fig.axes[0].get_xlim()))
    assert not fig.axes[2].child_axes


@pytest.mark.parametrize("worst", [0.4, -0.3])
def test_missed_units_are_in_view(rng, worst):
    fraction = np.append(rng.uniform(0.5, 1.0, N - 1), worst)
    causes = {"width (deg)": rng.uniform(4, 8, N), "oracle": rng.uniform(0.3, 0.8, N)}
    for ax, (label, cause) in zip(plots.plot_missed(fraction, causes).axes, causes.items(), strict=True):
        assert ax.get_xlabel() == label and ax.get_ylim()[0] < min(0, worst)
        np.testing.assert_allclose(ax.lines[0].get_xydata(), np.stack([cause, fraction], axis=1))

"""Figures of a recording hold what they are given, for lags of any sign, jumps, and minutes without a lag."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import v1lib
from v1lib.errors import InputError
from v1lib.plots.recorded import plot_alignment_quality, plot_eye_against_head, plot_lags, plot_spectra

pytestmark = pytest.mark.filterwarnings("error")
JUMPS = [
    "+0.080253 s (se 0.000789 s) between 305.0153 and 305.1120 s",
    "-1.500000 s (se nan s) between 400.0000 and 410.0000 s",
]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("lags", [[0.1, 0.2, 0.3], [-0.3, -0.2, -0.1], [-0.1, 0.0, 0.1], [np.nan] * 3])
def test_lags_of_any_sign_lie_within_the_limits_and_zero_does(lags):
    offset = np.nan_to_num(np.mean(lags))
    clocks = {
        "fitted": v1lib.ClockFit(offset, 0.0, 0, 0, 1, 0),
        "planted": v1lib.ClockFit(0.0, 0.0, 0, 0, 1, 0),
    }
    (ax,) = plot_lags(np.array([30.0, 90.0, 150.0]), np.array(lags), clocks).axes
    low, high = ax.get_ylim()
    assert low < high and low <= min(0.0, 1000 * np.nan_to_num(min(lags)))
    assert high >= max(0.0, 1000 * np.nan_to_num(max(lags))) and len(ax.lines) == 3


def aligned(seconds, **attributes):
    """A session of empty bins that begins at 7 s of the camera's clock."""
    time = 0.05 * (np.arange(round(seconds / 0.05)) + 0.5)
    return xr.Dataset(coords={"time": time}, attrs={"bin_width_s": 0.05, "start_s": 7.0} | attributes)


def leftover(lag):
    """Residuals of so many minutes."""
    n = len(lag)
    columns = {"lag": lag, "lag_se": np.full(n, 0.001), "r": np.full(n, 0.8), "used": np.full(n, 0.5)}
    return xr.Dataset(
        {name: ("window", np.asarray(values)) for name, values in columns.items()},
        {"window": 37.0 + 60 * np.arange(n)},
    )


@pytest.mark.parametrize("lag", [[0.001, -0.002, 0.0], [np.nan] * 3, [0.05, np.nan, 0.0]])
@pytest.mark.parametrize("seconds", [0.05, 20.0, 150.0, 180.0])
def test_bins_kept_end_with_the_session_and_lags_are_in_view(lag, seconds):
    axes = plot_alignment_quality(leftover(lag), aligned(seconds)).axes
    (kept,) = axes[3].lines
    np.testing.assert_allclose(kept.get_xdata()[[0, -1]] * 60, [7.0, 7.0 + seconds])
    np.testing.assert_allclose(kept.get_ydata(), 100)
    low, high = axes[0].get_ylim()
    assert low == -high and high >= 1000 * np.nanmax(np.abs([*lag, 0.0]))


def test_bins_that_are_missing_are_missing_in_their_minute():
    session = aligned(180.0)
    session = session.isel(time=(session["time"].values < 60) | (session["time"].values > 90))
    (kept,) = plot_alignment_quality(leftover([0.0] * 3), session).axes[3].lines
    np.testing.assert_allclose(kept.get_ydata(), [100, 50, 100, 100])


@pytest.mark.parametrize("said", [JUMPS, JUMPS[:1], JUMPS[0], "none"])
def test_each_jump_is_a_line_with_its_size(said):
    n = 0 if said == "none" else len(np.atleast_1d(said))
    plain = plot_alignment_quality(leftover([0.0] * 8), aligned(480.0)).axes[0]
    ax = plot_alignment_quality(leftover([0.0] * 8), aligned(480.0, clock_jumps=said)).axes[0]
    places = [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] > 1]
    assert len(ax.lines) == len(plain.lines) + n
    assert np.allclose(np.intersect1d(np.round(places, 4), [5.0844, 6.75]), [5.0844, 6.75][:n])
    assert [text.get_text().strip() for text in ax.texts] == ["+80 ms", "-1500 ms"][:n]


def test_jumps_that_do_not_say_where_are_refused():
    with pytest.raises(InputError, match="clock_jumps"):
        plot_alignment_quality(leftover([0.0]), aligned(60.0, clock_jumps=["one"]))


@pytest.mark.parametrize("r", [[0.1, 0.9, np.nan], [np.nan] * 3])
def test_eye_against_head_marks_the_best_lag_that_is_known(r):
    trace = np.arange(5.0)
    windows = {"first": (trace, trace, trace, trace), "second": (trace, trace * np.nan, trace, trace)}
    lags = np.array([-0.1, 0.0, 0.2])
    fig = plot_eye_against_head(windows, {name: (lags, np.array(r)) for name in windows})
    assert [text.get_text() for text in fig.axes[1].texts] == ([" 0 ms"] if np.isfinite(r).any() else [])


def test_no_spectrum_is_dropped_without_a_word():
    spectrum = xr.DataArray([1.0, 0.1, 0.01], {"frequency": [0.03, 0.1, 0.4]}, "frequency")
    (ax,) = plot_spectra({name: spectrum for name in "abc"}).axes
    assert len(ax.lines) == 4
    for n in (0, 4):
        with pytest.raises(InputError, match=f"expected one to three, found {n}"):
            plot_spectra({name: spectrum for name in "abcd"[:n]})

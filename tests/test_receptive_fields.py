"""Fields by regression: what is planted comes out, from the bins that are asked for and from no others."""

import numpy as np
import pytest
import xarray as xr
from planted import planted_session

from v1lib.errors import InputError
from v1lib.interpret.receptive_fields import gaze_corrected, linear_fields


@pytest.fixture(scope="module")
def session():
    """A unit whose activity is the difference of two pixels one bin before."""
    made = planted_session(1200, 1, (5, 6))[0]
    frames = np.random.default_rng(0).integers(0, 256, made["frames"].shape)
    activity = np.zeros((1200, 1))
    activity[1:, 0] = frames[:-1, 2, 3] - 0.5 * frames[:-1, 2, 4]
    made["frames"] = (("time", "y", "x"), frames.astype(np.uint8))
    return made.assign(activity=(("time", "unit"), activity, made["activity"].attrs))


def test_the_planted_field_comes_out(session):
    field = linear_fields(session, ridge=1e-6).values[0]
    expected = np.zeros((5, 6))
    expected[2, 3], expected[2, 4] = 1, -0.5
    np.testing.assert_allclose(field, expected / np.linalg.norm(expected), atol=1e-5)


def test_only_the_activity_of_the_chosen_bins_counts(session):
    chosen = np.arange(300, 800)
    field = linear_fields(session, bins=chosen)
    spoilt = session.copy(deep=True)
    spoilt["activity"].values[:300], spoilt["activity"].values[800:] = 1e6, -1e6
    xr.testing.assert_identical(linear_fields(spoilt, bins=chosen), field)
    assert not np.allclose(linear_fields(spoilt), field)
    spoilt["activity"].values[799] = 1e6  # the last of the chosen bins
    assert not np.allclose(linear_fields(spoilt, bins=chosen), field)


def test_all_bins_are_the_default(session):
    xr.testing.assert_identical(linear_fields(session, bins=np.arange(1200)), linear_fields(session))


def test_bins_without_a_frame_before_them_are_refused(session):
    for bins in (np.array([0]), np.array([1200]), np.array([], int)):
        with pytest.raises(InputError, match="bins"):
            linear_fields(session, bins=bins)


def test_other_frames_and_another_lag(session):
    """A field planted in other frames, three bins before the activity."""
    frames = np.random.default_rng(1).normal(size=(1200, 4, 3))
    activity = np.zeros((1200, 1))
    activity[3:, 0] = -frames[:-3, 1, 2]
    given = session.assign(activity=(("time", "unit"), activity, session["activity"].attrs))
    shown = xr.DataArray(frames, dims=("time", "y", "x"))
    field = linear_fields(given, shown, lag=3, ridge=1e-6).values[0]
    expected = np.zeros((4, 3))
    expected[1, 2] = -1
    np.testing.assert_allclose(field, expected, atol=1e-5)
    assert np.abs(linear_fields(given, shown, lag=2, ridge=1e-6)).max() < 0.9


def test_a_large_ridge_leaves_the_covariance(session):
    """The penalty draws the filter towards the plain covariance of activity and frames."""
    frames = session["frames"].values.reshape(1200, -1).astype(float)[:-1]
    covariance = (frames - frames.mean(0)).T @ (session["activity"].values[1:, 0])
    field = linear_fields(session, ridge=1e9).values.ravel()
    np.testing.assert_allclose(field, covariance / np.linalg.norm(covariance), atol=1e-6)


def test_what_has_no_field_is_refused(session):
    silent = session.copy(deep=True)
    silent["activity"].values[:] = 3
    still = session.assign(frames=xr.full_like(session["frames"], 7))
    broken = session["frames"].astype("float32")
    broken[600, 0, 0] = np.nan
    cases = [
        (lambda: linear_fields(silent), "unit u00"),
        (lambda: linear_fields(session, bins=np.array([5])), "frames"),
        (lambda: linear_fields(still), "frames"),
        (lambda: linear_fields(session, broken), "frames"),
        (lambda: linear_fields(session, session["frames"][:-1]), "frames"),
        (lambda: linear_fields(session, session["frames"].rename(y="row")), "frames"),
        (lambda: linear_fields(session, bins=np.ones(1200, bool)), "bins"),
        *((lambda lag=lag: linear_fields(session, lag=lag), "lag") for lag in (-1, 1.5, 1200)),
        *(
            (lambda ridge=ridge: linear_fields(session, ridge=ridge), "ridge")
            for ridge in (0.0, -1.0, np.nan)
        ),
    ]
    for call, said in cases:
        with pytest.raises(InputError, match=f"^linear_fields: {said}: "):
            call()


def test_frames_move_right_and_down_and_turn_clockwise():
    """Whole pixels and quarter turns move grey levels without mixing them; 2100 bins are two rounds."""
    made = planted_session(2100, 1, (7, 7))[0]
    frames = made["frames"].values.astype(float)
    rng = np.random.default_rng(0)
    x, y = rng.integers(-3, 4, (2, 2100))
    moved = gaze_corrected(made, x.astype(float), y.astype(float), np.zeros(2100))
    padded = np.pad(frames, ((0, 0), (3, 3), (3, 3)), constant_values=frames.mean())
    expected = [f[3 - b : 10 - b, 3 - a : 10 - a] for f, a, b in zip(padded, x, y, strict=True)]
    # Single precision: rounding in coordinates mixes less than 1e-4 of a neighbour at 255 grey levels.
    np.testing.assert_allclose(moved, expected, atol=0.01)
    assert moved.dims == ("time", "y", "x") and moved.dtype == np.float32
    still = np.zeros(2100)
    turned = gaze_corrected(made, still, still, still + 90)
    np.testing.assert_allclose(turned, np.rot90(frames, -1, axes=(1, 2)), atol=0.01)


def test_a_movement_has_one_finite_number_a_bin(session):
    fine = np.zeros(1200)
    missing = np.where(np.arange(1200) == 7, np.nan, 0.0)
    for place, name in enumerate(("shift_x", "shift_y", "rotation")):
        for wrong in (fine[:-1], 0.0, missing):
            given = [fine, fine, fine]
            given[place] = wrong
            with pytest.raises(InputError, match=f"^gaze_corrected: {name}: "):
                gaze_corrected(session, *given)

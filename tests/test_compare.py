"""Several predictions of the same bins: against the scores of runs, and against what was planted."""

import numpy as np
import pytest
import xarray as xr
from planted import planted_session

from v1lib.compare import compare_predictions
from v1lib.errors import InputError
from v1lib.metrics import r_within, smooth_over_ends

RANGES = ((100, 1100), (1500, 2900))


@pytest.fixture(scope="module")
def recorded():
    session, truth = planted_session(3000, 5, (6, 8), rate=1.0)
    noise = np.random.default_rng(3).gamma(2.0, 0.5, truth["rate"].shape)
    return session, truth["rate"], (truth["rate"] * noise).rename("noisy")


@pytest.mark.parametrize("smooth_s", [0.0, 2.0])
def test_r_and_its_means_are_those_of_each_prediction_alone(recorded, smooth_s):
    session, rate, noisy = recorded
    found = compare_predictions({"true": rate, "noisy": noisy}, session, RANGES, smooth_s=smooth_s)
    alone = np.stack([r_within(one, session, RANGES, smooth_s=smooth_s) for one in (rate, noisy)])
    np.testing.assert_allclose(found["r"], alone, rtol=1e-9)
    np.testing.assert_allclose(found["mean_r"], alone.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(found["difference"][1], (alone[0] - alone[1]).mean(), rtol=1e-9)
    assert (found["difference"][0], *found["difference_interval"][0]) == (0, 0, 0)
    low, high = found["mean_r_interval"].transpose("bound", "model").values
    assert (low < found["mean_r"]).all() and (found["mean_r"] < high).all()


def test_a_planted_difference_is_found_more_sharply_than_two_means(recorded):
    session, rate, noisy = recorded
    found = compare_predictions({"true": rate, "noisy": noisy}, session, RANGES)
    low, high = found["difference_interval"][1].values
    assert low > 0
    assert high - low < np.ptp(found["mean_r_interval"][0].values), "pairing gains nothing"


def test_what_lies_outside_the_ranges_does_not_count(recorded):
    session, rate, _ = recorded
    other = rate.copy(deep=True)
    other[:100], other[1100:1500], other[2900:] = np.nan, 7.0, np.nan
    pair = compare_predictions({"a": rate, "b": other}, session, RANGES)
    np.testing.assert_array_equal(pair["r"][0], pair["r"][1])


def test_a_constant_has_no_r_and_no_part_in_means(recorded):
    session, rate, _ = recorded
    flat = rate.copy(deep=True)
    flat[:, 2] = 1.0
    found = compare_predictions({"flat": flat, "true": rate}, session, RANGES)
    assert np.isnan(found["r"][0, 2]) and np.isfinite(found["mean_r"]).all()
    assert float(found["difference"][1]) == 0


def test_refusals(recorded):
    session, rate, _ = recorded
    with pytest.raises(InputError, match="predictions: expected at least one"):
        compare_predictions({}, session, RANGES)
    with pytest.raises(InputError, match=r"turned: expected dimensions \('time', 'unit'\)"):
        compare_predictions({"turned": rate.T}, session, RANGES)
    with pytest.raises(InputError, match="fewer: expected the session's 5 labels of unit"):
        compare_predictions({"fewer": rate[:, :4]}, session, RANGES)
    with pytest.raises(InputError, match="gap: expected finite values"):
        compare_predictions({"gap": rate.where(rate["time"] > 10)}, session, RANGES)
    with pytest.raises(InputError, match="ranges: expected a range of at least 41 bins"):
        compare_predictions({"short": rate}, session, ((0, 30),), smooth_s=2.0)


def test_the_papers_boxcar_by_hand():
    row = np.array([3, 0, 0, 6, 3, 0], np.uint16)
    made = smooth_over_ends(xr.DataArray(row).values[:, None], 3)[:, 0]
    np.testing.assert_allclose(made, [1, 1, 2, 3, 3, 1])

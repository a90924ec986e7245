"""A copy of neighbouring bins knows what its training bins know, and nothing else."""

import numpy as np
import pytest
import xarray as xr

from v1lib.errors import InputError
from v1lib.models.baselines import neighbor_rate
from v1lib.score import r_within
from v1lib.splits import Splits
from v1lib.splits import split as split_session


def session_of(activity):
    n = len(activity)
    return xr.Dataset(
        {
            "activity": (("time", "unit"), activity.astype(np.uint16), {"kind": "spike_count"}),
            "stretch": ("time", np.zeros(n, np.int32)),
        },
        {"time": 0.048 * np.arange(n), "unit": np.arange(activity.shape[1])},
        {"bin_width_s": 0.048},
    )


def slow_session(n=4000):
    rng = np.random.default_rng(0)
    rate = 2 + 1.5 * np.sin(2 * np.pi * np.arange(n)[:, None] * 0.048 / np.array([20.0, 33.0]))
    return session_of(rng.poisson(rate))


def test_only_training_bins_are_read():
    session = slow_session()
    splits = split_session(session, "paper")
    before = neighbor_rate(session, splits)
    test = splits.bins("test")
    session["activity"].values[test] = 60_000
    np.testing.assert_array_equal(neighbor_rate(session, splits).values, before.values)


def test_it_agrees_with_a_slow_weighted_mean():
    session = slow_session(400)
    splits = Splits(((0, 150),), ((150, 160),), ((160, 400),), "by hand")
    copy = neighbor_rate(session, splits, reach_s=0.5).values
    activity = session["activity"].values.astype(float)
    sd = 0.5 / 0.048
    for at in (20, 149, 165, 180):
        far = np.abs(np.arange(150) - at)
        weight = np.where(far <= int(4 * sd + 0.5), np.exp(-0.5 * (far / sd) ** 2), 0)
        np.testing.assert_allclose(copy[at], weight @ activity[:150] / weight.sum(), rtol=1e-6)


def test_beyond_its_reach_it_is_the_training_mean_and_has_no_r():
    session = slow_session()
    splits = split_session(session, "guarded")
    copy = neighbor_rate(session, splits, reach_s=0.2)
    test = splits.bins("test")
    np.testing.assert_allclose(
        copy.values[test], session["activity"].values[splits.bins("train")].mean(0)[None].repeat(test.size, 0)
    )
    for smooth_s in (0.0, 2.0):
        assert np.isnan(r_within(copy, session, splits.test, smooth_s=smooth_s)).all()


def test_shuffled_bins_leak_and_r_within_finds_it():
    session = slow_session()
    order = np.random.default_rng(1).permutation(4000)
    train, validation, test = (
        tuple((int(i), int(i) + 1) for i in np.sort(part)) for part in np.split(order, [2800, 3000])
    )
    splits = Splits(train, validation, test, "shuffled")
    r = r_within(neighbor_rate(session, splits), session, splits.test)
    bins = splits.bins("test")
    expected = [
        np.corrcoef(neighbor_rate(session, splits).values[bins, u], session["activity"].values[bins, u])[0, 1]
        for u in range(2)
    ]
    np.testing.assert_allclose(r, expected, rtol=1e-9)
    assert (r > 0.5).all()


def test_smoothing_stays_inside_ranges():
    session = slow_session()
    session["activity"].values[1000] = 60_000  # between the ranges: may not enter
    rate = xr.DataArray(session["activity"].values.astype(float) + 0.0, session["activity"].coords)
    rate[1000] = 0
    r = r_within(rate, session, ((0, 1000), (1001, 2000)), smooth_s=2.0)
    np.testing.assert_allclose(r, 1.0)


@pytest.mark.parametrize("reach_s", [0.0, -1.0, np.nan, np.inf])
def test_a_reach_is_a_positive_time(reach_s):
    session = slow_session(400)
    with pytest.raises(InputError, match=r"^neighbor_rate: reach_s: "):
        neighbor_rate(session, split_session(session, "paper"), reach_s=reach_s)

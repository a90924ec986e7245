"""Fields by regression: what is planted comes out, from the bins that are asked for and from no others."""

import numpy as np
import pytest
import xarray as xr
from planted import planted_session

from v1lib.errors import InputError
from v1lib.interpret.receptive_fields import linear_fields


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

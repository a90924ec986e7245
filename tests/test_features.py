"""Columns are what their names say, and nothing but the training part scales them."""

import numpy as np
import pytest
from planted import planted_session

from v1lib.errors import InputError
from v1lib.features import behavior_set, behavior_table, fit_scaling, gaze_set, scaled_behavior
from v1lib.splits import Splits

SPLITS = Splits(((0, 60),), ((60, 80),), ((80, 120),), "paper")


@pytest.fixture
def session():
    return planted_session(120, 2, (4, 5), n_stretches=2)[0]


def test_sets_have_the_papers_sizes(session):
    sizes = {"S": 3, "orig": 6, "velo": 6, "all": 11, "orig_prod": 21, "velo_prod": 21, "all_prod": 66}
    assert {name: len(behavior_set(session, name)) for name in sizes} == sizes
    assert behavior_set(session, "velo") == ("speed", "d_pitch", "d_roll", "d_phi", "d_theta", "d_pupil")
    assert gaze_set(session) == ("theta", "phi", "pitch", "roll")
    for name in sizes:
        columns = behavior_set(session, name)
        assert len(set(columns)) == len(columns)


def test_variables_a_session_lacks_are_in_no_set(session):
    head_fixed = session.sel(variable=["speed", "pupil"])
    assert behavior_set(head_fixed, "all") == ("speed", "pupil", "d_pupil")
    assert behavior_set(head_fixed, "S") == ("pupil", "d_pupil", "speed")
    assert gaze_set(head_fixed) == ()
    with pytest.raises(InputError, match="variable theta"):
        behavior_table(head_fixed, ("speed", "theta"))
    with pytest.raises(InputError, match="one of"):
        behavior_set(session, "everything")


def test_columns_against_arithmetic_by_hand(session):
    table = behavior_table(session, ("pitch", "d_pitch", "speed*d_pitch"))
    pitch = session["behavior"].sel(variable="pitch").values.astype(float)
    speed = session["behavior"].sel(variable="speed").values.astype(float)
    np.testing.assert_array_equal(table[:, 0], pitch)
    for bin_number in (1, 59, 61, 119):
        step = pitch[bin_number] - pitch[bin_number - 1]
        assert table[bin_number, 1] == step
        assert table[bin_number, 2] == speed[bin_number] * step
    # No difference reaches over the border between the stretches, and none is taken against 0.
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(table[:, 1])), [0, 60])


def test_missing_values_become_the_training_mean_and_are_counted(session):
    behavior = session["behavior"].values.copy()
    behavior[10:22, 4] = np.nan  # theta
    session = session.assign(behavior=(("time", "variable"), behavior))
    columns = ("theta", "speed", "speed*theta", "d_theta")
    scaling = fit_scaling(session, columns, SPLITS)
    scaled = scaled_behavior(session, scaling)
    assert scaling.filled == (12 / 120, 0.0, 12 / 120, 15 / 120)  # 12 + one after + two stretch starts
    assert (scaled[10:22, [0, 2]] == 0).all()
    assert np.isfinite(scaled).all()
    measured = np.isfinite(behavior[:60, 4])
    np.testing.assert_allclose(scaled[:60, 0][measured].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[:60, 0][measured].std(), 1, rtol=1e-6)


def test_only_the_training_part_scales(session):
    columns = behavior_set(session, "all_prod")
    before = fit_scaling(session, columns, SPLITS)
    changed = session.copy(deep=True)
    changed["behavior"].values[60:] += 100
    changed["frames"].values[60:] = 7
    changed["activity"].values[60:] = 9
    after = fit_scaling(changed, columns, SPLITS)
    assert after == before
    frames = session["frames"].values[:60].astype(float)
    np.testing.assert_allclose([before.frame_mean, before.frame_sd], [frames.mean(), frames.std()], rtol=1e-9)
    np.testing.assert_allclose(before.activity_mean, session["activity"].values[:60].mean(axis=0))


def test_refusals(session):
    constant = session.copy(deep=True)
    constant["behavior"].values[:60, 0] = 3.0
    with pytest.raises(InputError, match="speed: expected values that vary"):
        fit_scaling(constant, ("speed",), SPLITS)
    constant["behavior"].values[:60, 0] = np.nan
    with pytest.raises(InputError, match="speed: expected values in the training part"):
        fit_scaling(constant, ("speed",), SPLITS)
    still = session.copy(deep=True)
    still["frames"].values[:60] = 80
    with pytest.raises(InputError, match="frames: expected frames that change"):
        fit_scaling(still, (), SPLITS)
    silent = session.copy(deep=True)
    silent["activity"].values[:60, 1] = 0
    with pytest.raises(InputError, match=r"unit u01: .* found no spike"):
        fit_scaling(silent, (), SPLITS)

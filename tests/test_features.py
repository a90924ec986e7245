"""Columns are what their names say; nothing but the training part scales them, or their files do."""

import numpy as np
import pytest
from planted import planted_session

from v1lib.errors import InputError
from v1lib.features import (
    Scaling,
    behavior_columns,
    behavior_set,
    behavior_table,
    fit_scaling,
    frame_range,
    gaze_set,
    scaled_behavior,
    scaled_frames,
)
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


def test_position_is_the_direction_of_eye_and_head(session):
    assert behavior_set(session, "position") == ("theta", "phi", "pitch", "roll")
    assert behavior_set(session.sel(variable=["pitch", "speed"]), "position") == ("pitch",)


def test_variables_a_session_lacks_are_in_no_set(session):
    head_fixed = session.sel(variable=["speed", "pupil"])
    assert behavior_set(head_fixed, "all") == ("speed", "pupil", "d_pupil")
    assert behavior_set(head_fixed, "S") == ("pupil", "d_pupil", "speed")
    assert gaze_set(head_fixed) == ()
    with pytest.raises(InputError, match="variable theta"):
        behavior_table(head_fixed, ("speed", "theta"))
    with pytest.raises(InputError, match="one of"):
        behavior_set(session, "everything")


def test_a_variable_that_is_not_measured_keeps_its_last_value_for_half_a_second(session):
    measured = session["behavior"].values[:, 4].astype(float)
    gaps = [
        *range(20, 24),
        *range(30, 45),
        *range(60, 63),
    ]  # a blink, a long loss, one from a stretch's start
    session["behavior"].values[gaps, 4] = np.nan
    theta, step, product = behavior_table(session, ("theta", "d_theta", "speed*theta"), hold_s=0.5).T
    expected = measured.copy()
    expected[20:24] = measured[19]
    expected[30:40] = measured[29]  # 10 bins of 48 ms are within half a second, 11 are not
    expected[40:45] = expected[60:63] = np.nan  # nothing is carried into a stretch from the one before
    np.testing.assert_array_equal(theta, expected)
    np.testing.assert_array_equal(product, expected * session["behavior"].values[:, 0])
    np.testing.assert_array_equal(
        np.flatnonzero(np.isnan(step)), sorted({0, 60, *gaps, 24, 45, 63})
    )  # no step is taken from a value that was kept
    # Standardised, what is still missing stands at the mean of the training part.
    scaling = fit_scaling(session, ("theta",), SPLITS)
    scaled = scaled_behavior(session, scaling)[:, 0]
    assert (scaled[40:45] == 0).all() and (scaled[60:63] == 0).all()
    np.testing.assert_array_equal(scaled[30:40], np.full(10, scaled[29]))


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


def test_values_missing_for_long_become_the_training_mean_and_are_counted(session):
    behavior = session["behavior"].values.copy()
    behavior[10:22, 4] = np.nan  # theta
    session = session.assign(behavior=(("time", "variable"), behavior))
    columns = ("theta", "speed", "speed*theta", "d_theta")
    scaling = fit_scaling(session, columns, SPLITS)
    scaled = scaled_behavior(session, scaling)
    assert scaling.filled == (12 / 120, 0.0, 12 / 120, 15 / 120)  # 12 + one after + two stretch starts
    assert (scaled[20:22, [0, 2]] == 0).all()  # the last value was kept for 10 bins
    assert (scaled[10:22, 3] == 0).all()
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


SIX = ("speed", "pitch", "roll", "phi", "theta", "pupil")


@pytest.fixture
def files(session):
    """The session as two files, with values missing at a start, in the middle and at an end."""
    behavior = session["behavior"].values.copy()
    behavior[[0, 30, 31, 60, 119]] = np.nan
    behavior[70, 5] = np.nan
    frames = session["frames"].values.copy()
    frames[60:] //= 2
    part = ("time", np.repeat(["train", "test"], 60))
    return session.assign(
        behavior=(("time", "variable"), behavior), frames=(("time", "y", "x"), frames)
    ).assign_coords(part=part)


def papers_columns(name, bin_number, behavior):
    """One row of a set, from the definition: a value or 0, a difference within the file or against 0."""
    now = {v: np.nan_to_num(behavior[bin_number, i].astype(float)) for i, v in enumerate(SIX)}
    first = bin_number in (0, 60)
    before = {
        v: 0.0 if first else np.nan_to_num(behavior[bin_number - 1, i].astype(float))
        for i, v in enumerate(SIX)
    }
    change = {v: now[v] - before[v] for v in SIX}
    if name == "S":
        return [now["pupil"], change["pupil"], now["speed"]]
    values = [now[v] for v in SIX]
    changes = [change[v] for v in SIX[1:]]
    base = {"orig": values, "velo": [now["speed"], *changes], "all": values + changes}[name.split("_")[0]]
    if name.endswith("_prod"):
        base = base + [base[i] * base[j] for i in range(len(base)) for j in range(i + 1, len(base))]
    return base


@pytest.mark.parametrize("name", ["S", "orig", "velo", "all", "orig_prod", "velo_prod", "all_prod"])
def test_the_papers_columns_against_their_definition(files, name):
    columns = behavior_set(files, name)
    assert columns == behavior_columns(name)
    scaling = fit_scaling(files, columns, SPLITS, "paper")
    made = scaled_behavior(files, scaling)
    expected = [papers_columns(name, t, files["behavior"].values) for t in range(120)]
    # Computed in double precision and rounded once.
    np.testing.assert_allclose(made, np.array(expected), rtol=1e-6, atol=0)
    assert made.dtype == np.float32 and scaling.kind == "paper"
    # What is filled is counted the same whatever fills it.
    assert scaling.filled == fit_scaling(files, columns, SPLITS).filled


def test_the_papers_frames_run_from_0_to_1_in_each_file(files):
    scaling = fit_scaling(files, (), SPLITS, "paper")
    made = scaled_frames(files, scaling, np.arange(120))
    assert made.dtype == np.float32
    for part in (slice(0, 60), slice(60, 120)):
        frames = files["frames"].values[part].astype(float)
        expected = (frames - frames.min()) / (frames.max() - frames.min())
        np.testing.assert_allclose(made[part], expected, atol=1e-7)
        assert (made[part].min(), made[part].max()) == (0.0, 1.0)
    low, span = frame_range(files, scaling)
    assert len(set(low.tolist())) == 2 and low.shape == span.shape == (120,)
    np.testing.assert_array_equal(scaled_frames(files, scaling, np.array([90, 3])), made[[90, 3]])
    whole = fit_scaling(files, (), SPLITS)
    standard = scaled_frames(files, whole, np.array([90, 3]))
    by_hand = (files["frames"].values[[90, 3]] - whole.frame_mean) / whole.frame_sd
    np.testing.assert_allclose(standard, by_hand, atol=1e-5)


def test_scalings_that_there_are_not(files):
    with pytest.raises(InputError, match="fit_scaling: kind: expected training or paper, found 'z'"):
        fit_scaling(files, (), SPLITS, "z")
    with pytest.raises(InputError, match="Scaling: kind"):
        Scaling((), (), (), (), 0.0, 1.0, (), (), "none")
    scaling = fit_scaling(files, ("speed",), SPLITS, "paper")
    for use in (scaled_behavior, frame_range):
        with pytest.raises(InputError, match=r"session: part: expected .* \(scaling 'paper'\), found none"):
            use(files.drop_vars("part"), scaling)
        with pytest.raises(InputError, match="session: part: expected one value in a stretch"):
            use(files.assign_coords(part=("time", ["train"] * 59 + ["test"] * 61)), scaling)

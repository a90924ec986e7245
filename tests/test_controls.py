"""A control changes what it says and nothing else, and moves nothing from one part into another."""

import numpy as np
import pytest
from planted import planted_session

import v1lib
from v1lib.controls import shift_behavior, shuffle_vision, true_retinal_image, turned
from v1lib.errors import InputError
from v1lib.features import behavior_table
from v1lib.fingerprint import bins_and_units
from v1lib.metrics import pearson
from v1lib.session import validate_session
from v1lib.splits import PARTS, split


@pytest.fixture(scope="module")
def session():
    return planted_session(1510, 2, (8, 10))[0]


@pytest.fixture(scope="module")
def splits(session):
    return split(session, "paper")


def rows_of(values):
    return sorted(map(bytes, np.ascontiguousarray(values)))


@pytest.mark.parametrize(("control", "moved"), [(shuffle_vision, "frames"), (shift_behavior, "behavior")])
def test_each_part_keeps_its_own_values_at_other_bins(session, splits, control, moved):
    changed = validate_session(control(session, splits, seed=3))
    assert bins_and_units(changed) == bins_and_units(session)
    for name in session.variables:
        assert changed[name].identical(session[name]) is (name != moved)
    for part in PARTS:
        bins = splits.bins(part)
        before, after = session[moved].values[bins], changed[moved].values[bins]
        assert rows_of(before) == rows_of(after)
        stayed = (before == after).reshape(len(bins), -1).all(axis=1)
        assert not stayed.any()  # no two frames or rows of behaviour of this session are the same
    again, other = (control(session, splits, seed=seed)[moved].values for seed in (3, 4))
    np.testing.assert_array_equal(again, changed[moved].values)
    assert not np.array_equal(other, again)


def test_shuffled_frames_stay_together_for_a_second(session, splits):
    frames = session["frames"].values
    number = {bytes(frame): bin_ for bin_, frame in enumerate(frames)}
    changed = shuffle_vision(session, splits, seed=0)["frames"].values
    came_from = np.array([number[bytes(frame)] for frame in changed[splits.bins("train")]])
    runs = np.diff(np.flatnonzero(np.diff(came_from, prepend=-9) != 1))
    assert np.median(runs) == pytest.approx(1 / 0.048, abs=1)
    assert runs.max() < 3 / 0.048  # now and then two blocks are neighbours again


def test_shuffled_vision_is_independent_of_what_was_seen(session, splits):
    changed = shuffle_vision(session, splits, seed=0)
    bins = splits.bins("train")
    pixels = [one["frames"].values[bins].reshape(bins.size, -1).astype(float) for one in (session, changed)]
    # 840 bins whose frames are alike over about a second are some 40 that differ: r of 0.5 in three s.d.
    assert np.abs(pearson(*pixels)).max() < 0.5


def test_shifted_behavior_keeps_how_variables_go_together(session, splits):
    changed = shift_behavior(session, splits, seed=1)
    bins = splits.bins("train")
    tables = [behavior_table(one, ("speed", "pitch", "theta"))[bins] for one in (session, changed)]
    np.testing.assert_allclose(*[np.corrcoef(table.T) for table in tables], atol=1e-12)


def test_parts_that_are_too_short_are_refused(session, splits):
    with pytest.raises(InputError, match=r"shuffle_vision: validation: expected at least .* two blocks"):
        shuffle_vision(session, splits, block_s=6.0)


def test_the_true_retinal_image_is_turned_as_the_truth_says(pristine):
    session = v1lib.align(v1lib.open_recording(pristine))
    truth = v1lib.bin_truth(v1lib.load_truth(pristine), session)
    splits = split(session, "paper")
    seen = validate_session(true_retinal_image(session, truth, splits))
    assert bins_and_units(seen) == bins_and_units(session)
    assert seen["behavior"].identical(session["behavior"])

    # Looking straight ahead there is nothing to turn.
    straight = truth.assign({name: truth[name] * 0 for name in ("theta", "phi", "torsion")})
    ahead = true_retinal_image(session, straight, splits)["frames"].values
    np.testing.assert_allclose(ahead, session["frames"].values, atol=0.05)  # grey values of 255

    # An eye that is turned so that the picture moves by one pixel sees the frame one pixel aside.
    one_px = np.rad2deg(np.arctan(1 / truth.attrs["focal_px"]))
    left = true_retinal_image(session, straight.assign(theta=straight["theta"] + one_px), splits)
    middle = slice(6, 10)
    moved = left["frames"].values[:, middle, 6:14]
    frames = session["frames"].values[:, middle].astype(float)
    errors = {step: np.abs(moved - frames[:, :, 6 - step : 14 - step]).mean() for step in (-1, 0, 1)}
    assert min(errors, key=errors.get) == 1 and errors[1] < 0.3 * errors[0], errors

    # One that looks up by a pixel has in each row what the frame has one row above.
    up = true_retinal_image(session, straight.assign(phi=straight["phi"] + one_px), splits)["frames"].values
    own = session["frames"].values.astype(float)
    errors = {
        step: np.abs(up[:, 5:11, 4:16] - own[:, 5 - step : 11 - step, 4:16]).mean() for step in (-1, 0, 1)
    }
    assert min(errors, key=errors.get) == 1, errors
    with pytest.raises(InputError, match="truth: time: expected the session's bins"):
        true_retinal_image(session, truth.isel(time=slice(1, None)), splits)
    with pytest.raises(InputError, match="none called theta or phi or torsion"):
        true_retinal_image(session, truth[["rate"]], splits)


def test_an_eye_that_rolls_to_the_right_sees_what_is_right_of_it_higher():
    frame = np.zeros((1, 20, 20), np.uint8)
    frame[0, 9:11, 14] = 255
    seen = turned(frame, np.array([[0.0, 0.0, 30.0]]), 10.0, 0.0)[0]
    assert np.average(np.arange(20), weights=seen.sum(axis=1)) < 8.5  # the middle is at 9.5
    beside = turned(frame, np.array([[170.0, 0.0, 0.0]]), 10.0, 77.0)[0]
    np.testing.assert_allclose(beside, 77.0, rtol=1e-5)  # grey where the camera saw nothing
    for angles in (np.zeros((1, 2)), np.zeros((2, 3)), np.full((1, 3), np.nan)):
        with pytest.raises(InputError, match="turned: angles: expected finite theta, phi and torsion"):
            turned(frame, angles, 10.0, 0.0)
    for focal in (0.0, -3.0, np.nan):
        with pytest.raises(InputError, match="turned: focal_px: expected a number"):
            turned(frame, np.zeros((1, 3)), focal, 0.0)
